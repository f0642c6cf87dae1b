"""What every process does that is going to work for long."""

from __future__ import annotations

import gc
import sys


def warm_up() -> None:
    """Prepare this process: one thread for torch, and what is loaded out of the garbage collector's way."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    # A full collection walks some million objects of torch's registries, again and again; none of them dies.
    gc.collect()
    gc.freeze()
