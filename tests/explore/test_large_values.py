"""A failure in a large tensor is shrunk to a background and the elements it needs, in some dozens of checks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffexport import Mode
from diffexport.arrays import described
from diffexport.explore.explorer import Explorer
from diffexport.explore.hypothesis_round import LARGE_TRIALS, HypothesisRound
from diffexport.explore.large_values import LARGE_TENSOR, LargeValues, simplest_number
from diffexport.explore.settings import Settings
from diffexport.explore.smaller_inputs import SmallerInputs, _cuts
from diffexport.findings.events import FindingMade
from diffexport.strategies import Trial, trials
from diffexport.subjects.cases import make_case
from diffexport.values import TensorSpec

IMAGE = "float32[1, 3, 64, 64]"
SHAPE = (1, 3, 64, 64)


def normal(dtype=np.float32):
    return np.random.default_rng(0).normal(size=SHAPE).astype(dtype)


def with_nan():
    array = normal()
    array[0, 2, 17, 4] = np.nan
    return array


def integers():
    return np.random.default_rng(0).integers(2, 10, SHAPE)


@pytest.mark.parametrize(
    ("spec", "array", "fails", "simplest", "most_checks"),
    [
        (IMAGE, with_nan(), lambda a: np.isnan(a[..., 4]).any(), "zeros # but [0, 0, 0, 4] = nan", 30),
        (IMAGE, with_nan(), lambda a: np.isnan(a[0, 2, 17, 4]), "zeros # but [0, 2, 17, 4] = nan", 30),
        (IMAGE, normal(), lambda a: (a < 0).any(), "zeros # but [0, 0, 0, 0] = -1", 30),
        (
            IMAGE,
            normal(),
            lambda a: a[0, 0, 1, 2] != 0 and a[0, 2, 3, 3] != 0,
            "zeros # but [0, 0, 1, 2] = 1, [0, 2, 3, 3] = 1",
            45,
        ),
        (IMAGE, normal(), lambda a: np.nan_to_num(np.abs(a)).mean() > 0.5, "ones #", 75),
        (IMAGE, normal(), lambda a: a.std() > 0.5, "repeated(0, 3.9455497) #", 75),
        (
            "int64[1, 3, 64, 64] in 2..9",
            integers(),
            lambda a: (a == 5).any(),
            "full of 2 # but [0, 0, 0, 0] = 5",
            30,
        ),
        ("float32[1, 3, 64, 64] in 0.5..", np.abs(normal()) + 1, lambda a: True, "full of 0.5 #", 1),
        ("bool[1, 3, 64, 64]", normal() > 0, lambda a: a[0, 1].any(), "zeros # but [0, 1, 0, 0] = true", 30),
    ],
)
def test_a_failure_keeps_what_it_needs(spec, array, fails, simplest, most_checks):
    checks = [0]

    def attempt(candidate):
        checks[0] += 1
        return bool(fails(candidate))

    assert fails(array)
    result = LargeValues(TensorSpec.parse(spec), attempt, lambda: False).simplify(array)
    dtype = TensorSpec.parse(spec).dtype
    zeros = simplest.replace("zeros", "full of false") if dtype == "bool" else simplest
    assert described(np.array(result)) == zeros.replace("#", f"{dtype}[1, 3, 64, 64]")
    assert checks[0] <= most_checks


def checks_for(side: int) -> int:
    array = np.random.default_rng(1).normal(size=(side, side)).astype(np.float32)
    array[side // 2 + 1, 3] = np.inf
    checks = []

    def attempt(candidate):
        checks.append(candidate.size)
        return bool(np.isinf(candidate[side // 2 + 1, 3]))

    LargeValues(TensorSpec.parse("float32[*, *]"), attempt, lambda: False).simplify(array)
    return len(checks)


def test_the_number_of_checks_grows_with_the_logarithm_of_the_size():
    assert checks_for(1024) - checks_for(32) <= 12


def test_a_search_that_is_over_has_what_was_found_until_then():
    left = [8]

    def attempt(candidate):
        left[0] -= 1
        return left[0] >= 0 and bool((candidate < 0).any())

    result = LargeValues(TensorSpec.parse(IMAGE), attempt, lambda: left[0] <= 0).simplify(normal())
    assert (result < 0).any()
    assert left[0] > -4


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("float32", 0),
        ("int64 in 3..9", 3),
        ("int8 in ..-2", -2),
        ("float32 in 0.1..0.2", np.float32(0.1)),
        ("bool", False),
        ("int64 in 0.5..2", 1),
        ("complex64", 0),
    ],
)
def test_the_simplest_number_is_within_the_bounds(text, number):
    spec = TensorSpec.parse(text)
    simplest = simplest_number(spec, np.dtype(spec.dtype))
    assert simplest == number
    assert simplest.dtype.name == spec.dtype
    assert spec.low is None or float(simplest) >= spec.low


def test_long_axes_are_cut_by_halves_and_smaller_shares():
    assert len(_cuts(8)) == 3 + 8
    assert len(_cuts(224)) < 20
    kept = {tuple(np.arange(1000)[cut]) for cut in _cuts(1000)}
    assert tuple(range(999)) in kept
    assert tuple(range(1, 1000)) in kept


class NanLost(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def symbolic(g, x):
        zero = g.op("Constant", value_t=torch.tensor(0.0))
        two = g.op("Constant", value_t=torch.tensor(2.0))
        return g.op("Mul", g.op("Where", g.op("IsNaN", x), zero, x), two)


class NeedsTwo(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2 + ((x[0, 0, 1, 2] > 1) & (x[0, 2, 3] < 0).any())

    @staticmethod
    def symbolic(g, x):
        return g.op("Mul", x, g.op("Constant", value_t=torch.tensor(2.0)))


class Model(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


def findings(function, spec, **settings):
    case = make_case("large", lambda: Model(function), inputs=(spec,))
    given = Settings(blame=False, **({"examples": 60} | settings))
    explorer = Explorer(case, ["ort-disabled"], given)
    return [
        event.finding for event in explorer.explore([Mode("torchscript")]) if isinstance(event, FindingMade)
    ]


def test_a_lost_nan_in_an_image_is_found_and_shrunk_to_one_element():
    (found,) = findings(NanLost, IMAGE)
    assert found.shrunk
    assert not found.flaky
    assert described(found.inputs[0]) == "zeros float32[1, 3, 64, 64] but [0, 0, 0, 0] = nan"
    assert described(found.got[0]) == "zeros float32[1, 3, 64, 64]"


def test_a_failure_that_needs_two_elements_is_shrunk_to_two():
    found = findings(NeedsTwo, IMAGE)[0]
    assert found.shrunk
    text = described(found.inputs[0])
    assert text.startswith("zeros float32[1, 3, 64, 64] but [0, 0, 1, 2] = 2, [0, 2, 3, 0] = -1")


def test_a_batch_is_shrunk_to_one_image():
    (found,) = findings(NanLost, "float32[N>=1, 3, 64, 64]")
    assert found.inputs[0].shape == SHAPE
    assert described(found.inputs[0]).startswith("zeros")


def test_hypothesis_tries_few_trials_of_large_tensors_after_the_first_failure():
    checked = []

    class Failed(Exception):
        identity = "same"

    def check(trial: Trial, counts: bool):
        checked.append(trial)
        if np.isnan(trial.samples[0][0]).any():
            yield Failed()

    seen = []
    rounds = HypothesisRound("case", trials([IMAGE], max_samples=1), 200, 1, True, check, seen.append)
    with pytest.raises(Failed):
        rounds._configured()(
            __import__("hypothesis").seed(1)(__import__("hypothesis").given(rounds.trials)(rounds._test))
        )()
    first = next(n for n, trial in enumerate(checked) if np.isnan(trial.samples[0][0]).any())
    again = {trial.large for trial in checked[first:] if np.isnan(trial.samples[0][0]).any()}
    assert len({trial.large for trial in checked[first + 1 :]} - again) <= LARGE_TRIALS
    assert seen


def test_single_elements_of_a_large_array_are_those_that_differ():
    case = make_case("large", lambda: Model(NanLost), inputs=(IMAGE,))
    candidates = SmallerInputs(case)
    array = np.zeros(SHAPE, np.float32)
    array[0, 1, 2, 3] = 7
    assert list(candidates.single_elements(array)) == [(0, 1, 2, 3)]
    assert list(candidates.single_elements(normal())) == []
    assert len(list(candidates.single_elements(np.zeros(LARGE_TENSOR)))) == LARGE_TENSOR
