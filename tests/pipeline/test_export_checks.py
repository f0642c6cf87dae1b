"""Each check of an export sees what it is for, and nothing in an export that is as it should be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffexport import Mode, make_case
from diffexport.backends.exporters import ExportFailure
from diffexport.pipeline import Pipeline
from diffexport.pipeline.eager import EagerResult
from diffexport.pipeline.export_checks import CHECKS, ExportFacts, refusal
from diffexport.pipeline.exports import later_opsets
from diffexport.pytorch.changes import Change, Watched
from diffexport.subjects.cases import Expectation, Expected
from diffexport.subjects.cases.expectation import assertion
from diffexport.values import Divergence, Kind, Place, Severity, Stage, Terms

MODE = Mode("torchscript")
CASE = make_case("relu", torch.nn.ReLU, inputs=["float32[2]"], traits=())
INVALID = Divergence(Stage.CHECK, Kind.CHECKER_ERROR, Place.GRAPH, "checker", "the checker says no")


@pytest.fixture(scope="module")
def sound():
    exported = Pipeline().export(CASE, MODE, (np.ones(2, np.float32),))
    return ExportFacts(CASE, MODE, Expectation(), exported.export, exported.graph)


def failed(sound, expected, message="no such operator", error=""):
    failure = ExportFailure(Stage.CONVERT, "RuntimeError", message, "signature")
    export = replace(sound.export, model=None, failure=failure)
    expectation = Expectation(expected, error)
    return replace(sound, export=export, graph=None, expectation=expectation, eager=EagerResult(()))


def kinds(facts):
    return [divergence.kind for check in CHECKS for divergence in check(facts)]


def test_nothing_is_wrong_with_a_sound_export(sound):
    assert kinds(sound) == []
    assert refusal(sound) == ""


@pytest.mark.parametrize(
    ("expected", "error", "wrong", "refused"),
    [
        (Expected.AGREES, "", [Kind.EXPORT_ERROR], ""),
        (Expected.REFUSES, "no such", [], "no such operator"),
        (Expected.MAY_REFUSE, "no such", [], "no such operator"),
        (Expected.REFUSES, "another text", [Kind.EXPORT_ERROR], ""),
    ],
)
def test_a_failing_export_is_held_against_what_is_expected(sound, expected, error, wrong, refused):
    facts = failed(sound, expected, error=error)
    assert kinds(facts) == wrong
    assert refusal(facts) == refused


def test_a_success_that_should_be_a_refusal(sound):
    assert kinds(replace(sound, expectation=Expectation(Expected.REFUSES))) == [Kind.UNEXPECTED_SUCCESS]


def test_a_model_that_the_checker_should_reject(sound):
    facts = replace(sound, expectation=Expectation(Expected.INVALID, "says no"))
    assert kinds(facts) == [Kind.UNEXPECTED_SUCCESS]
    rejected = replace(facts, graph=replace(sound.graph, divergences=(INVALID,)))
    assert kinds(rejected) == []
    assert refusal(rejected) == "the checker says no"
    unexpected = replace(rejected, expectation=Expectation())
    assert kinds(unexpected) == [Kind.CHECKER_ERROR]
    assert refusal(unexpected) == ""


def test_everything_that_is_wrong_is_said_in_the_order_of_the_checks(sound):
    export = replace(
        sound.export,
        impurities=(Change(Watched.EXPORTER_SETTING), Change(Watched.SYMBOLIC, "mine::op")),
        repeat="the name of a node",
    )
    case = replace(
        CASE,
        terms=Terms(output_names=("y",)),
        assertions=(assertion("it has a name", "*", lambda model: "it has none"),),
    )
    facts = replace(
        sound,
        case=case,
        export=export,
        graph=replace(sound.graph, divergences=(INVALID,)),
        expectation=Expectation(nodes=("Sigmoid",)),
    )
    assert kinds(facts) == [
        Kind.STALE_GLOBALS,
        Kind.IMPURE_EXPORT,
        Kind.NONDETERMINISTIC_EXPORT,
        Kind.CHECKER_ERROR,
        Kind.GRAPH_CONTRACT,
        Kind.GRAPH_CONTRACT,
        Kind.GRAPH_CONTRACT,
    ]
    signatures = [divergence.signature for check in CHECKS for divergence in check(facts)]
    assert signatures[-3:] == ["output names", "it has a name", "missing Sigmoid"]


class Grid(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.grid_sample(x, torch.zeros(1, 2, 2, 2), align_corners=False)


class Attending(torch.nn.Module):
    """An operator from opset 13 on, and behind it one from 14 on."""

    def forward(self, x):
        split = x.unflatten(-1, (1, 3))
        return torch.nn.functional.scaled_dot_product_attention(split, split, split)


class Empty(torch.nn.Module):
    """An operator that no opset has."""

    def forward(self, x):
        return torch.special.bessel_j0(x)


@pytest.mark.parametrize(
    ("model", "opset", "refused", "wrong"),
    [
        (Grid, 11, "added in version 16", []),
        (Grid, 16, "", []),
        (Attending, 12, "added in version 13", []),
        (Empty, 11, "", [Kind.EXPORT_ERROR]),
    ],
)
def test_what_is_supported_from_a_later_opset_on_is_refused(model, opset, refused, wrong):
    case = make_case("later", model, inputs=["float32[1, 1, 3, 3]"], traits=())
    inputs = (np.ones((1, 1, 3, 3), np.float32),)
    exported = Pipeline().export(case, Mode("torchscript", opset=opset), inputs, repeat=False)
    failures = [one.kind for one in exported.divergences if one.severity is Severity.FAILURE]
    assert failures == wrong
    assert refused in exported.refused
    assert bool(exported.refused) is bool(refused)


@pytest.mark.parametrize(
    ("message", "opsets"),
    [
        ("Exporting 'aten::x' to ONNX opset version 9 is not supported. Support … added in version 16", [16]),
        ("Unsupported: ONNX export of pad in opset 9. Please try opset version 11.", [11]),
        ("Target opset version 9 is not supported. Supported range: 18 to 26.", [18]),
        ("no such operator; please try version 11", []),
        ("opset 9 is too low, version 999 as well", []),
        ("opset 9 is not supported", []),
    ],
)
def test_the_later_opsets_that_a_message_names(message, opsets):
    assert later_opsets(message, Mode("torchscript", opset=9)) == opsets
