"""Profiles for the whole test suite: ``ci`` where CI is set, else ``dev``; --hypothesis-profile overrides."""

import os

import pytest
from hypothesis import settings

from diffexport import profiles

pytest_plugins = ["pytester"]

profiles.register()
settings.load_profile(os.environ.get("DIFFEXPORT_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors gain nothing from threads, and two test processes on two cores lose by them."""
    import torch

    torch.set_num_threads(1)
