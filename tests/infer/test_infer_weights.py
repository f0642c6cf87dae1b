"""The order of candidates depends on one table of weights and costs."""

import ast
import dataclasses
import inspect

import pytest
from torch import nn

from diffexport.infer.evidence import (
    argument_choices,
    documented_kinds,
    parameter_usage,
    size_relations,
    usage,
    weights,
    words,
)
from diffexport.infer.evidence.argument_choices import SiteValue, choices
from diffexport.infer.evidence.kinds import KINDS, ArgumentKind
from diffexport.infer.evidence.parameter_usage import Usage
from diffexport.infer.evidence.subject import Parameter, subject_of
from diffexport.infer.evidence.weights import Use
from diffexport.infer.search import candidates, repairs, searching
from diffexport.infer.session import steps

RANKING = (
    *(argument_choices, documented_kinds, parameter_usage, size_relations, usage, words),
    *(candidates, repairs, searching, steps),
)
SOURCE = "\n".join(inspect.getsource(module) for module in RANKING)
GROUPS = [name for name, value in vars(weights).items() if dataclasses.is_dataclass(value) and name.isupper()]


@pytest.mark.parametrize(
    "module", [argument_choices, documented_kinds, size_relations, usage, candidates, repairs]
)
def test_no_weight_stands_outside_the_table(module):
    numbers = [
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, float)
    ]
    assert set(numbers) <= {0.0}


@pytest.mark.parametrize("use", Use)
def test_every_use_is_looked_for(use):
    assert f"Use.{use.name}" in SOURCE
    assert use.weights.keys() <= set(KINDS)


def test_uses_have_names_of_their_own():
    assert len({use.meaning for use in Use}) == len(Use.__members__) == len(list(Use))


@pytest.mark.parametrize("group", GROUPS)
def test_every_cost_is_asked_for(group):
    names = [field.name for field in dataclasses.fields(getattr(weights, group))]
    unused = [name for name in names if f"{group}.{name}" not in SOURCE]
    assert names
    assert not unused


def test_tables_speak_of_the_same_things():
    assert set(weights.PRIOR) == set(KINDS)
    assert set(weights.RELATION) == set(size_relations.RELATIVE)
    assert set(weights.RANK) == set(size_relations.PLAIN)


def costs(name, seen=None, known=(), place=1):
    made = choices(Parameter(name), place, seen or Usage(), known, "", subject_of(nn.ReLU()))
    found = {}
    for choice in made:
        found.setdefault(choice.kind, choice.cost)
    return found


def test_costs_are_differences_of_weights():
    # 0.7 + 2.5 for an integer called dim, 1.3 for a tensor.
    assert costs("dim")[ArgumentKind.INT] == pytest.approx(0.0)
    assert costs("dim")[ArgumentKind.TENSOR] == pytest.approx(3.2 - 1.3)


def test_a_use_adds_its_weight():
    seen = Usage()
    seen.add(Use.MATRIX_OPERAND)
    # 1.3 + 3 for a tensor; the name speaks for nothing.
    assert costs("other", seen)[ArgumentKind.TENSOR] == pytest.approx(0.0)
    assert costs("other", seen)[ArgumentKind.FLOAT] == pytest.approx(4.3 - 0.8)
    other = Usage()
    other.merge(seen, weights.PASSED_ON)
    assert other.weight == {ArgumentKind.TENSOR: pytest.approx(2.1)}


def test_values_of_call_sites_come_first_the_frequent_ones_before():
    sites = [SiteValue("3", "here"), SiteValue("5", "there"), SiteValue("5", "elsewhere")]
    made = choices(Parameter("dim"), 1, Usage(), sites, "", subject_of(nn.ReLU()))
    assert [(choice.text, choice.cost) for choice in made[:2]] == [("5", 0.0), ("3", 0.2)]
    assert made[2].cost == pytest.approx(1.0)
