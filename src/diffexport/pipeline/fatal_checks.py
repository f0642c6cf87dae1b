"""Checks that ended the process, or did not end: they are not made again, and what is known of them is said instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diffexport.arrays import arrays_of, as_call, digest, trait_holds
from diffexport.values import Call, Divergence, Inputs, Mode, Stage

#: Told before each check: the case, the mode, the inputs and those to export with.
AnnounceCheck = Callable[[str, str, Inputs, Inputs], None]


@dataclass(frozen=True)
class FatalCheck:
    """A check that ended the process, or did not end.

    Attributes:
        mode: as text.
        divergence: what is said of it.
        runtimes: those that it was seen on; empty where no runtime was involved yet.
        example: digest of the inputs to export with; empty where any are fatal.
        inputs: digest of the inputs; empty where the export alone is fatal, whatever the inputs.
        traits: inputs with all of these traits are taken to be fatal as well; empty where nothing tells them.
    """

    mode: str
    divergence: Divergence
    runtimes: tuple[str, ...]
    example: bytes
    inputs: bytes
    traits: tuple[str, ...] = ()

    def concerns(self, mode: str, inputs: Call, example: Call) -> bool:
        """Return whether this check would be fatal in the same way."""
        if mode != self.mode:
            return False
        if self.traits and all(
            trait_holds(trait, arrays_of(inputs), arrays_of(example)) for trait in self.traits
        ):
            return True
        return self.example in (b"", digest(example)) and self.inputs in (b"", digest(inputs))


class CheckWatch:
    """Knows which checks are fatal, and announces the others before they are made.

    Args:
        fatal: what is not done again.
        announce: told what is about to be done; by default nobody is.
    """

    def __init__(self, fatal: Sequence[FatalCheck] = (), announce: AnnounceCheck | None = None) -> None:
        self._fatal, self._announce = tuple(fatal), announce

    def fatal_checks(self, mode: Mode, inputs: Inputs, example: Inputs) -> list[FatalCheck]:
        """Return what is known to be fatal about a check."""
        if not self._fatal:
            return []
        text, call, example_call = str(mode), as_call(inputs), as_call(example)
        return [check for check in self._fatal if check.concerns(text, call, example_call)]

    def fatal_export(self, mode: Mode, example: Inputs) -> Divergence | None:
        """Return what is said of an export that is known to be fatal; None if it is not."""
        checks = self.fatal_checks(mode, example, example)
        return next((check.divergence for check in checks if check.divergence.stage is Stage.CONVERT), None)

    def fatal_eager(self, mode: Mode, inputs: Inputs) -> Divergence | None:
        """Return what is said of a run of eager that is known to be fatal; None if it is not."""
        text, call = str(mode), as_call(inputs)
        return next(
            (
                check.divergence
                for check in self._fatal
                if check.divergence.stage is Stage.EAGER
                and check.mode == text
                and check.inputs in (b"", digest(call))
            ),
            None,
        )

    def announce(self, case: str, mode: Mode, inputs: Inputs, example: Inputs) -> None:
        """Say what is about to be checked."""
        if self._announce is not None:
            self._announce(case, str(mode), inputs, example)
