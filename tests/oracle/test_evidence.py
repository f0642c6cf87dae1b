"""What is said of an element that rounding does not explain never contradicts itself."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import Applied, excuses, f32, judged

from diffexport.oracle.evidence import evidence_of, sentence
from diffexport.oracle.spread import explained
from diffexport.oracle.tolerance import tight

STEP = np.float32(2.0**-24)


def lattices(least):
    """Runs that lie on a lattice, in a heap or two, or anywhere; and a value that may lie among them."""
    centre = st.sampled_from([-0.00088542, 0.5, 1.0, -3.0, 1e-30, 1e6, 0.0])
    width = st.sampled_from([2.0**-24, 2.0**-20, 1e-3, 1.0, 1e-33])
    many = st.lists(st.integers(-8, 8) | st.floats(-8, 8), min_size=least, max_size=40)
    return st.tuples(centre, width, many, st.floats(-10, 10))


@given(lattices(2))
@settings(max_examples=400, deadline=None)
def test_a_message_never_says_that_eager_gives_what_it_does_not(drawn):
    centre, width, steps, place = drawn
    runs = (centre + width * np.array(steps)).astype(np.float32)
    got, eager = np.float32(centre + width * place), runs[0]
    if explained(runs[:, None], np.array([eager]), np.array([got]))[0]:
        return
    evidence = evidence_of(eager, got, runs, float(centre), "")
    text = sentence(evidence)
    assert evidence.low <= float(eager) <= evidence.high
    # A zero of the other sign is no matter of what it lies between.
    inside = evidence.low <= float(got) <= evidence.high and not (got == 0 and eager == 0)
    assert inside == (evidence.below is not None)
    assert inside == ("none between" in text)
    if inside:
        # What is said holds: nothing that eager gives is between the two, nor next to the value.
        assert evidence.below < float(got) < evidence.above
        assert not ((runs > evidence.below) & (runs < evidence.above)).any()
        assert (np.abs(runs.astype(np.float64) - got) > tight(np.array([runs]), np.dtype("float32"))).all()
    if evidence.farther == "eager":
        assert "eager is farther from it, though no rounding of eager gives the exported value" in text


@given(lattices(40))
@settings(max_examples=200, deadline=None)
def test_a_value_in_a_range_that_is_filled_is_explained(drawn):
    centre, width, steps, _ = drawn
    runs = np.unique((centre + width * np.array(steps)).astype(np.float32))
    if len(runs) < 33:
        return
    ordered = np.sort(runs)
    between = ((ordered[:-1].astype(np.float64) + ordered[1:]) / 2).astype(np.float32)
    among = explained(np.repeat(runs[:, None], len(between), 1), np.repeat(runs[:1], len(between)), between)
    gaps = np.diff(ordered.astype(np.float64))
    narrow = gaps <= np.median(gaps)
    # No gap that is not wider than most of the others.
    assert among[narrow][4:-4].all()


@pytest.mark.parametrize(
    ("runs", "got", "text"),
    [
        ([1, 1, 2, 2], 1.5, "; 4 runs under rounding noise give values about 1 and 2, and none between them"),
        (
            [1, 2, 3, 4],
            2.5,
            "; 4 runs under rounding noise give values from 1 to 4, but none between 2 and 3",
        ),
        ([1, 1, 1], 2, "; 3 runs under rounding noise all give 1"),
        ([1], 2, "; 1 run under rounding noise gives 1"),
        ([1, 2], 4, "; 2 runs under rounding noise give 1 to 2"),
    ],
)
def test_what_is_said(runs, got, text):
    evidence = evidence_of(np.float32(runs[0]), np.float32(got), np.array(runs, np.float32), None, "")
    assert sentence(evidence) == text


def test_integers_say_between_which_the_other_lies():
    evidence = evidence_of(np.int64(3), np.int64(5), np.array([3, 7, 4]), None, "")
    assert (evidence.low, evidence.high, evidence.below, evidence.above) == (3, 7, 4, 7)


def test_a_value_between_the_points_of_a_lattice_is_excused():
    # The end of a GRU: what is subtracted from 1 lies on the lattice of numbers next to 1, 2^-24 apart.
    def gate(x):
        return 1 - x * 0.3

    x = f32(*np.linspace(3.31, 3.33, 20))
    eager = gate(x).double() / float(STEP)
    assert torch.equal(eager, eager.round())

    def between(_eager):
        return (1 - x.double() * float(np.float32(0.3)) + float(STEP) / 4).numpy()

    assert excuses(gate, (x,), between)
    # Beyond all rounding of the gate.
    assert judged(gate, (x,), lambda y: y + STEP * 6).found


def test_a_step_is_still_a_step():
    # 0.3333…·3 comes to either side of 1 by its rounding: floor gives 0 or 1 and nothing between, scaled or not.
    function = Applied(lambda x: torch.floor(torch.exp(torch.log(x) * 0.5) ** 2 * 10) * 0.1)
    x = f32(0.3, 0.5, 0.7)
    eager = function(x)
    assert judged(function, (x,), (eager + 0.05).numpy()).found


def test_a_report_names_the_gap():
    function = Applied(lambda x: torch.round(torch.exp(torch.log(x))))
    found = judged(function, (f32(2.5),), [2.5]).found
    assert re.search(
        r"give values about 2 and 3, and none between them; float64 gives [23]", found[0].message
    )
