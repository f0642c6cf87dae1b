"""From a failure to a finding: made minimal, blamed, and told once."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from diffexport.arrays import array_of
from diffexport.backends.runtimes import family
from diffexport.explore.accepted import Accepted
from diffexport.explore.blame import Blame, BlameVote
from diffexport.explore.cause_making import CauseMaker
from diffexport.explore.divergence_errors import Diverged, finding_at
from diffexport.explore.minimise import Minimiser
from diffexport.explore.point import Point, SeenFailure
from diffexport.explore.settings import Settings
from diffexport.explore.timekeeper import Timekeeper
from diffexport.findings.events import Finding
from diffexport.pipeline import Pipeline, weights_digest
from diffexport.processes import STEPS
from diffexport.subjects.cases import Case
from diffexport.values import (
    Cause,
    DeadlinePassed,
    Divergence,
    Identity,
    Inputs,
    Mode,
    TensorSpec,
    admits_all,
)

#: Most checks that are spent on making a failure smaller whose cause a finding was made of before.
_CHECKS_OF_A_FACE = 60


class FindingMaker:
    """Makes the findings of a case.

    Args:
        case: the model under test.
        pipeline: runs what is tried when a finding is made smaller.
        accepted: what is known.
        settings: how, and within which limits.
        timekeeper: ends what takes too long.
        findings: made before, by identity; they are not made again. Updated.
    """

    def __init__(
        self,
        case: Case,
        pipeline: Pipeline,
        accepted: Accepted,
        settings: Settings,
        timekeeper: Timekeeper,
        findings: dict[Identity, Any],
    ) -> None:
        self._case, self._pipeline, self._accepted = case, pipeline, accepted
        self._settings, self._timekeeper = settings, timekeeper
        self._findings = findings
        self._weights: str | None = None
        self._causes = CauseMaker(pipeline, case, timekeeper)

    def make(self, failure: Diverged, flaky: bool) -> Finding | None:
        """Make a finding of a failure; None where what it comes down to is known, or was found before.

        Raises:
            DeadlinePassed: there was no time for making it minimal.
        """
        finding = replace(failure.finding, flaky=True)
        if self._settings.shrink and not flaky:
            finding = (
                self._face(failure) or self._shrunk(failure.point, failure.finding.divergence) or finding
            )
        self._findings[failure.identity] = finding
        # Minimal, it may turn out to be one already found in a simpler exporter, or a known divergence.
        if finding.identity in self._findings and finding.identity != failure.identity:
            return None
        if self._is_accepted(finding):
            return None
        if finding.cause is None:
            finding = self._blamed(finding)
        finding = self._with_weights(finding)
        self._findings[finding.identity] = finding
        return finding

    def _shrunk(self, point: Point, divergence: Divergence) -> Finding | None:
        """Make a failure minimal; None if it does not show."""
        minimiser = self._minimiser(self._to_minimise(point), self._settings.limits.shrink_checks)
        seen = minimiser.run(point, divergence)
        if seen is None:
            return None
        return replace(self._at(seen, shrunk=True), exporters=minimiser.exporters(seen))

    def _face(self, failure: Diverged) -> Finding | None:
        """Make a failure a little smaller whose cause is known; None if it is not, or only while it is large."""
        if (
            self._with_this_cause(failure.point, self._cause_at(failure.point, failure.finding.divergence))
            is None
        ):
            return None
        minimiser = self._minimiser(self._to_minimise(failure.point), _CHECKS_OF_A_FACE)
        seen = minimiser.run(failure.point, failure.finding.divergence)
        if seen is None:
            return None
        known = self._with_this_cause(seen.point, self._cause_at(seen.point, seen.divergence))
        if known is None:
            return None
        face = replace(self._at(seen, shrunk=True), exporters=minimiser.exporters(seen))
        return replace(face, cause=known.cause, blame=known.blame)

    def _cause_at(self, point: Point, divergence: Divergence) -> Cause | None:
        """Return the cause of what diverges at a point, before there is a vote on who is to blame."""
        if not self._settings.blame:
            return None
        STEPS.begin("blame")
        return self._causes.at(point, divergence, (point.mode.description.conversion,))

    def _with_this_cause(self, point: Point, cause: Cause | None) -> Finding | None:
        """Return a finding that has a cause; without a vote only one of the same family of runtimes."""
        if cause is None:
            return None
        findings = [
            one for one in self._findings.values() if isinstance(one, Finding) and one.cause is not None
        ]
        own = [one for one in findings if family(one.runtime) == family(point.runtime)]
        return next((one for one in own if one.cause is not None and one.cause.is_one_with(cause)), None)

    def make_quickly(self, failure: Diverged) -> Finding | None:
        """Make a finding of a failure, as simple as can be had before the time is over; None if it was found before."""
        self._findings[failure.identity] = failure.finding
        # What has a cause that is known needs no more than to be named.
        cause = None
        with contextlib.suppress(DeadlinePassed):
            cause = self._cause_at(failure.point, failure.finding.divergence)
        known = self._with_this_cause(failure.point, cause)
        if known is not None:
            return self._with_weights(
                replace(failure.finding, shrunk=False, cause=known.cause, blame=known.blame)
            )
        minimiser = self._minimiser(self._case, self._settings.limits.quick_checks)
        try:
            seen = minimiser.run(failure.point, failure.finding.divergence)
        except DeadlinePassed:
            seen = minimiser.simplest
        finding = replace(failure.finding, shrunk=False) if seen is None else self._at(seen, shrunk=False)
        if finding.identity in self._findings and finding.identity != failure.identity:
            return None
        finding = self._with_cause(self._with_weights(replace(finding, cause=cause)), None)
        self._findings[finding.identity] = finding
        return finding

    def _with_weights(self, finding: Finding) -> Finding:
        """Return the finding with a digest of the weights, where it is one of a target."""
        if self._case.target == self._case.name:
            return finding
        if self._weights is None:
            self._weights = weights_digest(self._pipeline.prepare(self._case).module)
        return replace(finding, weights=self._weights)

    def _minimiser(self, case: Case, checks: int) -> Minimiser:
        return Minimiser(
            self._pipeline,
            case,
            self._settings.strict,
            checks=checks,
            timekeeper=self._timekeeper,
            modes=self._settings.selected,
        )

    def _to_minimise(self, point: Point) -> Case:
        """Return the case; for a call that its specs do not speak of, one without them, which leaves tensors be."""
        inputs = point.inputs
        if not self._case.extra_inputs or self._fits(inputs):
            return self._case
        return replace(self._case, inputs=(), strategy=st.nothing())

    def _fits(self, inputs: Inputs) -> bool:
        if not self._case.speaks_of(inputs):
            return False
        pairs = zip(self._case.inputs, self._case.values_of(inputs), strict=True)
        given = [(entry, array_of(value)) for entry, value in pairs if isinstance(entry, TensorSpec)]
        return all(
            hasattr(value, "dtype") and value.dtype.name == entry.dtype for entry, value in given
        ) and (admits_all([entry for entry, _ in given], [value.shape for _, value in given]))

    def _blamed(self, finding: Finding) -> Finding:
        """Return the finding with whom to blame and its cause, as far as there is time to find that out."""
        point = Point(Mode.parse(finding.mode), finding.runtime, finding.inputs, finding.export_inputs)
        if not self._settings.blame or finding.flaky:
            return finding
        STEPS.begin("blame")
        vote = BlameVote(self._pipeline, self._case, self._timekeeper)
        blame = None
        # Better one without anybody to blame than none.
        with contextlib.suppress(DeadlinePassed):
            blame = vote.blame(point, finding.divergence)
        if blame is not None:
            finding = replace(finding, blame=(str(blame.culprit), blame.because))
        return self._with_cause(finding, blame)

    def _with_cause(self, finding: Finding, blame: Blame | None) -> Finding:
        if not self._settings.blame:
            return finding
        STEPS.begin("blame")
        with contextlib.suppress(DeadlinePassed):
            return replace(finding, cause=self._causes.of(finding, blame) or finding.cause)
        return finding

    def _at(self, seen: SeenFailure, *, shrunk: bool) -> Finding:
        """Return the finding of a failure as it was seen at a point."""
        return finding_at(self._case, seen, seed=self._settings.seed, shrunk=shrunk)

    def _is_accepted(self, finding: Finding) -> bool:
        mode = Mode.parse(finding.mode)
        entry = self._accepted.entry(
            mode, finding.runtime, finding.divergence, finding.inputs, finding.export_inputs
        )
        return entry is not None
