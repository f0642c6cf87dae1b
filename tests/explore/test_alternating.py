"""A mode is explored with inputs of several kinds, and what is counted is counted together."""

import pytest

from diffexport.explore.settings import Settings
from diffexport.explore.turns import Turn
from diffexport.explore.units import Unit, events_of_unit, forget
from diffexport.findings.events import FindingMade, ModeFinished
from diffexport.values import Budget, Mode

#: The exported model rounds its mask: with integers that does not show.
SOURCE = """
import torch

class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, mask):
        return x * mask

    @staticmethod
    def symbolic(g, x, mask):
        return g.op("Mul", x, g.op("Round", g.op("Cast", mask, to_i=1)))

class Model(torch.nn.Module):
    def forward(self, x, mask):
        return Rounded.apply(x, mask)
"""
INTEGERS, FLOATS = ("float32[2]", "int64[2] in 0..1"), ("float32[2]", "float32[2] in 0..1")
MODE = Mode.parse("torchscript,autograd_inlining=false")


@pytest.fixture
def unit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rounded.py").write_text(SOURCE)
    forget()
    settings = Settings(examples=3, block=4, budget=Budget(None, 2, goes_on=True))
    yield Unit("rounded.py:Model", "Model", INTEGERS, (MODE,), ("ort-disabled",), settings, ())
    forget()


def findings(unit, alternatives, number):
    forget()
    turn = Turn(number)
    made = Unit(**{**vars(unit), "alternatives": alternatives, "turn": turn})
    events = list(events_of_unit(made, lambda _: None))
    (row,) = next(event for event in events if isinstance(event, ModeFinished)).rows
    return [event.finding for event in events if isinstance(event, FindingMade)], row.checks


def test_other_inputs_are_tried_in_the_usual_modes(unit):
    usual = Unit(**{**vars(unit), "modes": (Mode.parse("torchscript"),)})
    alone, checks = findings(usual, (), 1)
    _, together = findings(usual, (FLOATS,), 1)
    assert together > checks > 0
    assert alone == []


def test_what_shows_with_other_inputs_only_is_found(unit):
    assert findings(unit, (), 2)[0] == []
    found = findings(unit, (FLOATS,), 2)[0]
    assert {str(each.inputs[1].dtype) for each in found} == {"float32"}


def test_modes_with_odd_options_have_other_inputs_later(unit):
    assert findings(unit, (FLOATS,), 1)[0] == []
