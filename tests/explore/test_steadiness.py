"""Before a case is explored: in which mode its model is run, and whether it gives the same for the same input."""

import numpy as np
import pytest
import torch

from diffexport.explore import Explorer, Settings
from diffexport.explore.turns import TurnOrder
from diffexport.findings.events import CaseFailed, FindingMade, ModeFinished, Remark
from diffexport.findings.journal.event_records import remark_from, remark_record
from diffexport.subjects.cases import make_case
from diffexport.values import Mode

EVAL, TRAINING = Mode("torchscript"), Mode("torchscript", training="TRAINING")
PRESERVE = Mode("torchscript", training="PRESERVE")


class Dropping(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x) * 2


class Noisy(torch.nn.Module):
    def forward(self, x):
        return x * 2, x + torch.rand_like(x)


class NoisyInNumpy(torch.nn.Module):
    def forward(self, x):
        return x + float(np.random.rand())


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Module()
        self.inner.seen = [torch.zeros(1)]

    def forward(self, x):
        self.inner.seen.append(self.inner.seen[-1] + 1)
        return x + self.inner.seen[-1]


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.h = torch.zeros(1, 3)

    def forward(self, x):
        self.h = torch.tanh(x + self.h)
        return self.h


class Poisoned(torch.nn.Module):
    """Keeps state that shows only after one NaN or infinity."""

    def __init__(self):
        super().__init__()
        self.past = torch.zeros(())

    def forward(self, x):
        self.past = self.past + (x[:, :1] * 0).sum()
        return x + self.past


def explored(model, *modes, examples=3, **options):
    case = make_case("model", model, inputs=["float32[N, 3]"], **options)
    explorer = Explorer(case, ("ort-disabled",), Settings(examples=examples, shrink=False))
    return list(explorer.explore(modes))


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def refusals(events):
    return [event for event in of(events, Remark) if event.refuses]


def test_a_model_handed_over_in_training_mode_is_tested_in_eval_mode_and_that_is_said():
    events = explored(Dropping, EVAL)
    assert not of(events, FindingMade)
    assert not of(events, CaseFailed)
    (remark,) = of(events, Remark)
    assert "'model' was handed over in training mode; it is tested in eval mode" in remark.message
    assert "Dropout" in remark.message


def test_nothing_is_said_of_a_model_to_which_the_mode_makes_no_difference():
    assert not of(explored(lambda: torch.nn.Linear(3, 3), EVAL), Remark)
    assert not of(explored(lambda: Dropping().eval(), EVAL), Remark)


def test_of_a_model_in_mixed_modes_those_in_training_mode_are_named():
    def build():
        model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout()).eval()
        model[1].train()
        return model

    (remark,) = of(explored(build, EVAL), Remark)
    assert "(of its modules: 1)" in remark.message


@pytest.mark.parametrize("mode", [TRAINING, PRESERVE], ids=str)
def test_in_training_mode_a_random_model_is_no_finding_and_no_refusal(mode):
    events = explored(Dropping, mode)
    assert not of(events, FindingMade)
    assert not of(events, CaseFailed)
    (remark,) = of(events, Remark)
    assert f"that is in training mode, which modes with training={mode.training} ask for" in remark.message


def test_a_case_may_want_its_own_mode_kept():
    events = explored(Dropping, Mode("torchscript", training="PRESERVE"), as_built=True)
    (refusal,) = refusals(events)
    assert "the model is random" in refusal.message


@pytest.mark.parametrize(("model", "where"), [(Noisy, "output 1"), (NoisyInNumpy, "output 0")])
def test_a_random_model_is_one_refusal_that_says_where_and_no_finding(model, where):
    events = explored(model, EVAL, TRAINING)
    (refusal,) = refusals(events)
    assert "is random" in refusal.message
    assert where in refusal.message
    assert not of(events, FindingMade)


def test_the_shapes_of_a_random_model_are_still_compared():
    class Tall(torch.nn.Module):
        def forward(self, x):
            y = torch.rand_like(x)
            return y[: (2 if torch.jit.is_tracing() else 1)]

    events = explored(Tall, EVAL)
    assert refusals(events)
    assert {event.finding.divergence.kind for event in of(events, FindingMade)} == {"shape"}


@pytest.mark.parametrize(("model", "attribute"), [(Recurrent, "`h`"), (Counting, "`inner.seen[1]`")])
def test_a_model_that_keeps_state_is_one_refusal_that_names_the_attribute(model, attribute):
    events = explored(model, EVAL, TRAINING)
    (refusal,) = of(events, CaseFailed)
    assert "keeps state from call to call" in refusal.message
    assert f"attribute {attribute}" in refusal.message
    assert not of(events, FindingMade)
    assert not of(events, ModeFinished)


def test_state_outside_of_the_model_is_said_to_be_outside():
    counts = []

    class Counter(torch.nn.Module):
        def forward(self, x):
            counts.append(1)
            return x + len(counts)

    (refusal,) = of(explored(Counter, EVAL), CaseFailed)
    assert "the state is outside of it" in refusal.message


def test_each_run_starts_from_the_state_in_which_the_model_was_built():
    events = explored(Poisoned, EVAL, examples=20)
    assert not of(events, CaseFailed)
    assert not of(events, FindingMade)


def test_what_a_strategy_gives_is_asked_with_as_well():
    from hypothesis import strategies as st

    case = make_case("model", Noisy, strategy=st.just((torch.ones(2, 3),)))
    events = list(Explorer(case, ("ort-disabled",), Settings(examples=2, shrink=False)).explore([EVAL]))
    (refusal,) = refusals(events)
    assert "is random" in refusal.message


@pytest.mark.parametrize(("model", "kind"), [(Noisy, Remark), (Recurrent, CaseFailed)])
def test_modes_that_are_explored_in_turns_are_asked_about_as_well(model, kind):
    case = make_case("model", model, inputs=["float32[N, 3]"])
    settings = Settings(examples=3, shrink=False)
    events = list(
        Explorer(case, ("ort-disabled",), settings).explore_in_turns(TurnOrder([EVAL, TRAINING], settings))
    )
    assert [
        type(event) for event in events if event in refusals(events) or isinstance(event, CaseFailed)
    ] == [kind]
    assert not of(events, FindingMade)


def test_a_refusal_is_in_the_journal():
    (refusal,) = refusals(explored(Noisy, EVAL))
    assert remark_from(remark_record(refusal)) == refusal
