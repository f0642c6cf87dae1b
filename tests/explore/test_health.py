"""What a person is told about a model that rejects most of what is drawn for it."""

import pytest
import torch
from hypothesis import strategies as st

from diffexport import Pipeline, make_case
from diffexport.explore.explorer import Explorer
from diffexport.explore.health import ENOUGH, Health
from diffexport.explore.settings import Settings
from diffexport.findings.events.events import CaseFailed, Unhealthy
from diffexport.values import parse_specs
from diffexport.values.mode import Mode

ANY = parse_specs(["float32[...]"])
TWO = parse_specs(["float32[...]", "float32[...]"])
SHAPES = [(), (1,), (2,), (5,), (2, 3), (3, 1), (2, 4), (4, 3), (2, 3, 4), (0,), (2, 0)]


def advice(specs, accepts, joints):
    health = Health()
    for joint in joints * ENOUGH:
        if accepts(*joint):
            health.accept(joint)
        else:
            health.reject(joint, "ValueError: no")
    return health.advice(specs)


@pytest.mark.parametrize(
    ("accepts", "declare"),
    [
        (lambda s: len(s) > 0 and s[-1] >= 4, "'float32[..., >=4]'"),
        (lambda s: len(s) > 0 and s[-1] == 3, "'float32[..., 3]'"),
        (lambda s: len(s) > 1 and s[-2] == 3, "'float32[..., 3, *]'"),
        (lambda s: len(s) == 3, "'float32[*, *, *]'"),
    ],
)
def test_one_input(accepts, declare):
    assert f"declare {declare}" in advice(ANY, accepts, [(shape,) for shape in SHAPES])


def test_a_least_number_of_dimensions():
    flat = [((n,),) for n in range(9)]
    text = advice(ANY, lambda s: len(s) >= 2, [*flat, ((2, 3),), ((1, 2, 3),), ((0, 1),)])
    assert "at least 2 dimensions: declare 'float32[..., *, *]'" in text


def test_two_inputs_of_one_shape():
    joints = [(one, other) for one in SHAPES for other in SHAPES]
    text = advice(TWO, lambda one, other: one == other, joints)
    assert "the same shape: declare 'float32[...S]' and 'float32[...S]'" in text


def test_two_dimensions_of_one_size():
    two = [shape for shape in SHAPES if len(shape) == 2] + [(4, 2), (3, 3)]
    joints = [(one, other) for one in two for other in two]
    text = advice(parse_specs(["float32[*, *]"] * 2), lambda one, other: one[1] == other[0], joints)
    assert "dimension -1 of input 0 and dimension -2 of input 1 must have the same size" in text


def test_values_are_to_blame_where_shapes_are_not():
    health = Health()
    for number in range(2 * ENOUGH):
        if number % 4:
            health.reject(((2,),), "IndexError: out of range")
        else:
            health.accept(((2,),))
    text = health.advice(ANY)
    assert "rejects 60 of 80" in text
    assert "IndexError: out of range" in text
    assert "in LO..HI" in text


def test_a_healthy_case_and_a_short_run_get_no_advice():
    assert advice(ANY, lambda s: len(s) < 3, [(shape,) for shape in SHAPES]) == ""
    health = Health()
    health.accept(((2,),))
    health.reject(((3,),), "no")
    assert health.advice(ANY) == ""


class Picky(torch.nn.Module):
    def forward(self, x):
        return x.reshape(-1, 6)[:, 1] if x.numel() == 6 else x.reshape(-1, 7)


def explored(case, **settings):
    explorer = Explorer(case, ["ort-disabled"], Settings(**settings), pipeline=Pipeline())
    return list(explorer.explore([Mode("torchscript"), Mode("torchscript", dynamic=True)]))


def test_a_run_tells():
    case = make_case("linear", lambda: torch.nn.Linear(3, 2), inputs=["float32[...]"])
    (event,) = [e for e in explored(case, examples=20) if isinstance(e, Unhealthy)]
    assert event.case == "linear"
    assert "declare 'float32[..., 3]'" in event.message


def test_a_run_with_the_declared_constraint_is_quiet():
    case = make_case("linear", lambda: torch.nn.Linear(3, 2), inputs=["float32[..., 3]"])
    assert not [e for e in explored(case) if isinstance(e, Unhealthy | CaseFailed)]


def test_strategies_for_single_arguments_are_drawn_and_exported():
    seen = []

    class Scaled(torch.nn.Module):
        def forward(self, x, times, flag):
            if not torch.jit.is_tracing():
                seen.append((times, flag))
            return x * 3.0 if times > 2 and flag is None else x + 1.0

    case = make_case("scaled", Scaled, inputs=["float32[N]", st.integers(1, 4), st.none() | st.just("no")])
    events = explored(case, examples=20)
    assert not [e for e in events if isinstance(e, CaseFailed)]
    assert {times for times, _ in seen} >= {1, 2, 3, 4}
    assert {flag for _, flag in seen} == {None, "no"}
    finished = [e for e in events if type(e).__name__ == "ModeFinished"]
    assert [row.verdict for e in finished for row in e.rows] == ["agrees", "agrees"]
