"""The table of a run fits a terminal, says each case once, and is the same in Markdown."""

import io

import numpy as np
import pytest
from rich.console import Console

from diffexport.findings.events import Finding, ModeFinished, Row, RowVerdict, RunFinished, RunStarted
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports import Tally, Terminal, markdown_report
from diffexport.findings.reports.result_table import end_of
from diffexport.values import Divergence, Identity, Kind, Place, Stage

PATH = "a/folder/with/a/very/long/name/and/one/more/below/it/models/of_the_year/layers.py:Attention.forward"
DIVERGENCE = Divergence(Stage.COMPARE, Kind.VALUE, Place.output(0), "finite→finite", "it | differs ``` so")


def tally_of(*modes, case=PATH, findings=0, checks=0, rejected=0):
    tally = Tally()
    tally.take(RunStarted((case, "clamp"), len(modes), ("ort-all",), 4, 0, "dev", False, {"torch": "2.13.0"}))
    for mode, verdict in modes:
        row = Row("ort-all", verdict, checks=checks, rejected=rejected)
        for name in (case, "clamp"):
            tally.take(ModeFinished(name, mode, (row,)))
    identity = Identity(case, "dynamo", "ort-all", *vars(DIVERGENCE.key).values())
    finding = Finding(identity, case, "dynamo", "ort-all", DIVERGENCE, (np.ones(1),), (np.ones(1),))
    tally.findings += [finding for _ in range(findings)]
    tally.take(RunFinished(3.0))
    return tally


EVERYTHING = [
    (f"{exporter},dynamic=true", verdict)
    for exporter in ("dynamo", "dynamo-strict", "torchscript")
    for verdict in RowVerdict
]


def said(tally, width=80):
    log = io.StringIO()
    console = Console(file=log, width=width, highlight=False, soft_wrap=True, emoji=False)
    Terminal(tally, FindingStore(), console=console).finish()
    return log.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_table_fits_and_breaks_no_name(width):
    text = said(tally_of(*EVERYTHING), width)
    table = text.partition("untested a/folder")[0].splitlines()
    assert max(map(len, table)) <= width
    # A title, names and a rule; a line for each case and exporter; and nothing else.
    assert len(table) == 3 + 6
    assert "…" not in "".join(table[:3])
    assert sum("forward" in line for line in table) == 1
    assert (PATH in "".join(table)) is (width == 200)


def test_the_end_of_a_name_is_kept():
    assert end_of("folder/layers.py:Attention", 14) == "….py:Attention"
    assert end_of("clamp", 5) == "clamp"
    assert len(end_of(PATH, 20)) == 20


def test_the_same_table_in_markdown():
    tally = tally_of(
        ("dynamo", RowVerdict.AGREES), ("torchscript", RowVerdict.DIVERGES), findings=2, checks=1
    )
    lines = markdown_report(tally, FindingStore()).splitlines()
    assert lines[0] == "## diffexport: FINDINGS"
    assert "| case | exporter | agree | NEW |" in lines
    assert f"| {PATH} | torchscript |  | 1 |" in lines
    assert f"### 1. {PATH}: value at compare — {Kind.VALUE.meaning}" in lines
    # A fence that nothing within it closes.
    assert lines.count("````") == 4
    assert "it | differs ``` so" in lines
    assert "4 checks in 3 s: 2 agree, 2 NEW, 2 findings" in lines


@pytest.mark.parametrize(
    ("modes", "more", "line"),
    [
        ([RowVerdict.AGREES], {"checks": 1}, "2 checks in 3 s: 2 agree, 0 NEW"),
        (
            [RowVerdict.UNTESTED],
            {"rejected": 1},
            "0 checks in 3 s: 0 NEW, 2 untested, 2 inputs rejected by eager",
        ),
        ([RowVerdict.DIVERGES], {"findings": 1}, "no check was done to its end in 3 s: 2 NEW, 1 finding"),
        ([RowVerdict.AGREES], {"findings": 4, "checks": 600}, "1,200 checks in 3 s: 2 agree, 4 findings"),
    ],
)
def test_the_totals_are_true(modes, more, line):
    tally = tally_of(*[("dynamo", verdict) for verdict in modes], **more)
    assert line in said(tally).splitlines()


def test_what_is_known_for_every_model_is_explained_to_who_tests_his_own():
    known = {"dynamo-stays-at-opset-18": 3, "clamp-stays-at-opset-18": 1}
    for case, is_explained in ((PATH, True), ("clamp", False)):
        tally = tally_of(case=case)
        tally.take(ModeFinished(case, "dynamo,opset=13", (Row("ort-all", RowVerdict.KNOWN, known=known),)))
        lines = [line for line in said(tally, 800).splitlines() if line.startswith("known")]
        assert lines[0] == "known clamp-stays-at-opset-18: met in 1 (mode, runtime) pair"
        assert lines[1].startswith("known dynamo-stays-at-opset-18: met in 1 (mode, runtime) pair")
        assert lines[1].endswith("Ask for opset 18 or a later one.") is is_explained
