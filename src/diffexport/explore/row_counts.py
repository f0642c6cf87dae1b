"""What a row counts of a verdict."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from diffexport.findings.events import Row, RowVerdict
from diffexport.values import Outcome, Verdict


def count_verdict(row: Row, verdict: Verdict, first_of_example: bool) -> None:
    """Count the verdict on one sample; an example of Hypothesis is counted with its first sample."""
    row.examples += first_of_example
    if verdict.outcome is Outcome.REJECTED:
        if verdict.out_of_memory:
            row.out_of_memory += 1
        else:
            row.rejected += 1
        return
    row.checks += 1
    if verdict.outcome is Outcome.AGREES and not (verdict.arbitrated or verdict.notes or verdict.tolerated):
        # As nearly always.
        row.worsen(RowVerdict.AGREES)
        return
    row.arbitrated += verdict.arbitrated
    row.excused += verdict.excused
    row.unrefereed += verdict.unrefereed
    row.tolerated += verdict.tolerated
    for note in verdict.notes:
        count_note(row, note.kind)
    if verdict.outcome is not Outcome.DIVERGES:
        row.worsen(RowVerdict(verdict.outcome))
    if verdict.outcome is Outcome.REFUSED and not row.reason:
        row.reason = _most_informative_line(verdict.reason)


def count_note(row: Row, name: str) -> None:
    """Count a sample that shows something which is reported without failing."""
    row.notes[name] = row.notes.get(name, 0) + 1


@contextlib.contextmanager
def without_examples(rows: Iterable[Row]) -> Iterator[None]:
    """Count no examples of Hypothesis meanwhile: what is checked is none of them."""
    before = [(row, row.examples) for row in rows]
    yield
    for row, examples in before:
        row.examples = examples


def _most_informative_line(text: str) -> str:
    """Return the line of an error that says most: the summary that torch.onnx gives of its cause, else the first."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip() for line in text.strip().splitlines()] or [""]
    line = next((line for line in lines if line.startswith("<class '")), lines[0])
    return re.sub(r"^<class '(?:[\w.]*\.)?(\w+)'>: *", r"\1: ", line)


def counted_before(rows: Iterable[Row], runtimes: Iterable[str]) -> dict[str, Row]:
    """Return rows to count in: copies of those that there are, and fresh ones."""
    before = {row.runtime: row for row in rows}
    copies = {
        name: replace(before[name], known=dict(before[name].known), notes=dict(before[name].notes))
        for name in runtimes
        if name in before
    }
    return {name: copies.get(name) or Row(name) for name in runtimes}
