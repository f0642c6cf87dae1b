"""Hypothesis strategies, usable on their own: they need neither a case nor an export."""

from diffexport.strategies.block import MAX_SAMPLES, decode_block
from diffexport.strategies.examples import FLAVOURS, examples, ordinary
from diffexport.strategies.layout import LAYOUTS, lay_out, layouts
from diffexport.strategies.modes import modes
from diffexport.strategies.tables import table
from diffexport.strategies.trials import VARIETY, Trial, arrays, blocks, samples, trials

__all__ = [
    "FLAVOURS",
    "LAYOUTS",
    "MAX_SAMPLES",
    "VARIETY",
    "Trial",
    "arrays",
    "blocks",
    "decode_block",
    "examples",
    "lay_out",
    "layouts",
    "modes",
    "ordinary",
    "samples",
    "table",
    "trials",
]
