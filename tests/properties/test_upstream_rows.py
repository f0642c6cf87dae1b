"""What PyTorch's other tests of autograd Functions assert, case by case; docs/catalogue.md has the table."""

import warnings
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from diffexport import Mode, Outcome, Pipeline
from diffexport.explore.blame import BlameVote
from diffexport.explore.point import Point
from diffexport.pytorch import symbolics
from diffexport.pytorch.torchscript import first_node_kind
from diffexport.subjects import catalogue
from diffexport.values.verdict import Kind

ROW = np.array([[-1.5, 0.5, 3.0]], np.float32)
OTHER = np.array([[1.0, 2.0, -4.0]], np.float32)
INPUTS = {
    "opaque_layer_norm": (np.arange(24, dtype=np.float32).reshape(2, 3, 4) ** 2,),
    "symbolic_mismatch": (ROW, OTHER),
    "broken_add": (ROW, OTHER),
    "tensor_bound": (ROW, np.array(0.25, np.float32)),
}


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline()


@pytest.fixture(autouse=True)
def _nothing_stays_registered():
    yield
    assert symbolics.registered() == {}
    assert torch.jit._trace._trace_module_map is None


def check(pipeline, name, mode, runtime="ort-all"):
    return pipeline.check(catalogue.load(name), Mode.parse(mode), runtime, INPUTS.get(name, (ROW,)))


def graph_of(pipeline, name, mode):
    args = tuple(torch.from_numpy(array.copy()) for array in INPUTS.get(name, (ROW,)))
    exported = pipeline.export(catalogue.load(name), Mode.parse(mode), args)
    return onnx.load_model_from_string(exported.export.model).graph


def attributes(node):
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


@pytest.mark.parametrize("name", ["scalar_attribute", "registered_symbolic"])
def test_a_scalar_becomes_an_attribute_at_opset_9(pipeline, name):
    verdict = check(pipeline, name, "torchscript,opset=9")
    assert verdict.outcome is Outcome.AGREES, verdict.divergences
    assert verdict.got[0].tolist() == [[2.0, 2.0, 3.0]]
    clip, *rest = graph_of(pipeline, name, "torchscript,opset=9").node
    assert (clip.op_type, len(clip.input), attributes(clip)) == ("Clip", 1, {"min": 2.0})
    assert [node.op_type for node in rest] == (["Relu"] if name == "registered_symbolic" else [])


def test_the_registered_symbolic_is_what_makes_the_nodes(pipeline):
    case = replace(catalogue.load("registered_symbolic"), around=None, rules=(), assertions=(), name="bare")
    exported = pipeline.export(case, Mode("torchscript", opset=9), (torch.from_numpy(ROW),))
    nodes = onnx.load_model_from_string(exported.export.model).graph.node
    assert [attributes(node)["min"] for node in nodes] == [2.0, 0.0]


def test_the_custom_node_comes_first_with_two_outputs(pipeline):
    mode = "torchscript,opset=18,dynamic=true"
    assert check(pipeline, "custom_domain_pair", mode).outcome is Outcome.REFUSED
    (node,) = graph_of(pipeline, "custom_domain_pair", mode).node
    assert (f"{node.domain}::{node.op_type}", len(node.output)) == ("CustomNamespace::Custom", 2)
    model = catalogue.load("custom_domain_pair").build()
    assert first_node_kind(model, (torch.ones(1, 3),), "ONNX") == "CustomNamespace::Custom"


@pytest.mark.parametrize("name", ["fallthrough_first", "fallthrough_relu", "two_modules_one_name"])
def test_fallthrough_leaves_the_python_operator(pipeline, name):
    mode = "torchscript,opset=13,dynamic=true,operator_export_type=ONNX_FALLTHROUGH"
    assert check(pipeline, name, mode).outcome is Outcome.REFUSED
    kinds = [f"{node.domain}::{node.op_type}" for node in graph_of(pipeline, name, mode).node]
    assert kinds.count("prim::PythonOp") == (2 if name == "two_modules_one_name" else 1)
    if name == "fallthrough_first":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = first_node_kind(catalogue.load(name).build(), (torch.ones(1, 3),), "ONNX_FALLTHROUGH")
        assert kind == "prim::PythonOp"


def test_modules_tell_two_functions_of_one_name_apart(pipeline):
    graph = graph_of(pipeline, "two_modules_one_name", "torchscript,operator_export_type=ONNX_FALLTHROUGH")
    given = [attributes(node) for node in graph.node if node.op_type == "PythonOp"]
    assert {values["module"].decode().rpartition(".")[2] for values in given} == {"upstream", "seed_models"}


