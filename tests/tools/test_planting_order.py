"""Where not all bugs can be planted: which come first, and how long each may take."""

import math
import time

import pytest

from diffexport.tools.mutate.planting_order import PlantingLimit, spread
from diffexport.tools.mutate.registry import Candidate, Mutator
from diffexport.values import NO_DEADLINE, Deadline


def changes(**places):
    return [
        ("graph", Candidate(Mutator(name, "", lambda draft: ()), str(place), lambda: None))
        for name, number in places.items()
        for place in range(number)
    ]


def names(order):
    return [candidate.mutator.name for _, candidate in order]


def test_each_mutator_has_a_turn_before_one_has_two():
    order = names(spread(changes(many=50, few=2, one=1), 0))
    assert set(order[:3]) == {"many", "few", "one"}
    assert set(order[3:5]) == {"many", "few"}
    assert len(order) == 53


def test_places_are_drawn_by_the_seed():
    def places(seed):
        return [candidate.where for _, candidate in spread(changes(many=50), seed)]

    assert places(1) == places(1)
    assert places(1) != places(2)
    assert sorted(places(1)) == sorted(map(str, range(50)))


@pytest.mark.parametrize(
    ("limit", "is_reached", "part"),
    [
        (PlantingLimit(), False, ""),
        (PlantingLimit(3, 2), False, ""),
        (PlantingLimit(3, 3), True, ""),
        (PlantingLimit(3, 3, Deadline(0.0)), True, ""),
        (PlantingLimit(3, 1, Deadline(0.0)), True, "when 1 of 3 bugs"),
        (PlantingLimit(None, 7, Deadline(0.0)), True, "when 7 bugs"),
    ],
)
def test_when_it_ends_and_why(limit, is_reached, part):
    assert limit.is_reached is is_reached
    assert (part in limit.why_ended) if part else not limit.why_ended


def test_one_mutant_has_a_few_times_its_share():
    limit = PlantingLimit(101, 1, Deadline.after(1000))
    assert 39 < limit.for_one().left <= 40
    limit.planted = 100
    assert limit.for_one().wall <= limit.deadline.wall
    assert PlantingLimit(None, 0, limit.deadline).for_one() is limit.deadline
    assert PlantingLimit(5).for_one() is NO_DEADLINE


def test_time_for_something_else_does_not_count():
    limit = PlantingLimit(5, 0, Deadline.after(1))
    limit.leave_out(100)
    assert 100 < limit.deadline.wall - time.monotonic() <= 101
    unlimited = PlantingLimit(5)
    unlimited.leave_out(100)
    assert unlimited.deadline.wall == math.inf
