"""A divergence as an exception, whose type is its identity: that is how Hypothesis tells failures apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from diffexport.arrays import as_plain, in_few_bytes
from diffexport.backends.runtimes import family
from diffexport.explore.point import Point, SeenFailure
from diffexport.findings.events import Finding
from diffexport.oracle import same_bits
from diffexport.subjects.cases import Case
from diffexport.values import Divergence, FailureKey, Identity, Verdict


class Diverged(AssertionError):
    """The exported model is not the eager one.

    Raised inside a Hypothesis test. Its subclasses, one for each identity, tell failures apart, so that
    Hypothesis shrinks each on its own. ``finding`` holds everything that was seen.
    """

    def __init__(self, finding: Finding, point: Point) -> None:
        super().__init__(finding.divergence.message)
        self.finding, self.point = finding, point

    @property
    def identity(self) -> Identity:
        """The identity of the failure."""
        return self.finding.identity


@cache
def _type_of(identity: Identity) -> type[Diverged]:
    return type("Diverged", (Diverged,), {"__module__": "diffexport", "identity_digest": identity.digest})


def diverged(
    case: Case,
    identity: Identity,
    point: Point,
    verdict: Verdict,
    divergence: Divergence,
    *,
    seed: int = 0,
    shrunk: bool = False,
) -> Diverged:
    """Return the exception for one divergence, of the type that belongs to its identity."""
    finding = Finding(
        identity=identity,
        target=case.target,
        specs=_texts(case),
        mode=str(point.mode),
        runtime=point.runtime,
        divergence=divergence,
        inputs=as_plain(point.inputs),
        export_inputs=as_plain(point.export_inputs),
        eager=tuple(map(in_few_bytes, verdict.eager)),
        got=tuple(map(in_few_bytes, verdict.got)),
        exporters=(point.mode.exporter,),
        seed=seed,
        shrunk=shrunk,
        terms=case.terms,
        chatter=verdict.chatter,
    )
    return _type_of(identity)(finding, point)


def finding_at(case: Case, seen: SeenFailure, *, seed: int, shrunk: bool) -> Finding:
    """Return the finding of a failure as it was seen at a point."""
    verdict = replace(seen.verdict, runtime=seen.point.runtime)
    identity = verdict.identity(seen.divergence)
    failure = diverged(case, identity, seen.point, verdict, seen.divergence, seed=seed, shrunk=shrunk)
    return replace(failure.finding, remarks=seen.remarks)


def _texts(case: Case) -> tuple[str, ...]:
    """Return the specs of a case that does not carry them itself, as given on the command line."""
    if case.texts:
        return case.texts
    if case.target == case.name or len(case.specs) < len(case.inputs):
        return ()
    return case.input_texts


def attribute(verdicts: Sequence[Verdict]) -> Iterator[tuple[Verdict, Divergence, Identity]]:
    """Yield each divergence of verdicts over several runtimes with its identity.

    What shows at several optimisation levels is one failure, attributed to the lowest of them; so is what shows
    in both families of runtimes with the same wrong outputs, for then it is the graph that is wrong.
    """
    seen: dict[FailureKey, list[Verdict]] = {}
    for verdict in verdicts:
        for divergence in verdict.divergences:
            key = divergence.key
            first = next((other for other in seen.get(key, ()) if _one_failure(other, verdict)), verdict)
            if first is verdict:
                seen.setdefault(key, []).append(verdict)
            yield verdict, divergence, first.identity(divergence)


def _one_failure(one: Verdict, other: Verdict) -> bool:
    if family(one.runtime) == family(other.runtime):
        return True
    return bool(one.got) and same_bits(one.got, other.got)


def failures_in(group: BaseException) -> Iterator[Diverged]:
    """Yield the divergences in an exception group, nested or not."""
    if isinstance(group, Diverged):
        yield group
    for inner in getattr(group, "exceptions", ()):
        with contextlib.suppress(RecursionError):
            yield from failures_in(inner)
