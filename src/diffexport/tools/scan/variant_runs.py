"""Explore one variant of one Function, mode after mode, within a time limit."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace

from diffexport.explore import Drawing, Explorer, Limits, Settings, deliver, drive, plain_shapes
from diffexport.findings.events import Event, Finding
from diffexport.findings.reports import Tally
from diffexport.pipeline import Pipeline
from diffexport.strategies import VARIETY
from diffexport.subjects.cases import Case, Known
from diffexport.tools.scan.limits import is_costly, scan_pipeline
from diffexport.values import Deadline, Identity, Mode, Shape

#: Seconds of the processor that shrinking one finding may take, and those that simplifying it may take after that.
SHRINK, SIMPLIFY = 8.0, 3.0
#: Hypothesis examples in a mode of an exporter that is cheap, and of one that is not; samples in one.
CHEAP_EXAMPLES, COSTLY_EXAMPLES = 10, 6
BLOCK = 16


class ScanDrawing(Drawing):
    """Draws so that there are few exports by the exporters built on ``torch.export``, which take most of the time.

    A static mode is exported at two joint shapes (a strict one, and one behind a parameter, at one), a dynamic one at
    one, which has no size that would be taken for a constant; it is run at several.

    Args:
        case: as it is applied.
        pipeline: exports it.
        block: most samples in one example.
        sparing: export it fewer times still.
    """

    def __init__(self, case: Case, pipeline: Pipeline, block: int, *, sparing: bool) -> None:
        super().__init__(case, pipeline, block)
        self.sparing = sparing

    def export_shapes(self, mode: Mode) -> Sequence[tuple[Shape, ...]]:
        """Return the joint shapes that a mode is exported at."""
        shapes = super().export_shapes(mode)
        if mode.description.is_cheap or not self.case.specs:
            return shapes
        most_general = max(shapes, key=_generality)
        if mode.dynamic:
            return [most_general]
        plain = plain_shapes(self.case.specs)
        few = [plain if plain in shapes else shapes[0]]
        if not is_costly(mode) and not self.sparing and most_general not in few:
            few.append(most_general)
        return few

    def export_variety(self, mode: Mode) -> Sequence[tuple[str, str, bool]]:
        """Return what the example to export with may be like."""
        return super().export_variety(mode) if mode.description.is_cheap else VARIETY[:1]


def _generality(joint: tuple[Shape, ...]) -> tuple[bool, bool, int]:
    """Sort key of joint shapes: neither 0 nor 1 among their sizes, then many dimensions."""
    sizes = [size for shape in joint for size in shape]
    return 0 not in sizes, 1 not in sizes, len(sizes)


class VariantRun:
    """Explores a case; the findings of the variants before are not made again.

    Args:
        case: the Function as it is applied.
        runtimes: names.
        settings: seed and strictness; examples where they were asked for, else 0.
        known: the known divergences that apply.
        until: when to stop, as ``time.monotonic()`` counts.
        findings: those of the variants before, by identity.
        sparing: export as few times as can be; for another variant of what was explored before.

    Attributes:
        findings: those of this variant as well.
        failed: nothing could be tested in some mode.
    """

    def __init__(
        self,
        case: Case,
        runtimes: Sequence[str],
        settings: Settings,
        known: Sequence[Known],
        until: float,
        findings: Mapping[Identity, Finding],
        *,
        sparing: bool = False,
    ) -> None:
        limits = Limits(Deadline(until), shrink_seconds=SHRINK, quick_seconds=SIMPLIFY)
        self._case, self._runtimes, self._known = case, runtimes, known
        self._settings = replace(settings, block=BLOCK, limits=limits)
        self._pipeline = scan_pipeline(repeats=not sparing)
        self._drawing = ScanDrawing(case, self._pipeline, BLOCK, sparing=sparing)
        self.findings = dict(findings)
        self.failed = False

    def run(
        self, modes: Sequence[Mode], announce: Callable[[Mode], None], listen: Callable[[Event], None]
    ) -> tuple[Mode, ...]:
        """Explore each mode, announced before; return those that there was no time for.

        Where nothing can be tested in the first mode the others are left out.

        Args:
            modes: one after the other.
            announce: told each mode before it is explored.
            listen: told what happens in it, see [drive][diffexport.explore.drive].
        """
        for number, mode in enumerate(modes):
            announce(mode)
            tally = Tally()
            deliver(self._events_of(mode), tally.take, listen)
            if tally.finished is not None and tally.finished.out_of_time:
                return tuple(modes[number:])
            self.failed = self.failed or bool(tally.failed)
            if tally.failed and number == 0:
                return ()
        return ()

    def _events_of(self, mode: Mode) -> Generator[Event, None, None]:
        examples = self._settings.examples or (
            CHEAP_EXAMPLES if mode.description.is_cheap else COSTLY_EXAMPLES
        )
        explorer = Explorer(
            self._case,
            self._runtimes,
            replace(self._settings, examples=examples),
            self._known,
            pipeline=self._pipeline,
            drawing=self._drawing,
            findings=self.findings,
        )
        return drive(lambda announce: explorer.explore([mode], announce))


def carried_over(findings: Mapping[Identity, Finding], target: str) -> dict[Identity, Finding]:
    """Return findings under the target of another variant: the same failure there is not another one."""
    return {replace(identity, target=target): finding for identity, finding in findings.items()}
