"""Hypothesis profiles of the same names as diffexport's: dev, ci, nightly, debug."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from diffexport.config import PROFILES

#: Exporting inside an example takes as long as it takes; the first one loads the exporter.
_HEALTH = (HealthCheck.too_slow, HealthCheck.data_too_large)


def register(database: Path = Path(".hypothesis/examples")) -> None:
    """Register the four profiles with Hypothesis, replacing its built-in ``ci``.

    The built-in one is also loaded by itself where the environment looks like CI, and turns the database off;
    every setting that it touches is therefore given here. ``ci`` draws the same examples each time, which
    Hypothesis allows only without a database; the others keep theirs in ``database``.
    """
    for profile in PROFILES.values():
        options: dict[str, Any] = {
            "max_examples": profile.max_examples,
            "deadline": None,
            "derandomize": profile.derandomise,
            "suppress_health_check": _HEALTH,
            "database": None if profile.derandomise else DirectoryBasedExampleDatabase(database),
            "print_blob": False,
            "phases": tuple(Phase),
            "verbosity": Verbosity.verbose if profile.name == "debug" else Verbosity.normal,
        }
        settings.register_profile(profile.name, **options)
