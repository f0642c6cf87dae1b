"""The modes that the properties cover: those of the profile, unless --diffexport-modes says otherwise."""

import pytest
from hypothesis import settings

from diffexport.config import PROFILES


def pytest_configure(config: pytest.Config) -> None:
    name = settings.get_current_profile_name()
    if not config.getoption("--diffexport-modes") and name in PROFILES:
        config.option.diffexport_modes = list(PROFILES[name].modes)
