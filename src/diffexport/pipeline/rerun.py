"""Running eager again for the oracle: under rounding noise, and in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from diffexport import oracle
from diffexport.arrays import as_call, clone
from diffexport.oracle import WIDE
from diffexport.pipeline.eager import Prepared, outputs_of
from diffexport.pytorch import Handler, intercepted
from diffexport.values import Call, leaves, mapped


def rerun(prepared: Prepared, training: bool | None, inputs: Any, *, keep_none: bool = False) -> oracle.Rerun:
    """Return how the oracle runs a module again, in training mode or not, on inputs that are left as they are.

    With None for ``training`` each of its modules is in the mode in which it was built.
    """

    given = as_call(inputs)

    def noisy(handler: Handler) -> oracle.Outputs:
        return _run(lambda: prepared.for_run(training), clone(given), handler, keep_none)

    def wide(handler: Handler) -> oracle.Outputs:
        call = Call(mapped(given.args, _widened), mapped(given.kwargs, _widened))
        return _run(lambda: prepared.fresh(training).double(), call, handler, keep_none)

    def traced(handler: Handler) -> list[torch.Tensor] | None:
        result = _result(lambda: prepared.for_run(training), clone(given), handler)
        found = list(leaves(result))
        return found if all(isinstance(leaf, torch.Tensor) for leaf in found) else None

    return oracle.Rerun(noisy, wide, traced)


def _run(
    build: Callable[[], torch.nn.Module], call: Call, handler: Handler, keep_none: bool
) -> oracle.Outputs:
    """Run a module with every operator called by ``handler``; return its outputs, or the text of its error."""
    eager = outputs_of(_result(build, call, handler), keep_none=keep_none)
    # A module may give out memory that it writes to the next time.
    return eager.error or [array.copy() for array in eager.outputs]


def _result(build: Callable[[], torch.nn.Module], call: Call, handler: Handler) -> Any:
    """Return what a module returns or raises; torch's random state is what it was, afterwards."""
    with torch.random.fork_rng(devices=[]):
        try:
            module = build()
            with intercepted(handler):
                return module(*call.args, **call.kwargs)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
            return error


def _widened(leaf: Any) -> Any:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    wide = leaf.detach().to(WIDE.get(leaf.dtype, leaf.dtype), copy=True)
    return wide.requires_grad_(leaf.requires_grad)
