"""From a failure to a finding: shrunk, blamed, and told once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from diffexport.arrays import array_of
from diffexport.explore.accepted import Accepted
from diffexport.explore.blame import Court
from diffexport.explore.divergence_errors import Diverged, diverged
from diffexport.explore.minimise import Minimiser, Point, Seen
from diffexport.findings.events import Event, Finding, Found
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import Case
from diffexport.values import Call, Identity, Mode, TensorSpec, admits_all


class Finder:
    """Keeps what was found in a case.

    Args:
        case: the model under test.
        road: runs what is tried when a finding is made smaller.
        accepted: what is known.
        emit: receives a [Found][] for each new finding.
        strict: notes fail.
        shrink: make findings minimal; without, the first sight is kept.
        seed: of the run.
        found: findings made before, which are not made again; updated.
    """

    def __init__(
        self,
        case: Case,
        road: Pipeline,
        accepted: Accepted,
        emit: Callable[[Event], None],
        *,
        strict: bool,
        shrink: bool,
        seed: int,
        found: dict[Identity, Finding],
    ) -> None:
        self._case, self._road, self._accepted, self._emit = case, road, accepted, emit
        self._strict, self._shrink, self._seed = strict, shrink, seed
        self.found = found

    def record(self, failure: Diverged, flaky: bool) -> None:
        """Make a finding of a failure, unless what it comes down to is known or found already."""
        finding = replace(failure.finding, flaky=True)
        if self._shrink and not flaky:
            minimiser = Minimiser(self._road, self._to_minimise(failure.point), self._strict)
            seen = minimiser.run(failure.point, failure.finding.divergence)
            if seen is not None:
                finding = self._minimal(seen, minimiser.exporters(seen))
        self.found[failure.identity] = finding
        # Minimal, it may turn out to be one already found in a simpler exporter, or a known divergence.
        if finding.identity in self.found and finding.identity != failure.identity:
            return
        if self._is_accepted(finding):
            return
        finding = self._blamed(finding)
        self.found[finding.identity] = finding
        self._emit(Found(finding))

    def _to_minimise(self, point: Point) -> Case:
        """Return the case; for a call that its specs do not speak of, one without them, which leaves tensors be."""
        inputs = point.inputs
        if not self._case.extra_inputs or (not isinstance(inputs, Call) and self._fits(inputs)):
            return self._case
        return replace(self._case, inputs=(), strategy=st.nothing())

    def _fits(self, inputs: Sequence[Any]) -> bool:
        if len(inputs) != len(self._case.inputs):
            return False
        pairs = zip(self._case.inputs, inputs, strict=True)
        given = [(entry, array_of(value)) for entry, value in pairs if isinstance(entry, TensorSpec)]
        return all(
            hasattr(value, "dtype") and value.dtype.name == entry.dtype for entry, value in given
        ) and (admits_all([entry for entry, _ in given], [value.shape for _, value in given]))

    def _blamed(self, finding: Finding) -> Finding:
        point = Point(Mode.parse(finding.mode), finding.runtime, finding.inputs, finding.export_inputs)
        blame = None if finding.flaky else Court(self._road, self._case).blame(point, finding.divergence)
        return finding if blame is None else replace(finding, blame=(str(blame.culprit), blame.because))

    def _minimal(self, seen: Seen, exporters: tuple[str, ...]) -> Finding:
        verdict = replace(seen.verdict, runtime=seen.point.runtime)
        identity = verdict.identity(seen.divergence)
        smallest = diverged(
            self._case, identity, seen.point, verdict, seen.divergence, seed=self._seed, shrunk=True
        )
        return replace(smallest.finding, exporters=exporters)

    def _is_accepted(self, finding: Finding) -> bool:
        mode = Mode.parse(finding.mode)
        entry = self._accepted.entry(
            mode, finding.runtime, finding.divergence, finding.inputs, finding.export_inputs
        )
        return entry is not None
