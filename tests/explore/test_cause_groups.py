"""Findings with one cause are told as one, and the simplest stands for it."""

from dataclasses import replace

import numpy as np

from diffexport.explore.cause_groups import CauseGroups
from diffexport.explore.driver import drive
from diffexport.findings.events import FaceFound, Finding, FindingMade, RunFinished
from diffexport.findings.journal import RunJournal
from diffexport.findings.regressions import FindingStore, load
from diffexport.findings.reports import Tally, describe
from diffexport.findings.reports.json_report import divergence_document
from diffexport.values import Cause, CauseKind, Divergence, How, Identity, Kind, Place, Stage

RELU = Cause(CauseKind.OPERATOR, "relu#0", "aten::relu", "m.py:3 in forward: x.relu()", ("torchscript",))
SORT = replace(RELU, what="sort#0", operator="aten::sort")


def finding(kind=Kind.VALUE, cause=RELU, *, value=1.0, mode="torchscript", output=0, **changed):
    divergence = Divergence(Stage.COMPARE, kind, Place.output(output), f"{kind} signature", "they differ")
    identity = Identity.of("case", mode.partition(",")[0], "ort-all", divergence.key, "module:case")
    inputs = (np.array([value], "float32"),)
    return Finding(
        identity,
        "module:case",
        mode,
        "ort-all",
        divergence,
        inputs,
        inputs,
        inputs,
        inputs,
        cause=cause,
        **changed,
    )


def driven(*findings):
    return list(drive(lambda announce: iter([FindingMade(one) for one in findings])))[:-1]


def told(*findings):
    tally = Tally()
    for event in driven(*findings):
        tally.take(event)
    return tally


def test_what_has_one_cause_is_one_finding_with_its_faces():
    first, nan, second = finding(), finding(Kind.NAN_PLACEMENT, value=np.nan), finding(output=1)
    tally = told(first, nan, second, finding(Kind.INFINITY, SORT))
    assert tally.findings[0] is first
    assert len(tally.findings) == 2
    assert set(tally.faces_of(first)) == {nan, second}


def test_an_ordinary_value_stands_for_the_cause_rather_than_a_special_one():
    nan, value = finding(Kind.NAN_PLACEMENT, value=np.nan), finding()
    events = driven(nan, value)
    assert isinstance(events[1], FaceFound)
    assert (events[1].of, events[1].leads) == (nan.identity, True)
    tally = told(nan, value)
    assert tally.findings == [value]
    assert tally.faces_of(value) == (nan,)


def test_what_was_not_shrunk_stands_for_nothing_that_was():
    large, small = finding(shrunk=False), finding(Kind.NAN_PLACEMENT, value=np.nan)
    assert told(large, small).findings == [small]


def test_other_cases_and_targets_have_causes_of_their_own():
    other = replace(finding(Kind.INFINITY), target="other:case")
    assert len(told(finding(), other).findings) == 2


def test_without_a_cause_only_the_same_in_one_conversion_is_one():
    unknown = finding(cause=None, mode="dynamo")
    same, elsewhere = finding(cause=None, mode="dynamo-strict"), finding(cause=None, output=1, mode="dynamo")
    assert len(told(unknown, same).findings) == 1
    assert len(told(unknown, elsewhere).findings) == 2
    assert len(told(finding(cause=None), unknown).findings) == 2


def test_groups_do_not_depend_on_being_told_twice():
    groups = CauseGroups()
    one = finding()
    assert isinstance(next(groups.take(FindingMade(one))), FindingMade)
    end = RunFinished(1.0)
    assert list(groups.take(end)) == [end]


def test_a_value_shows_that_nan_and_infinity_have_one_cause(tmp_path):
    nan = finding(Kind.NAN_PLACEMENT, replace(RELU, how=How.NAN), value=np.nan)
    infinity = finding(Kind.INFINITY, replace(RELU, how=How.INFINITY), value=np.inf)
    value = finding(cause=replace(RELU, how=How.VALUE))
    assert len(told(nan, infinity).findings) == 2
    tally, store = Tally(), FindingStore(tmp_path)
    for event in driven(nan, infinity, value):
        store.take(event)
        tally.take(event)
    assert tally.findings == [value]
    assert set(tally.faces_of(value)) == {nan, infinity}
    (path,) = tmp_path.glob("*.diffexport.json")
    assert sorted(face.kind for face in load(path).faces) == ["infinity", "nan-placement"]


def test_faces_are_in_the_file_of_their_finding_and_the_simplest_has_it(tmp_path):
    nan, value, other = finding(Kind.NAN_PLACEMENT, value=np.nan), finding(), finding(output=1)
    store = FindingStore(tmp_path)
    for event in driven(nan, value, other):
        store.take(event)
    (path,) = tmp_path.glob("*.diffexport.json")
    stored = load(path)
    assert stored.kind is Kind.VALUE
    assert stored.identity == value.identity
    assert stored.cause == RELU
    assert [(face.kind, face.where) for face in stored.faces] == [
        ("nan-placement", "output[0]"),
        ("value", "output[1]"),
    ]
    assert stored.faces[0].input == "[nan] float32[1]"
    assert list(store.paths) == [value.identity.digest]


def test_a_file_that_was_there_before_stays_when_a_simpler_finding_stands_for_the_cause(tmp_path):
    nan, value = finding(Kind.NAN_PLACEMENT, value=np.nan), finding()
    FindingStore(tmp_path).take(FindingMade(nan))
    store = FindingStore(tmp_path)
    for event in driven(nan, value):
        store.take(event)
    assert len(list(tmp_path.glob("*.diffexport.json"))) == 2


def test_a_journal_keeps_causes_and_faces_are_found_again_from_them(tmp_path):
    asked, say = {"what": "all"}, lambda text: None
    nan, value = finding(Kind.NAN_PLACEMENT, value=np.nan), finding()
    journal = RunJournal.open(tmp_path, "run", "case", asked, resume=False, say=say)
    for event in driven(nan, value):
        journal.take(event)
    journal.close(complete=False)
    history = RunJournal.open(tmp_path, "run", "case", asked, resume=True, say=say).history
    assert [one.cause for one in history.findings] == [RELU, RELU]
    (stands,) = told(*history.findings).findings
    assert stands.identity == value.identity


def test_faces_are_shown_and_counted_apart():
    first = finding()
    tally = told(
        first, finding(Kind.NAN_PLACEMENT), finding(output=1), finding(output=1, mode="dynamo", cause=SORT)
    )
    store = FindingStore()
    text = "\n".join(describe(first, tally, store))
    assert "first departs   aten::relu at m.py:3 in forward: x.relu()" in text
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  also"))
    assert sorted(line.removeprefix("  also").strip() for line in lines[start : start + 2]) == [
        "nan-placement in output[0]: torchscript on ort-all",
        "value in output[1]: torchscript on ort-all",
    ]
    document = divergence_document(first, tally, store)
    assert document["cause"]["operator"] == "aten::relu"
    assert {face["kind"] for face in document["faces"]} == {"nan-placement", "value"}
    assert all(face["input"] == "[1] float32[1]" for face in document["faces"])
