"""What a journal says of an earlier run: events come back as they were, and only what is whole counts as done."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from diffexport.findings.events.events import (
    Excluded,
    Finding,
    FindingMade,
    KnownReplayed,
    ModeFinished,
    Row,
    Suspected,
)
from diffexport.findings.events.row_verdict import KnownStatus, RowVerdict
from diffexport.findings.journal.history import History
from diffexport.findings.journal.journal_file import JournalFile
from diffexport.findings.journal.run_journal import RunJournal
from diffexport.findings.regressions.finding_store import FindingStore
from diffexport.findings.reports.json_report import divergence_document
from diffexport.findings.reports.tally import Tally
from diffexport.values import Call
from diffexport.values.place import Place
from diffexport.values.verdict import Divergence, Evidence, Identity, Kind, Stage

X = np.array([[math.nan, -0.0, 1e-45], [math.inf, 1.5, -math.inf]], "float32")
LARGE = np.arange(3000, dtype="int64").reshape(3, 1000)[:, ::2]
EVIDENCE = Evidence(5, low=-math.inf, high=0.1, ulps=3.0, condition=None, reference=math.nan, farther="eager")


def finding(
    inputs=(X,), *, mode="torchscript", signature="inf→finite", kind=Kind.VALUE, case="mine", **changes
):
    divergence = Divergence(
        Stage.COMPARE, kind, Place.output(1, "real"), signature, "they\ndiffer", (0, 2), 3.25, EVIDENCE
    )
    identity = Identity.of(case, "torchscript", "ort-all", divergence.key, "module:mine")
    return Finding(
        identity,
        "module:mine",
        mode,
        "ort-all",
        divergence,
        inputs,
        (X,),
        **{"eager": (X,), "got": (X + 1, LARGE), "exporters": ("torchscript",), **changes},
    )


FINDINGS = {
    "plain": finding(),
    "large": finding((LARGE, X)),
    "keywords": finding(Call((X,), {"mask": None, "scale": 2.0, "names": ["a", (1, True)]})),
    "gradient": finding((torch.ones(2, requires_grad=True),)),
    "dtype": finding((torch.tensor([1.5], dtype=torch.bfloat16), torch.float32)),
    "unshrunk": finding(shrunk=False, flaky=True, chatter="it\nprinted \udcff", blame=("kernel", "because")),
    "elsewhere": dataclasses.replace(
        finding(), identity=dataclasses.replace(finding().identity, signature="other", runtime="reference")
    ),
}


@pytest.fixture
def journal(tmp_path):
    said = []

    def opened(*, resume=True, cases=("mine",)):
        journal = RunJournal.open(
            tmp_path, "run", "mine", {"seed": 1}, resume=resume, say=said.append, cases=cases
        )
        journal.said = said
        return journal

    return opened


def again(journal, *events, **options):
    """What is known after these events and a new start."""
    first = journal()
    for event in events:
        (first.announce if isinstance(event, Suspected) else first.take)(event)
    first.close(complete=False)
    second = journal(**options)
    second.close(complete=False)
    return second.history


def mode(name="torchscript", verdict=RowVerdict.AGREES, case="mine", **row):
    return ModeFinished(case, name, (Row("ort-all", verdict, **row),), {"accepted": 3})


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_comes_back_as_it_was(journal, name):
    given = FINDINGS[name]
    (back,) = again(journal, FindingMade(given)).findings
    for field in dataclasses.fields(Finding):
        if field.name not in ("inputs", "export_inputs", "eager", "got", "divergence"):
            assert getattr(back, field.name) == getattr(given, field.name), field.name
    assert back.divergence == given.divergence
    documents = [divergence_document(one, Tally(), FindingStore()) for one in (given, back)]
    assert documents[0] == documents[1]
    assert str(documents[0]) == str(documents[1])


def test_a_mode_comes_back_with_every_figure(journal):
    row = Row(
        "ort-all", RowVerdict.KNOWN, "run", "value", 3, 4, 5, {"a": 1}, {"b": 2}, 6, 7, 8, 9, 10, 1.5, "why"
    )
    given = ModeFinished("mine", "torchscript", (row, Row("reference", RowVerdict.AGREES)), {"accepted": 2})
    history = again(journal, given)
    assert history.modes == (given,)
    assert history.is_settled("mine", "torchscript")
    assert not history.is_settled("mine", "dynamo")
    assert history.carried("mine", "torchscript") == ({"accepted": 2},)
    assert history.carried("mine", "dynamo") == ()


def test_exclusions_and_replays_come_back(journal):
    excluded = Excluded("mine", "dynamo*", 2, "it is so", ("dynamo", "dynamo-strict"))
    replayed = KnownReplayed("one", "file", KnownStatus.FIXED, "remove it")
    history = again(journal, replayed, excluded, excluded)
    assert list(history.events()) == [replayed, excluded]
    assert history.is_settled("mine", "dynamo-strict")


def test_what_was_seen_in_a_mode_that_is_not_done_is_to_be_shrunk(journal):
    seen, settled = finding(shrunk=False), finding(mode="torchscript,opset=9", signature="nan", shrunk=False)
    history = again(journal, Suspected(settled), mode("torchscript,opset=9"), Suspected(seen))
    assert [one.identity for one in history.suspects] == [seen.identity]
    assert history.is_suspected("mine", "torchscript")


def test_what_became_a_finding_is_not_to_be_shrunk_again(journal):
    history = again(journal, Suspected(finding(shrunk=False)), FindingMade(finding()))
    assert (len(history.findings), history.suspects) == (1, ())


def test_what_was_kept_because_of_an_interruption_is_to_be_shrunk(journal):
    history = again(journal, FindingMade(finding(shrunk=False), as_seen=True))
    assert (history.findings, len(history.suspects)) == ((), 1)


def test_a_mode_whose_finding_was_not_written_any_more_is_not_done(journal):
    """The mode of a process that dies is counted before the finding is told."""
    row = {"stage": "compare", "kind": "value"}
    assert again(journal, mode(verdict=RowVerdict.DIVERGES, **row)).modes == ()
    assert len(again(journal, FindingMade(finding())).modes) == 1


def test_a_mode_that_was_given_up_is_tried_again(journal):
    history = again(journal, mode(verdict=RowVerdict.UNTESTED, reason="its worker was killed"))
    assert history.modes == ()
    rejected = mode("torchscript,opset=9", RowVerdict.UNTESTED, rejected=4)
    assert again(journal, rejected).modes == (rejected,)


def test_two_cases_of_one_name_are_not_told_apart_and_done_again(journal):
    history = again(journal, mode(), mode(case="other"), cases=("mine", "mine", "other"))
    assert [event.case for event in history.modes] == ["other"]


class Opaque:
    pass


def test_a_finding_that_cannot_be_stored_makes_its_case_be_done_again(journal):
    history = again(
        journal, mode(), FindingMade(finding((Opaque(),))), mode(case="other"), cases=("mine", "other")
    )
    assert [event.case for event in history.modes] == ["other"]
    assert history.findings == ()


def test_nothing_is_written_twice_when_a_run_goes_on(journal, tmp_path):
    again(journal, FindingMade(finding()), mode(), Excluded("mine", "dynamo", 1, "so", ("dynamo",)))
    (path,) = tmp_path.glob("*.jsonl")
    before = path.read_bytes()
    third = journal()
    for event in third.history.events():
        third.take(event)
    third.close(complete=False)
    assert path.read_bytes() == before


def test_a_new_start_has_no_history(journal):
    assert again(journal, mode(), resume=False) == History()


def test_words_for_each_way_to_begin(tmp_path):
    said = []

    def opened(asked, *, resume):
        return RunJournal.open(tmp_path, "run", "mine", asked, resume=resume, say=said.append)

    def last():
        return said.pop() if said else ""

    first = opened({"seed": 1}, resume=True)
    assert last() == "--resume: there is nothing to go on with; starting anew"
    first.take(mode())
    first.close(complete=False)
    opened({"seed": 2}, resume=True).close(complete=False)
    assert "what was not finished has other settings, versions or source" in last()
    opened({"seed": 1}, resume=False).close(complete=False)
    assert last().startswith(
        "a run of the same was not finished (1 mode, 0 findings); --resume goes on with it"
    )
    second = opened({"seed": 1}, resume=True)
    assert last() == "resumed: 1 mode, 0 findings are there from before"
    opened({"seed": 1}, resume=False).close(complete=False)
    assert last().startswith("another run of the same is going on; this one has a journal of its own, ")
    second.close(complete=True)
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_journal_that_cannot_be_written_any_more_is_said_once(tmp_path, monkeypatch):
    said = []
    journal = RunJournal.open(tmp_path, "run", "mine", {}, resume=False, say=said.append)
    monkeypatch.setattr(
        JournalFile, "_write", lambda self, record: (_ for _ in ()).throw(OSError(28, "full"))
    )
    for _ in range(3):
        journal.take(mode())
    assert len(said) == 1
    assert "the run goes on without" in said[0]
    assert not journal.is_kept


def test_the_place_of_the_report_is_remembered(journal, tmp_path):
    first = journal()
    assert first.report_file(tmp_path / "report.json") == tmp_path / "report.json"
    first.take(mode())
    first.close(complete=False)
    assert journal().report_file(None) == tmp_path / "report.json"
