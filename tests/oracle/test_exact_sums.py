"""A sum counts as exact only where every order of its terms gives it."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport.oracle import RoundingCheck
from diffexport.oracle.operators import OPERATORS
from diffexport.oracle.rounding import fineness
from diffexport.pipeline.eager import Prepared
from diffexport.pipeline.rerun import rerun


def says(terms, dtype=torch.float32, base="sum"):
    given_ = torch.tensor(terms, dtype=torch.float64)
    operator = torch.mean if base == "mean" else torch.sum
    total = operator(given_.abs()).numpy()
    fine = operator(fineness(given_)).numpy()
    return bool(OPERATORS[base].sums.is_exact((given_,), total, fine, dtype))


def in_every_order(terms):
    """The float32 sums of all orders of a few terms, one after the other and in pairs."""
    for order in itertools.permutations(terms):
        yield float(np.add.reduce(np.array(order, np.float32), dtype=np.float32)), sum_of(order)


def sum_of(order):
    total = np.float32(0)
    for term in order:
        total = np.float32(total + np.float32(term))
    return float(total)


NUMBERS = st.one_of(
    st.integers(-20, 20).map(float),
    st.integers(-(2**20), 2**20).map(lambda n: n / 2**20),
    st.floats(-100, 100, width=32),
    st.sampled_from([2.0**24, 2.0**23, 0.1, 1e-30, -0.0]).map(lambda x: float(np.float32(x))),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=4))
def test_what_is_called_exact_is_the_same_in_every_order(terms):
    if says(terms):
        wide = float(np.sum(np.array(terms, np.float64)))
        assert {value for pair in in_every_order(terms) for value in pair} == {wide}


@pytest.mark.parametrize(
    ("terms", "is_exact"),
    [
        ([1.0, 2.0, 3.0], True),
        ([0.5, -0.25, 1000.0], True),
        ([2.0**24 - 2, 1.0, 1.0], False),
        ([2.0**23, 1.0], True),
        ([0.0, 0.0], True),
        ([float(np.float32(0.1)), 1.0], False),
        ([float(np.float32(0.1))], True),
        ([np.inf, 1.0], False),
        # In sum these two have but one bit; a third term may come between.
        ([1 + 2.0**-20, 1 - 2.0**-20, 64.0], False),
    ],
)
def test_by_hand(terms, is_exact):
    assert says(terms) == is_exact


def test_a_mean_is_of_the_sum():
    terms = [1.0, 2.0**23, 2.0**23 - 4, 3.0]
    assert not says(terms, base="mean")
    assert says([1.0, 2.0, 3.0, 5.0], base="mean")


def test_low_precision_is_summed_in_float32():
    assert says([2048.0, 1.0, 1.0], torch.float16)


class Centred(torch.nn.Module):
    def forward(self, x):
        return x - x.mean(-1, keepdim=True)


def test_a_mean_that_comes_out_even_by_chance_is_not_exact():
    # Eager's mean of the second row is that of float64, and the magnitudes have a short sum; another order rounds.
    x = torch.tensor([[0, 11, 4, -11, -0.6596], [-7.615, -9.1822, 0, -9, -12.8654]], dtype=torch.float32)
    eager = Centred()(x).numpy()
    prepared = Prepared(None, Centred())
    arbiter = RoundingCheck([eager], rerun(prepared, False, (x,)))
    judgement = RoundingCheck([eager], rerun(prepared, False, (x,))).judge(
        [x.numpy() - _mean_in_turn(x.numpy())]
    )
    assert judgement.found == []
    wrong = eager * np.float32(1.0001)
    assert arbiter.judge([wrong]).found


def _mean_in_turn(x):
    total = np.zeros((len(x), 1), np.float32)
    for column in x.T:
        total = total + column[:, None]
    return total / np.float32(x.shape[1])
