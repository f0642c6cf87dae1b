"""An exploration that goes on behind modes that are done is as if it had not been interrupted."""

import json

import pytest
import torch

from diffexport import make_case
from diffexport.explore.explorer import Explorer
from diffexport.explore.settings import Settings
from diffexport.findings.events.events import CaseFailed, FindingMade, ModeFinished, Unhealthy
from diffexport.values.mode import Mode

MODES = ("torchscript", "torchscript,opset=9", "torchscript,dynamic=true", "torchscript,opset=11")


class Plus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        return g.op("Identity", x)


class Planted(torch.nn.Module):
    """Adds one in eager alone, and rejects all but one size."""

    def forward(self, x):
        if x.shape[0] != 3:
            raise ValueError("the size is to be 3")
        return Plus.apply(x)


class Rejecting(torch.nn.Module):
    def forward(self, x):
        raise ValueError("never")


def explored(model, modes, carried=(), *, share=False):
    case = make_case("planted", model, inputs=["float32[1..5]"])
    settings = Settings(examples=12, shrink=False, share=share)
    explorer = Explorer(case, ["ort-disabled"], settings, carried=carried)
    return list(explorer.explore([Mode.parse(mode) for mode in modes]))


def told(events):
    """What was said of each mode, of findings and of the case, without what it took."""
    rows = [
        (event.mode, [{**vars(row), "seconds": 0} for row in event.rows])
        for event in events
        if isinstance(event, ModeFinished)
    ]
    findings = {event.finding.identity for event in events if isinstance(event, FindingMade)}
    return rows, findings, [event for event in events if isinstance(event, Unhealthy | CaseFailed)]


def carried_of(events):
    """What the modes left, as a journal keeps it."""
    return [json.loads(json.dumps(event.carried)) for event in events if isinstance(event, ModeFinished)]


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("done", [1, 3, 4])
def test_in_two_parts_it_is_the_same_as_at_once(done, share):
    rows, findings, said = told(explored(Planted, MODES, share=share))
    assert findings
    assert "rejects" in said[0].message
    first = explored(Planted, MODES[:done], share=share)
    second = explored(Planted, MODES[done:], carried_of(first), share=share)
    assert told(first)[0] + told(second)[0] == rows
    assert told(first)[1] | told(second)[1] == findings
    assert told(second)[2] == said


def test_without_what_was_carried_over_it_would_not_be():
    rows, _, said = told(explored(Planted, MODES))
    alone = told(explored(Planted, MODES[2:]))
    assert (alone[0], alone[2]) != (rows[2:], said)


def test_a_model_that_raises_on_everything_is_said_to_do_so_behind_modes_that_are_done():
    first = explored(Rejecting, MODES[:1])
    assert told(explored(Rejecting, (), carried_of(first)))[2] == told(first)[2] != []
    agreeing = [{"accepted": 3, "rejected": 1}]
    said = told(explored(Rejecting, MODES[:1], agreeing))[2]
    assert not [event for event in said if isinstance(event, CaseFailed)]
