"""A run in Markdown: the table and the findings of the terminal, for an issue, a comment or the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterator

from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports.descriptions import describe
from diffexport.findings.reports.live import versions_in_words
from diffexport.findings.reports.result_table import TITLE, ResultTable
from diffexport.findings.reports.summary_lines import (
    closing_lines,
    count_lines,
    problem_lines,
    result_word,
    rounds_lines,
    totals_line,
)
from diffexport.findings.reports.tally import Tally


def markdown_report(tally: Tally, store: FindingStore, *, verbose: bool = False, remark: str = "") -> str:
    """Return what the terminal says at the end of a run, in Markdown.

    Args:
        tally: of the run.
        store: has stored its findings.
        verbose: show what exporters printed with each finding.
        remark: what a person may do after an interruption.
    """
    tally.settle()
    return "\n\n".join(_parts(tally, store, verbose, remark)) + "\n"


def _parts(tally: Tally, store: FindingStore, verbose: bool, remark: str) -> Iterator[str]:
    """Yield the paragraphs."""
    started = tally.started
    yield f"## diffexport: {result_word(tally)}"
    if started is not None:
        cases = ", ".join(f"`{case}`" for case in started.cases)
        yield f"{cases}; {versions_in_words(started.versions)}"
    if tally.modes:
        yield f"{TITLE}:"
        yield ResultTable.of(tally).markdown()
    for number, finding in enumerate(tally.findings, start=1):
        heading, *lines = describe(finding, tally, store, chatter=verbose)
        yield f"### {number}. {heading}"
        yield _fenced(lines)
    said = [*problem_lines(tally), *count_lines(tally)]
    if said:
        yield "\n".join(f"- **{word}** {' '.join(text.split())}" for word, text in said)
    yield totals_line(tally)
    ends = [*rounds_lines(tally), store.last_words, *closing_lines(tally, remark)]
    yield from [line for line in ends if line]


def _fenced(lines: list[str]) -> str:
    """Return lines as they are, in a fence that none of them closes."""
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return "\n".join([fence, *(line.removeprefix("  ") for line in lines), fence])
