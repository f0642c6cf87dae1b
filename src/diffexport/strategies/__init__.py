"""Hypothesis strategies, usable on their own."""

from diffexport.strategies.modes import modes
from diffexport.strategies.trials import Trial, samples, trials
from diffexport.strategies.values import decode, ordinary

__all__ = ["Trial", "decode", "modes", "ordinary", "samples", "trials"]
