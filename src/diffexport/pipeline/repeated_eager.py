"""Eager asked several times with the same input: with the same random numbers, and with others."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from diffexport.arrays import clone
from diffexport.pipeline.eager import EagerResult, Prepared, outputs_of
from diffexport.pipeline.kept_state import KeptState
from diffexport.processes import STEPS, raised_by_code
from diffexport.values import Call


class RepeatedEager(NamedTuple):
    """What eager gives for one input when it is asked three times.

    Attributes:
        first: the model as it was built.
        again: the same copy of it asked once more, with the same random numbers.
        otherwise: another copy of it, with other random numbers.
        changed: the names of what the first two calls changed in the model.
    """

    first: EagerResult
    again: EagerResult
    otherwise: EagerResult
    changed: tuple[str, ...]


def repeated(prepared: Prepared, training: bool | None, call: Call, *, keep_none: bool) -> RepeatedEager:
    """Ask eager three times; the random states of torch, numpy and Python are what they were, afterwards."""
    module = prepared.fresh(training)
    state = KeptState(module)
    first = _asked(module, call, 0, keep_none)
    again = _asked(module, call, 0, keep_none)
    changed = tuple(dict.fromkeys(state.changes()))
    return RepeatedEager(first, again, _asked(prepared.fresh(training), call, 1, keep_none), changed)


def _asked(module: Callable[..., Any], call: Call, seed: int, keep_none: bool) -> EagerResult:
    given = clone(call)
    STEPS.again()
    with _seeded(seed):
        try:
            result: Any = module(*given.args, **given.kwargs)
        except raised_by_code() as error:
            result = error
    eager = outputs_of(result, keep_none=keep_none)
    # The model may give out memory that it writes to the next time.
    return eager._replace(outputs=tuple([array.copy() for array in eager.outputs]))


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the random numbers of torch, numpy and Python, and put their states back afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
