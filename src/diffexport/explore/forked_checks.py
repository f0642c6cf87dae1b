"""Checks made in copies of this process, so that they may end it or not end at all: to make such failures minimal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

from diffexport.explore.fatal_divergences import fatal_divergence, fatal_verdict
from diffexport.pipeline import Pipeline
from diffexport.processes import Died, Forked, in_a_copy
from diffexport.subjects.cases import Case
from diffexport.values import (
    Call,
    Inputs,
    Mode,
    StepLimits,
    Verdict,
)

#: What is written to standard error where memory ran out.
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "allocate memory", "out of memory", "Out of memory")


class ForkedChecks:
    """What the [Minimiser][diffexport.explore.minimise.Minimiser] asks, answered by copies of this process.

    Args:
        make_pipeline: makes the pipeline of each copy.
        same_in_every_mode: see [Pipeline.same_in_every_mode][diffexport.pipeline.Pipeline.same_in_every_mode].
        limits: what one step may take, and how much memory.

    Attributes:
        out_of_memory: whether a copy wrote that memory ran out, or was killed, as the kernel does it then. No fault of
            a model's, and none of an exporter's, ends a process in that way.
    """

    def __init__(
        self, make_pipeline: Callable[[], Pipeline], *, same_in_every_mode: bool, limits: StepLimits
    ) -> None:
        self._make_pipeline, self._limits = make_pipeline, limits
        self._same_in_every_mode = same_in_every_mode
        self.out_of_memory = False

    @property
    def same_in_every_mode(self) -> bool:
        """Whether the model is given, so that it is the same whatever the mode."""
        return self._same_in_every_mode

    def check(
        self,
        case: Case,
        mode: Mode,
        runtime: str,
        inputs: Inputs,
        *,
        export_inputs: Inputs | None = None,
        strict: bool = False,
    ) -> Verdict:
        """Return the verdict on one sample; see [Pipeline.check][diffexport.pipeline.Pipeline.check]."""
        call = Call.of(inputs).plain()
        check = partial(self._verdict, case, mode, runtime, call, export_inputs, strict)
        limits = self._limits
        forked = in_a_copy(check, seconds=limits.export_seconds + limits.check_seconds, memory=limits.memory)
        if forked.end is None:
            return forked.answer  # type: ignore[no-any-return]
        return self._fatal(forked, case, mode, runtime)

    def _verdict(
        self, case: Case, mode: Mode, runtime: str, inputs: Inputs, example: Inputs | None, strict: bool
    ) -> Verdict:
        verdicts = self._make_pipeline().check_runtimes(
            case, mode, (runtime,), inputs, export_inputs=example, strict=strict, repeat=False
        )
        return verdicts[0]

    def _fatal(self, forked: Forked, case: Case, mode: Mode, runtime: str) -> Verdict:
        assert forked.end is not None
        assert forked.step is not None
        killed = isinstance(forked.end, Died) and forked.end.exit_code == -signal.SIGKILL
        if killed or any(text in forked.written for text in _OUT_OF_MEMORY):
            self.out_of_memory = True
        step = forked.step
        divergence = fatal_divergence(forked.end, step.name, step.runtime, self._limits)
        return fatal_verdict(case, mode, runtime, divergence)