def test_an_opaque_operator_freezes_no_shape(pipeline):
    opaque = graph_of(pipeline, "opaque_layer_norm", "torchscript,dynamic=true")
    assert opaque.node[0].domain == "com.microsoft"
    sizes = {
        tuple(onnx.numpy_helper.to_array(attribute.t).ravel().tolist())
        for node in opaque.node
        if node.op_type == "Constant"
        for attribute in node.attribute
    }
    assert sizes
    assert (3, 2, 4) not in sizes


@pytest.mark.parametrize("export_type", ["ONNX_ATEN_FALLBACK", "ONNX_FALLTHROUGH", "ONNX_ATEN"])
def test_at_emits_an_aten_node(pipeline, export_type):
    (node,) = graph_of(pipeline, "aten_add", f"torchscript,operator_export_type={export_type}").node
    assert (node.domain, node.op_type, attributes(node)["operator"]) == ("org.pytorch.aten", "ATen", b"add")


@pytest.mark.parametrize("inlining", ["true", "false"])
def test_a_symbolic_that_does_not_fit_is_named(pipeline, inlining):
    verdict = check(pipeline, "symbolic_mismatch", f"torchscript,autograd_inlining={inlining}")
    assert verdict.outcome is Outcome.REFUSED
    assert "(occurred when translating OneTooFew)" in verdict.reason


@pytest.mark.parametrize("runtime", ["ort-all", "reference"])
def test_verification_fails_for_a_symbolic_that_adds(pipeline, runtime):
    verdict = check(pipeline, "broken_add", "torchscript", runtime)
    assert [d.kind for d in verdict.divergences] == [Kind.VALUE]
    np.testing.assert_array_equal(verdict.eager[0], ROW - OTHER)
    np.testing.assert_array_equal(verdict.got[0], ROW + OTHER)
    assert check(pipeline, "broken_add", "dynamo", runtime).outcome is Outcome.AGREES


def test_its_symbolic_is_blamed(pipeline):
    case, inputs = catalogue.load("broken_add"), INPUTS["broken_add"]
    verdict = check(pipeline, "broken_add", "torchscript", "ort-disabled")
    point = Point(Mode("torchscript"), "ort-disabled", inputs, inputs)
    blame = BlameVote(pipeline, case).blame(point, verdict.divergences[0])
    assert blame is not None
    assert "`symbolic` of AddForSubtract" in blame.because


def test_a_tensor_argument_becomes_an_input(pipeline):
    verdict = check(pipeline, "tensor_bound", "torchscript,opset=18")
    assert verdict.outcome is Outcome.AGREES, verdict.divergences
    (node,) = graph_of(pipeline, "tensor_bound", "torchscript,opset=18").node
    assert (node.op_type, list(node.input)) == ("Clip", ["x0", "x1"])


def test_the_error_for_a_missing_symbolic_names_the_function(pipeline):
    values = np.linspace(-2, 2, 24, dtype=np.float32).reshape(3, 2, 4)
    case = catalogue.load("missing_symbolic")
    verdict = pipeline.check(case, Mode("torchscript", autograd_inlining=False), "ort-all", (values,))
    assert verdict.outcome is Outcome.REFUSED
    assert "Couldn't export Python operator RoundedMaximum" in verdict.reason


@pytest.mark.parametrize("inlining", ["true", "false"])
def test_a_symbolic_is_used_whether_or_not_others_are_inlined(pipeline, inlining):
    mode = f"torchscript,autograd_inlining={inlining}"
    assert check(pipeline, "symbolic_hides_forward", mode).outcome is Outcome.AGREES
    assert [node.op_type for node in graph_of(pipeline, "symbolic_hides_forward", mode).node] == ["Erf"]


ASSERTIONS = [
    pytest.param(case, assertion, id=f"{case.name}-{assertion.test.__name__}")
    for case in catalogue.every()
    for assertion in case.assertions
]


@pytest.mark.parametrize(("case", "assertion"), ASSERTIONS)
def test_every_assertion_can_fail(pipeline, case, assertion):
    """Of a model that is not what it speaks of: what is before the reshape is known, and so are the sizes."""
    known = replace(catalogue.load("opaque_layer_norm"), around=None, rules=(), assertions=(), name="known")
    exported = pipeline.export(
        known,
        Mode("torchscript"),
        (torch.from_numpy(INPUTS["opaque_layer_norm"][0]),),
    )
    assert assertion.problem(onnx.load_model_from_string(exported.export.model))
