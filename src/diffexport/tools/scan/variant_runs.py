"""Explore one variant of one Function, mode after mode, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from diffexport.explore import Drawing, Explorer, Point, Settings, diverged, plain_shapes
from diffexport.findings.events import CaseFailed, Event, Finding, Found, ModeFinished, Suspected, Unhealthy
from diffexport.pipeline import Deadline, DeadlinePassed, Pipeline
from diffexport.strategies import VARIETY
from diffexport.subjects.cases import Case, Known
from diffexport.tools.scan.limits import scan_pipeline, simplified
from diffexport.values import Identity, Mode, Shape

#: Seconds of the processor that shrinking one finding may take, and those that simplifying it may take after that.
SHRINK, SIMPLIFY = 8.0, 3.0
#: Hypothesis examples in a mode of each exporter, and samples in one.
EXAMPLES = {"torchscript": 10, "dynamo": 6, "dynamo-strict": 6}
BLOCK = 16


class ScanDrawing(Drawing):
    """Draws so that there are few exports by the exporters built on ``torch.export``, which take most of the time.

    A static mode is exported at two joint shapes (a strict one, and one behind a parameter, at one), a dynamic one at
    one, which has no size that would be taken for a constant; it is run at several.

    Args:
        case: as it is applied.
        road: exports it.
        block: most samples in one example.
        sparing: export it fewer times still.
    """

    def __init__(self, case: Case, road: Pipeline, block: int, *, sparing: bool) -> None:
        super().__init__(case, road, block)
        self.sparing = sparing

    def export_shapes(self, mode: Mode) -> Sequence[tuple[Shape, ...]]:
        """Return the joint shapes that a mode is exported at."""
        shapes = super().export_shapes(mode)
        if mode.is_torchscript or not self.case.specs:
            return shapes
        telling = max(shapes, key=_telling)
        if mode.dynamic:
            return [telling]
        plain = plain_shapes(self.case.specs)
        few = [plain if plain in shapes else shapes[0]]
        if mode.exporter == "dynamo" and not self.sparing and telling not in few:
            few.append(telling)
        return few

    def export_variety(self, mode: Mode) -> Sequence[tuple[str, str, bool]]:
        """Return what the example to export with may be like."""
        return super().export_variety(mode) if mode.is_torchscript else VARIETY[:1]


def _telling(joint: tuple[Shape, ...]) -> tuple[bool, bool, int]:
    """Sort key of joint shapes: neither 0 nor 1 among their sizes, then many dimensions."""
    sizes = [size for shape in joint for size in shape]
    return 0 not in sizes, 1 not in sizes, len(sizes)


class Exploration:
    """Explores a case; the findings of the variants before are not made again.

    Args:
        case: the Function as it is applied.
        runtimes: names.
        settings: seed and strictness; examples where they were asked for, else 0.
        known: the known divergences that apply.
        emit: receives engine events: [ModeFinished][], [Found][], [Unhealthy][], [CaseFailed][].
        until: when to stop, as ``time.monotonic()`` counts.
        sparing: export as few times as can be; for another variant of what was explored before.
    """

    def __init__(
        self,
        case: Case,
        runtimes: Sequence[str],
        settings: Settings,
        known: Sequence[Known],
        emit: Callable[[Event], None],
        until: float,
        *,
        sparing: bool = False,
    ) -> None:
        self._case, self._runtimes, self._settings, self._known = case, runtimes, settings, known
        self._emit, self._until = emit, until
        self._road = scan_pipeline(repeats=not sparing)
        self._sparing = sparing
        self._suspects: dict[Identity, Finding] = {}
        self.found: dict[Identity, Finding] = {}
        self.failed = False

    def run(self, modes: Sequence[Mode], announce: Callable[[Mode], None]) -> tuple[Mode, ...]:
        """Explore each mode, announced before; return those that there was no time for.

        Where nothing can be tested in the first mode the others are left out.
        """
        for number, mode in enumerate(modes):
            announce(mode)
            try:
                self._mode(mode)
            except DeadlinePassed:
                return tuple(modes[number:])
            if self.failed and number == 0:
                return ()
        return ()

    def _mode(self, mode: Mode) -> None:
        chosen = self._settings.examples or EXAMPLES[mode.exporter]
        settings = replace(self._settings, examples=chosen, block=BLOCK)
        for _ in range(4):
            self._road.deadline = Deadline(self._until)
            explorer = Explorer(
                self._case,
                self._runtimes,
                settings,
                self._known,
                emit=self._take,
                road=self._road,
                drawing=ScanDrawing(self._case, self._road, BLOCK, sparing=self._sparing),
                found=self.found,
            )
            try:
                explorer.explore([mode])
                return
            except DeadlinePassed:
                # Shrinking took too long, or all of it did. What was seen is kept as simple as can be had quickly.
                self._road.deadline = Deadline(self._until + SIMPLIFY, time.process_time() + SIMPLIFY)
                self._keep_suspects()
                if time.monotonic() >= self._until:
                    raise
        raise DeadlinePassed

    def _take(self, event: Event) -> None:
        if isinstance(event, Suspected):
            self._suspects[event.finding.identity] = event.finding
            self._road.deadline = Deadline(self._until, time.process_time() + SHRINK)
        elif isinstance(event, Found):
            self._suspects.clear()
            self._road.deadline = Deadline(self._until)
            self._emit(event)
        elif isinstance(event, CaseFailed):
            self.failed = True
            self._emit(event)
        elif isinstance(event, ModeFinished | Unhealthy):
            self._emit(event)

    def _keep_suspects(self) -> None:
        for identity, finding in self._suspects.items():
            if identity in self.found:
                continue
            self.found[identity] = finding
            kept = self._simple(finding)
            if kept.identity != identity and kept.identity in self.found:
                continue
            self.found[kept.identity] = kept
            self._emit(Found(kept))
        self._suspects.clear()

    def _simple(self, finding: Finding) -> Finding:
        point = Point(Mode.parse(finding.mode), finding.runtime, finding.inputs, finding.export_inputs)
        seen = simplified(self._road, self._case, point, finding.divergence, strict=self._settings.strict)
        if seen is None:
            return replace(finding, shrunk=False)
        verdict = replace(seen.verdict, runtime=seen.point.runtime)
        made = diverged(
            self._case,
            verdict.identity(seen.divergence),
            seen.point,
            verdict,
            seen.divergence,
            seed=self._settings.seed,
        )
        return replace(made.finding, shrunk=False)


def carried_over(found: dict[Identity, Finding], target: str) -> dict[Identity, Finding]:
    """Return findings under the target of another variant: the same failure there is not another one."""
    return {replace(identity, target=target): finding for identity, finding in found.items()}
