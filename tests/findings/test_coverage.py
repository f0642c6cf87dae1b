"""A run is as expected only if everything that was asked for was tested; what was not is listed with the reason."""

import io

import pytest
from rich.console import Console

from diffexport.findings.events.events import (
    CaseFailed,
    Excluded,
    ModeFinished,
    Row,
    RunFinished,
    RunStarted,
)
from diffexport.findings.events.row_verdict import RowVerdict
from diffexport.findings.regressions.finding_store import FindingStore
from diffexport.findings.reports.json_report import report_document
from diffexport.findings.reports.tally import Tally
from diffexport.findings.reports.terminal import Terminal

MODES, RUNTIMES = ("torchscript", "dynamo"), ("ort-all", "reference")
END = RunFinished(1.0)


def started(*cases):
    return RunStarted(cases or ("mine",), 2, RUNTIMES, 4, 0, "dev", False, {}, asked=MODES)


def mode(name, *verdicts, case="mine", **row):
    rows = [Row(runtime, one, **row) for runtime, one in zip(RUNTIMES, verdicts, strict=False)]
    return ModeFinished(case, name, tuple(rows))


def agreeing(name, case="mine"):
    return mode(name, RowVerdict.AGREES, RowVerdict.REFUSED, case=case, checks=3)


def after(*events):
    tally = Tally()
    for event in events:
        tally.take(event)
    return tally


def said(tally):
    """What the terminal shows at the end."""
    out = io.StringIO()
    Terminal(tally, FindingStore(), console=Console(file=out, width=200)).finish()
    return out.getvalue()


def test_everything_tested_is_as_expected():
    tally = after(started(), agreeing("torchscript"), agreeing("dynamo"), END)
    assert (tally.exit_code, tally.untested()) == (0, [])
    assert "untested" not in said(tally)


def test_a_mode_that_nothing_was_heard_of_is_not_as_expected():
    tally = after(started(), agreeing("torchscript"), END)
    (one,) = tally.untested()
    assert (one.case, one.mode, one.runtimes, one.failed) == ("mine", "dynamo", RUNTIMES, True)
    assert tally.exit_code == 2
    assert "untested mine: 1 mode, 2 (mode, runtime) pairs: not reached: nothing was heard of it" in said(
        tally
    )
    assert "all as expected" not in said(tally)
    (entry,) = report_document(tally, FindingStore())["untested"]
    assert entry == {
        "case": "mine",
        "mode": "dynamo",
        "runtimes": list(RUNTIMES),
        "reason": one.reason,
        "failed": True,
    }


def test_a_runtime_that_is_missing_in_a_row_is_not_as_expected():
    tally = after(started(), agreeing("torchscript"), mode("dynamo", RowVerdict.AGREES, checks=1), END)
    assert [one.runtimes for one in tally.untested()] == [("reference",)]
    assert tally.exit_code == 2


@pytest.mark.parametrize(
    ("end", "words", "code"),
    [
        (RunFinished(1.0, interrupted=True), "the run was interrupted", 130),
        (None, "the run was interrupted", 130),
        (RunFinished(1.0, out_of_time=True), "the time was over", 2),
    ],
)
def test_the_reason_is_that_of_the_end(end, words, code):
    tally = after(started(), agreeing("torchscript"), *filter(None, [end]))
    assert [one.reason for one in tally.untested()] == [f"not reached: {words}"]
    assert tally.exit_code == code


def test_a_case_that_failed_is_the_reason():
    tally = after(started(), CaseFailed("mine", "it does not import\nat all"), END)
    assert {one.reason for one in tally.untested()} == {"not reached: it does not import"}
    assert tally.exit_code == 2


def test_what_is_excluded_needs_no_row():
    excluded = Excluded("mine", "dynamo*", 1, "it is so", ("dynamo",))
    tally = after(started(), excluded, excluded, agreeing("torchscript"), END)
    assert (tally.untested(), len(tally.excluded), tally.exit_code) == ([], 1, 0)


def test_where_everything_is_excluded_nothing_was_tested():
    tally = after(started(), Excluded("mine", "*", 2, "it is so", MODES), END)
    assert tally.untested() == []
    assert tally.exit_code == 2
    assert "nothing was tested: every mode that was to be run is excluded" in said(tally)
    assert said(tally).rstrip().endswith("NOT TESTED")


def test_a_run_without_one_check_is_not_as_expected():
    assert after(started("mine"), END).exit_code == 2
    assert after(END).exit_code == 2


def test_a_model_that_raises_on_every_input_of_a_mode_is_a_reason():
    rejected = mode("dynamo", RowVerdict.UNTESTED, RowVerdict.UNTESTED, rejected=7)
    tally = after(started(), agreeing("torchscript"), rejected, END)
    (one,) = tally.untested()
    assert one.reason == "the model itself raises on each of the 7 inputs that were drawn"
    assert (one.failed, tally.exit_code) == (False, 0)


def test_a_row_that_says_nothing_is_not_as_expected():
    silent = mode("dynamo", RowVerdict.UNTESTED, RowVerdict.UNTESTED)
    tally = after(started(), agreeing("torchscript"), silent, END)
    assert [(one.reason, one.failed) for one in tally.untested()] == [("no input was checked", True)]
    assert tally.exit_code == 2


def test_a_mode_that_was_given_up_is_not_as_expected():
    given_up = mode("dynamo", RowVerdict.UNTESTED, RowVerdict.AGREES, reason="its worker was killed")
    tally = after(started(), agreeing("torchscript"), given_up, END)
    (one,) = tally.untested()
    assert (one.reason, one.runtimes, tally.exit_code) == ("its worker was killed", ("ort-all",), 2)


def test_of_two_cases_of_one_name_both_are_needed():
    once = [agreeing("torchscript"), agreeing("dynamo")]
    assert after(started("mine", "mine"), *once, END).exit_code == 2
    assert (
        after(started("mine", "mine"), *once, agreeing("torchscript"), agreeing("dynamo"), END).exit_code == 0
    )


def test_what_is_given_twice_because_of_an_interruption_is_counted_once():
    event = agreeing("torchscript")
    assert len(after(started(), event, event).modes) == 1
