"""What the driver makes of the events of some work: doubles, suspects, interruptions and limits."""

import time

import numpy as np
import pytest
import torch

from diffexport import make_case
from diffexport.explore.driver import deliver, drive
from diffexport.explore.explorer import Explorer
from diffexport.explore.settings import Limits, Settings, StopAfter
from diffexport.findings.events.events import (
    Excluded,
    Finding,
    FindingMade,
    ModeFinished,
    RunFinished,
    Suspected,
)
from diffexport.findings.reports.tally import Tally
from diffexport.values import Deadline, DeadlinePassed
from diffexport.values.mode import Mode
from diffexport.values.place import Place
from diffexport.values.verdict import Divergence, Identity, Kind, Stage

NOTE = Excluded("case", "dynamo", 1, "as an event among others")


def finding(exporter="torchscript", signature="inf→finite", *, shrunk=True):
    place = Place.output(0)
    divergence = Divergence(Stage.COMPARE, Kind.VALUE, place, signature, "they differ")
    identity = Identity.of("case", exporter, "ort-all", divergence.key, "module:case")
    inputs = (np.zeros(1, "float32"),)
    return Finding(identity, "module:case", exporter, "ort-all", divergence, inputs, inputs, shrunk=shrunk)


def work_of(*steps):
    """Work that gives these events; what is only suspected is announced, and what is an error raised."""

    def work(announce):
        for step in steps:
            if isinstance(step, Suspected):
                announce(step)
            elif isinstance(step, BaseException):
                raise step
            else:
                yield step

    return work


def done(mode):
    """A mode that was explored to its end."""
    return ModeFinished("case", mode, (), {"accepted": 1})


def until_interrupted(events):
    """The events until Ctrl-C is raised, which it has to be."""
    listed = []
    with pytest.raises(KeyboardInterrupt):
        deliver(events, listed.append)
    return listed


def test_a_finding_is_given_once_and_the_end_is_an_event():
    again, other = finding(), finding(signature="finite→nan")
    first, second, end = drive(work_of(FindingMade(again), FindingMade(finding()), FindingMade(other)))
    assert (first.finding, second.finding) == (again, other)
    assert isinstance(end, RunFinished)
    assert (end.interrupted, end.stopped_early, end.out_of_time) == (False, False, False)


def test_what_is_suspected_is_told_at_once_and_is_no_event():
    told = []
    suspected = Suspected(finding(shrunk=False))
    events = drive(work_of(suspected, NOTE, done("torchscript")), announce=told.append)
    assert next(events) is NOTE
    assert told == [suspected]
    assert [type(event) for event in events] == [ModeFinished, RunFinished]


def test_what_was_not_shrunk_when_interrupted_becomes_a_finding():
    suspect = finding(shrunk=False)
    events = until_interrupted(drive(work_of(NOTE, Suspected(suspect), KeyboardInterrupt())))
    assert [type(event) for event in events] == [Excluded, FindingMade, RunFinished]
    assert events[1].finding is suspect
    assert events[2].interrupted


def test_a_suspect_from_another_process_counts_as_well():
    suspect = finding(shrunk=False)

    def work(announce):
        yield Suspected(suspect)
        raise KeyboardInterrupt

    events = until_interrupted(drive(work))
    assert [type(event) for event in events] == [FindingMade, RunFinished]


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_a_suspect_is_resolved_by_the_same_failure_in_whichever_exporter(exporter):
    suspect, minimal = finding("dynamo", shrunk=False), finding(exporter)
    steps = (Suspected(suspect), FindingMade(minimal), KeyboardInterrupt())
    events = until_interrupted(drive(work_of(*steps)))
    assert [type(event) for event in events] == [FindingMade, RunFinished]
    assert events[0].finding is minimal


def test_what_was_seen_in_a_mode_that_is_done_is_settled():
    """No finding came of it because it is known, or because another one stands for it."""
    steps = (Suspected(finding(shrunk=False)), done("torchscript"), KeyboardInterrupt())
    events = until_interrupted(drive(work_of(*steps)))
    assert [type(event) for event in events] == [ModeFinished, RunFinished]


def test_what_was_seen_in_a_mode_that_was_given_up_becomes_a_finding_at_the_end():
    given_up = ModeFinished("case", "torchscript", ())
    events = list(drive(work_of(Suspected(finding(shrunk=False)), given_up)))
    assert [type(event) for event in events] == [ModeFinished, FindingMade, RunFinished]
    assert events[1].finding.flaky
    assert not events[1].finding.shrunk


def test_what_an_earlier_run_saw_becomes_a_finding_where_it_does_not_show_again():
    earlier = finding(shrunk=False)
    events = list(drive(work_of(NOTE), earlier=[earlier]))
    assert [type(event) for event in events] == [Excluded, FindingMade, RunFinished]
    assert (events[1].finding.identity, events[1].finding.flaky) == (earlier.identity, True)


