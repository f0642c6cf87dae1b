"""Inputs are found at which a number is exactly what it is compared with, and the nearest on both sides."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffexport.explore.exact_search import MOST_OF_ONE, ExactSearch, ordered, unordered
from diffexport.strategies import table
from diffexport.values import TensorSpec

FLOATS = ["float16", "bfloat16", "float32", "float64"]


def search(specs, most=4000):
    return ExactSearch([TensorSpec.parse(text) for text in specs], most)


@given(dtype=st.sampled_from(FLOATS), code=st.integers(0, 255), variant=st.integers(0, 63))
def test_places_are_in_the_order_of_numbers_and_lead_back(dtype, code, variant):
    value = table(dtype, variant=variant)[code]
    if not np.isfinite(value):
        return
    assert unordered(ordered(value), value.dtype) == value
    above = unordered(ordered(value) + 1, value.dtype)
    assert above > value or not np.isfinite(above)


@pytest.mark.parametrize(
    ("function", "at"),
    [(np.exp, 2.0), (np.log, 1.0), (np.tanh, 0.5), (np.sqrt, 1.7), (lambda x: x * x + x, 2.0)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_value_is_hit_and_both_sides_of_it_are(function, at, dtype):
    wanted = np.dtype(dtype).type(at)

    def gap(values):
        with np.errstate(all="ignore"):
            return float(function(values[0][1]) - wanted)

    found = search([f"{dtype}[3]"]).find(gap, (np.array([0.5, 1.25, -0.75], dtype),), None)
    assert found.is_exact
    gaps = [gap(sample) for sample in found.samples]
    assert gaps[0] == 0
    assert min(gaps) < 0 < max(gaps)


def test_of_several_numbers_it_is_one_of_few_digits():
    # Adding to a large number is 0 for a whole range of small ones.
    def gap(values):
        return float(np.float32(values[0][0]) + np.float32(1 << 20)) - (1 << 20) - 3

    found = search(["float32[1]"]).find(gap, (np.array([0.5], np.float32),), 0)
    assert (found.value, found.is_simple) == (3.0, True)


def test_another_element_is_varied_where_one_does_not_lead_there():
    # The first steps over it.
    def gap(values):
        return float(np.floor(values[0][0]) * 2 + values[0][1]) - 0.75

    found = search(["float32[2]"]).find(gap, (np.array([1.0, 1.0], np.float32),), 0)
    assert found.is_exact
    assert gap(found.samples[0]) == 0


def test_bounds_and_whole_numbers_are_kept_to():
    def gap(values):
        return float(values[0].sum()) - 25

    found = search(["int64[2] in 3..20"]).find(gap, (np.array([5, 9]),), None)
    assert found.is_exact
    assert all(3 <= number <= 20 for number in found.samples[0][0])
    assert search(["float32[2] in 0..1"]).find(gap, (np.array([0.5, 0.5], np.float32),), None) is None


def test_it_ends_after_so_many_evaluations_whatever_the_function():
    count = 0

    def gap(values):
        nonlocal count
        count += 1
        return math.sin(count)

    looking = search(["float32[40]"], most=3 * MOST_OF_ONE)
    for _ in range(5):
        looking.find(gap, (np.zeros(40, np.float32),), None)
    assert count <= 3 * MOST_OF_ONE
    assert looking.left >= 0


def test_what_depends_on_no_input_is_given_up_soon():
    looking = search(["float32[1000]"])
    assert looking.find(lambda _: 1.0, (np.zeros(1000, np.float32),), None) is None
    assert looking.left > 3980
