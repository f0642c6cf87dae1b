"""Assertions about exported models and the expectation that a model is invalid: both fail in both directions."""

import numpy as np
import onnx
import pytest
import torch

from diffexport import Pipeline, make_case
from diffexport.errors import InvalidModeError, UsageError
from diffexport.subjects.cases.expectation import assertion, rule
from diffexport.values.mode import Mode
from diffexport.values.verdict import Kind, Outcome, Stage

INPUTS = (np.array([0.5, -2.0], np.float32),)


class ClipByAttribute(torch.autograd.Function):
    """Valid below opset 11 only."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(min=0)

    @staticmethod
    def symbolic(g, x):
        return g.op("Clip", x, min_f=0.0)


class Clips(torch.nn.Module):
    def forward(self, x):
        return ClipByAttribute.apply(x)


def one_clip(model):
    kinds = [node.op_type for node in model.graph.node]
    return "" if kinds == ["Clip"] else f"the nodes are {kinds}"


def checked(mode, *, rules=(), assertions=(), runtime="ort-disabled"):
    case = make_case("Clips", Clips, inputs=["float32[...]"], rules=rules, assertions=assertions)
    return Pipeline().check(case, Mode.parse(mode), runtime, INPUTS)


INVALID = rule("Clip has no attribute", "torchscript", "invalid", error="Unrecognized attribute: min")


@pytest.mark.parametrize("runtime", ["ort-disabled", "reference"])
def test_a_model_that_is_expected_to_be_invalid_is_refused(runtime):
    verdict = checked("torchscript", rules=[INVALID], runtime=runtime)
    assert verdict.outcome is Outcome.REFUSED
    assert "Unrecognized attribute: min" in verdict.reason


def test_without_the_expectation_it_is_a_checker_error():
    kinds = {d.kind for d in checked("torchscript").divergences}
    assert Kind.CHECKER_ERROR in kinds


def test_a_valid_model_is_an_unexpected_success():
    verdict = checked("torchscript,opset=9", rules=[INVALID])
    (found,) = verdict.divergences
    assert (found.stage, found.kind) == (Stage.CHECK, Kind.UNEXPECTED_SUCCESS)
    assert "Clip has no attribute" in found.message


def test_another_error_of_the_checker_is_none_that_was_expected():
    other = rule("wrong", "torchscript", "invalid", error="something else")
    kinds = {d.kind for d in checked("torchscript", rules=[other]).divergences}
    assert kinds == {Kind.CHECKER_ERROR, Kind.UNEXPECTED_SUCCESS, Kind.LOAD_ERROR}


def test_a_refusal_may_be_expected_by_the_type_of_its_error():
    class Uncallable(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def symbolic(g, x):
            return x

    class Model(torch.nn.Module):
        def forward(self, x):
            return Uncallable.apply(x, x)

    for error, outcome in ((r"^TypeError: .*Uncallable", Outcome.REFUSED), ("^ValueError", Outcome.DIVERGES)):
        refuses = rule("by type", "torchscript", "refuses", error=error)
        case = make_case("Model", Model, inputs=["float32[...]"], rules=[refuses])
        assert Pipeline().check(case, Mode("torchscript"), "ort-disabled", INPUTS).outcome is outcome


def test_an_assertion_that_holds_says_nothing():
    holds = assertion("there is one Clip", "torchscript", one_clip)
    assert checked("torchscript,opset=9", assertions=[holds]).outcome is Outcome.AGREES


def test_an_assertion_that_does_not_hold_is_a_broken_contract():
    fails = assertion("there is one Clip", "dynamo", one_clip)
    (found,) = [d for d in checked("dynamo", assertions=[fails]).divergences if d.kind is Kind.GRAPH_CONTRACT]
    assert found.signature == "there is one Clip"
    assert "the nodes are" in found.message


def test_an_assertion_speaks_of_its_modes_only():
    fails = assertion("nothing holds", "torchscript", lambda model: "no")
    assert checked("dynamo", assertions=[fails]).outcome is Outcome.AGREES
    assert checked("torchscript,opset=9", assertions=[fails]).outcome is Outcome.DIVERGES


def test_an_assertion_is_made_of_what_is_refused_too():
    fails = assertion("there is no Clip", "torchscript", lambda model: "there is")
    verdict = checked("torchscript", rules=[INVALID], assertions=[fails])
    assert [d.signature for d in verdict.divergences] == ["there is no Clip"]


def test_a_test_that_trips_is_an_assertion_that_does_not_hold():
    trips = assertion("the tenth node is fine", "torchscript", lambda model: model.graph.node[9].name)
    (found,) = checked("torchscript,opset=9", assertions=[trips]).divergences
    assert "the test raises IndexError" in found.message


def test_wrong_assertions_are_refused():
    with pytest.raises(UsageError, match="needs a name"):
        assertion("", "torchscript", one_clip)
    with pytest.raises(InvalidModeError, match="no exporter matches"):
        assertion("a name", "torchscrpt", one_clip)


def test_custom_opsets_reach_the_model():
    class Custom(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x + 1

        @staticmethod
        def symbolic(g, x):
            return g.op("mine::Op", x)

    class Model(torch.nn.Module):
        def forward(self, x):
            return Custom.apply(x)

    for given, version in (({"mine": 7}, 7), ({}, 1)):
        case = make_case("Model", Model, inputs=["float32[...]"], custom_opsets=given)
        exported = Pipeline().export(case, Mode("torchscript"), (torch.ones(2),))
        imports = onnx.load_model_from_string(exported.export.model).opset_import
        assert {entry.domain: entry.version for entry in imports}["mine"] == version
