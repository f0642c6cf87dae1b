"""Limits on the steps of this very process, for work that is not done by a worker.

What runs in Python, or waits, is interrupted when a step takes too long. What does not come back from native code
cannot be: only a worker can be ended.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from diffexport.processes.current_step import STEPS, ProcessStep
from diffexport.values import StepLimits

#: Seconds between two looks at whether a step is late.
_LOOK = 0.2
_SIGNAL = getattr(signal, "SIGUSR2", None)


class StepTooLong(BaseException):
    """A step took longer than it may. Not an Exception: a model, or Hypothesis, would take that for its own.

    Attributes:
        step: what took too long.
    """

    def __init__(self, step: ProcessStep) -> None:
        super().__init__(f"no end of: {step.name}")
        self.step = step


class _WatchedStep:
    """What is written of the steps of this process, where another thread looks at it."""

    def __init__(self) -> None:
        self.step = ProcessStep()
        self.deadline = self.step.deadline

    def write(self, step: ProcessStep) -> None:
        self.step, self.deadline = step, step.deadline

    def extend(self, deadline: float) -> None:
        self.deadline = deadline

    @property
    def is_late(self) -> bool:
        return ProcessStep(deadline=self.deadline).is_late


@contextlib.contextmanager
def limited_steps(limits: StepLimits) -> Iterator[None]:
    """Raise [StepTooLong][] out of what takes longer than it may, within this block.

    Where that cannot be done, in another thread than the main one, within another such block, in a worker, or on
    a system without such signals, nothing is limited.

    Args:
        limits: how long steps may take.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if _SIGNAL is None or not is_main or STEPS.are_shown:
        yield
        return
    watched = _WatchedStep()
    over = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # The step may have ended between the look and the signal.
        if watched.is_late:
            step = watched.step
            watched.write(ProcessStep())
            raise StepTooLong(step)

    def watch() -> None:
        while not over.wait(_LOOK):
            if watched.is_late:
                signal.pthread_kill(main, _SIGNAL)

    before = signal.signal(_SIGNAL, interrupt)
    STEPS.limits = limits
    STEPS.show_on(watched)
    thread = threading.Thread(target=watch, name="step-limits", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watched.write(ProcessStep())
        STEPS.hide()
        over.set()
        thread.join()
        signal.signal(_SIGNAL, before)
