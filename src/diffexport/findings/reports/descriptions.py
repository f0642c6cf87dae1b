"""A finding as text: what diverges, the minimal input, both sides, and how to see it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from diffexport.arrays import array_of, as_call, described, digest
from diffexport.findings.events import Finding
from diffexport.findings.regressions import FindingStore, SeenTensors, is_tensor, offset_of
from diffexport.findings.reports.reproduce import reproduce_line
from diffexport.findings.reports.tally import Tally
from diffexport.strategies import ordinary_like
from diffexport.values import DEFAULT_TERMS, Call, CauseKind, Inputs, Stage

#: Longest printed value of one tensor.
WIDTH = 300
#: Most lines of faces under a finding.
MOST_FACES = 8


def _why_not_shrunk(finding: Finding, tally: Tally) -> str:
    if finding.flaky:
        return "it did not show again"
    ended = tally.finished is None or tally.finished.interrupted
    return "the run ended before" if ended else "there was no time left for it"


def describe(
    finding: Finding,
    tally: Tally,
    store: FindingStore,
    *,
    chatter: bool = False,
    faces: Sequence[Finding] = (),
) -> Iterator[str]:
    """Yield the lines that describe one finding.

    Args:
        finding: what is described.
        tally: of the run that it was made in.
        store: knows where the finding is stored, if it is.
        chatter: show what exporter and runtime printed, too.
        faces: what else shows of its cause, besides what the tally knows.
    """
    divergence, identity = finding.divergence, finding.identity
    yield f"{identity.case}: {divergence.kind} at {divergence.stage} — {divergence.kind.meaning}"
    for number, line in enumerate(_trim(divergence.message)):
        yield ("  " if number == 0 else "    ") + line
    runtime = "" if divergence.stage.is_before_runtime else f" on {finding.runtime}"
    artefact = tally.started.artefact if tally.started is not None else ""
    if artefact:
        yield f"  file            {artefact}{runtime}"
    else:
        yield f"  simplest mode   {finding.mode}{runtime}"
    if finding.terms != DEFAULT_TERMS:
        yield f"  on the terms    {finding.terms}"
    if len(finding.exporters) > 1:
        yield f"  the same in     {', '.join(name for name in finding.exporters if name != identity.exporter)}"
    yield f"  minimal input   {values(finding.inputs)}"
    if not artefact and not _is_plain_example(finding):
        yield f"  exported with   {values(finding.export_inputs)}"
    if divergence.stage is Stage.COMPARE:
        yield f"  eager           {values(finding.eager)}"
        yield f"  {finding.runtime:<15} {values(finding.got)}"
    if finding.blame:
        yield f"  to blame        {': '.join(finding.blame)}"
    for remark in finding.remarks:
        yield f"  remark          {remark}"
    if finding.cause is not None and finding.cause.kind is CauseKind.OPERATOR:
        yield f"  first departs   {finding.cause}"
    yield from _also((*tally.faces_of(finding), *faces))
    if not finding.shrunk:
        yield f"  (not shrunk: {_why_not_shrunk(finding, tally)})"
    error = store.error_of(finding)
    if error:
        yield f"  could not be saved: {error}"
    yield f"  reproduce       {reproduce_line(finding, tally, store)}"
    if chatter and finding.chatter:
        yield "  what was printed during the export:"
        yield from (f"    | {line}" for line in finding.chatter.splitlines())


def _also(faces: Sequence[Finding]) -> Iterator[str]:
    """Yield a short line for each sort of face: its kind and place, and where it shows."""
    sorts: dict[str, dict[str, None]] = {}
    for face in faces:
        place = "" if face.divergence.place.is_whole else f" in {face.divergence.where}"
        runtime = "" if face.divergence.stage.is_before_runtime else f" on {face.runtime}"
        sorts.setdefault(f"{face.divergence.kind}{place}", {})[f"{face.mode}{runtime}"] = None
    for number, (sort, seen) in enumerate(sorts.items()):
        if number == MOST_FACES:
            yield f"                  … and {len(sorts) - MOST_FACES} more"
            return
        first, *others = seen
        more = f" and {len(others)} more" if others else ""
        yield f"  {'also' if number == 0 else '':<15} {sort}: {first}{more}"


def values(items: Inputs) -> str:
    """Return tensors as ``[nan, 1] float32[2]``, other arguments as Python shows them, keywords with their names."""
    call, seen = Call.of(items), SeenTensors()
    shown = [_value(item, seen) for item in call.args]
    shown += [f"{name}={_value(item, seen)}" for name, item in call.kwargs.items()]
    return ", ".join(shown) or "none"


def _value(item: Any, seen: SeenTensors) -> str:
    if isinstance(item, tuple | list):
        inside = ", ".join(_value(part, seen) for part in item)
        return f"[{inside}]" if isinstance(item, list) else f"({inside})"
    if isinstance(item, dict):
        return "{" + ", ".join(f"{key!r}: {_value(part, seen)}" for key, part in item.items()) + "}"
    if not is_tensor(item):
        return repr(item)
    number, array = seen.number_of(item), array_of(item)
    text = described(array)
    if getattr(item, "requires_grad", False):
        text += " requires_grad"
    steps = [stride // array.itemsize for stride in array.strides]
    if array.size and not array.flags.c_contiguous:
        text += f" with strides {steps}"
    if offset_of(item):
        text += f" at offset {offset_of(item)}"
    return text if number is None else f"{text} (the same as x{number})"


def _is_plain_example(finding: Finding) -> bool:
    """Return whether the export's example is the one anyone would think of: ordinary, or the minimal input itself."""
    example = digest(as_call(finding.export_inputs))
    given = as_call(finding.inputs)
    return example in (digest(given), digest(ordinary_like(given)))


def _trim(message: str) -> list[str]:
    lines = [line for line in message.splitlines() if line.strip()] or [""]
    return [line[:WIDTH] for line in lines[:4]] + (["…"] if len(lines) > 4 else [])
