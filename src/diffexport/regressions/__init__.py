"""Regressions: stored minimal divergences, readable by a person and replayable without Hypothesis."""

from diffexport.regressions.format import SUFFIX, Regression, load, loads
from diffexport.regressions.replay import Replay, Status, replay
from diffexport.regressions.store import files, save

__all__ = ["SUFFIX", "Regression", "Replay", "Status", "files", "load", "loads", "replay", "save"]