def test_what_an_earlier_run_saw_and_shows_again_is_settled_with_its_mode():
    seen = finding(shrunk=False)
    events = list(drive(work_of(Suspected(seen), done("torchscript")), earlier=[finding(shrunk=False)]))
    assert [type(event) for event in events] == [ModeFinished, RunFinished]
    minimal = drive(work_of(FindingMade(finding("dynamo"))), earlier=[finding(shrunk=False)])
    assert [type(event) for event in minimal] == [FindingMade, RunFinished]


def test_a_finding_whose_listener_is_interrupted_reaches_every_listener():
    stored, tally, calls = [], Tally(), []

    def store(event):
        calls.append(event)
        if isinstance(event, FindingMade) and len(calls) == 1:
            raise KeyboardInterrupt
        stored.append(event)

    with pytest.raises(KeyboardInterrupt):
        deliver(drive(work_of(FindingMade(finding()), NOTE)), store, tally.take)
    assert [type(event) for event in stored] == [FindingMade, RunFinished]
    assert len(tally.findings) == 1
    assert tally.finished.interrupted


def test_ctrl_c_while_the_work_is_ended_changes_nothing():
    def work(announce):
        try:
            announce(Suspected(finding(shrunk=False)))
            yield NOTE
            yield NOTE
        finally:
            raise KeyboardInterrupt

    def interrupted(event):
        if event is NOTE:
            raise KeyboardInterrupt

    heard = []
    with pytest.raises(KeyboardInterrupt):
        deliver(drive(work), interrupted, heard.append)
    assert [type(event) for event in heard] == [Excluded, FindingMade, RunFinished]


def test_it_stops_after_the_first_finding_and_ends_the_work():
    ended = []

    def work(announce):
        try:
            yield FindingMade(finding())
            yield NOTE
        finally:
            ended.append(True)

    events = drive(work, stop_after=StopAfter.FIRST_FINDING)
    assert isinstance(next(events), FindingMade)
    assert not ended
    assert next(events).stopped_early
    assert ended
    assert not list(events)


def test_a_deadline_ends_it():
    events = list(drive(work_of(NOTE, DeadlinePassed(), NOTE)))
    assert events[0] is NOTE
    assert events[1].out_of_time
    assert len(events) == 2


def test_a_listener_that_is_interrupted_interrupts_the_work():
    suspect, ended, stored, tally = finding(shrunk=False), [], [], Tally()

    def work(announce):
        try:
            announce(Suspected(suspect))
            yield NOTE
            yield NOTE
        finally:
            ended.append(len(stored))

    def interrupted(event):
        if event is NOTE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver(drive(work), stored.append, tally.take, interrupted)
    # The work ended before what was suspected was given; every listener has had that, and the end.
    assert ended == [1]
    assert tally.findings == [suspect]
    assert tally.finished.interrupted
    assert [type(event) for event in stored] == [Excluded, FindingMade, RunFinished]


def test_listeners_get_each_event_in_turn():
    heard = []
    deliver(drive(work_of(NOTE)), lambda event: heard.append(1), lambda event: heard.append(2))
    assert heard == [1, 2, 1, 2]


class Plus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        return g.op("Identity", x)


class Planted(torch.nn.Module):
    def forward(self, x):
        return Plus.apply(x)


def explored(limits, *modes):
    case = make_case("planted", Planted, inputs=["float32[N]"])
    settings = Settings(examples=5, limits=limits)
    explorer, suspected = Explorer(case, ["ort-disabled"], settings), []
    events = drive(
        lambda announce: explorer.explore([Mode.parse(mode) for mode in modes], announce),
        stop_after=limits.stop_after,
        announce=suspected.append,
    )
    return list(events), suspected


def test_at_first_sight_it_is_a_finding_as_it_is():
    events, (suspected,) = explored(Limits(stop_after=StopAfter.FIRST_SIGHT), "torchscript", "dynamo")
    assert [type(event) for event in events] == [FindingMade, RunFinished]
    assert events[0].finding is suspected.finding
    assert not events[0].finding.shrunk


def test_when_shrinking_takes_too_long_what_was_seen_is_kept_and_the_mode_goes_on():
    events, suspected = explored(Limits(shrink_seconds=0.0), "torchscript")
    assert [type(event) for event in events] == [FindingMade, ModeFinished, RunFinished]
    assert not events[0].finding.shrunk
    assert events[0].finding.identity == suspected[0].finding.identity
    # There was a little time for that.
    assert [array.tolist() for array in events[0].finding.inputs] == [[0.0]]


def test_after_the_deadline_nothing_is_checked():
    events, suspected = explored(Limits(Deadline(time.monotonic())), "torchscript")
    assert [type(event) for event in events] == [RunFinished]
    assert events[0].out_of_time
    assert not suspected


def test_as_many_checks_are_spent_on_a_finding_as_there_may_be(monkeypatch):
    from diffexport.explore.minimise import Minimiser

    looked, shipped = [], Minimiser.look

    def look(minimiser, point, wanted):
        looked.append(point)
        return shipped(minimiser, point, wanted)

    monkeypatch.setattr(Minimiser, "look", look)
    explored(Limits(shrink_checks=1), "torchscript,opset=9")
    few = len(looked)
    looked.clear()
    explored(Limits(), "torchscript,opset=9")
    assert few < len(looked)
