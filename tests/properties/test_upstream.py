"""What PyTorch's own tests of these models assert, asserted the way they do."""

import warnings

import numpy as np
import onnx
import pytest
import torch

from diffexport import Mode, Outcome, Pipeline
from diffexport.pytorch.torchscript import first_node_kind, traced_traits
from diffexport.subjects import catalogue
from diffexport.values.matrix import full_matrix


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline()


@pytest.mark.parametrize(
    ("export_type", "kind"),
    [
        ("ONNX_FALLTHROUGH", "prim::PythonOp"),
        ("ONNX_ATEN_FALLBACK", "aten::ATen"),
        ("ONNX", "prim::PythonOp"),
    ],
)
def test_aten_unsupported_leaves_its_first_node(export_type, kind, capfd):
    """By ``_model_to_graph``, before an ONNX model is made. The last row is not upstream's, but measured."""
    model = catalogue.load("aten_unsupported").build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert first_node_kind(model, (torch.ones(1, 5),), export_type) == kind


UPSTREAM_INPUTS = {
    "single_output": (1,),
    "multi_output": (1, 5),
    "partial_output": (1, 5),
    "nested_autograd": (1, 5),
    "inline_and_symbolic": (1,),
    "inline_with_scoped_tracing": (1,),
}


@pytest.mark.parametrize("name", UPSTREAM_INPUTS)
def test_upstream_inputs_agree_at_its_opset(name, pipeline):
    """Ones, opset 20, TorchScript: all that upstream's test feeds, and it is right to pass there."""
    scoped = name == "inline_with_scoped_tracing"
    inputs = (np.ones(UPSTREAM_INPUTS[name], np.float32),)
    verdict = pipeline.check(catalogue.load(name), Mode("torchscript", scoped=scoped), "ort-all", inputs)
    assert verdict.outcome is Outcome.AGREES, verdict


def test_symbolic_cases_work_only_without_gradients():
    """They save the builtin ``input``, which save_for_backward refuses as soon as a gradient is wanted."""
    model = catalogue.load("inline_and_symbolic").build()
    assert torch.isneginf(model(torch.zeros(1)))
    with pytest.raises(TypeError, match="save_for_backward"):
        model(torch.ones(1, requires_grad=True))


def test_scoped_tracing_leaves_no_module_map(pipeline):
    case = catalogue.load("inline_with_scoped_tracing")
    pipeline.check(case, Mode("torchscript", scoped=True), "ort-all", (np.ones(1, np.float32),))
    assert torch.jit._trace._trace_module_map is None


@pytest.mark.parametrize("name", catalogue.expand([catalogue.MAIN_JOB]))
def test_declared_traits_are_the_traced_ones(name):
    """Expectations rest on declared traits; tracing has to find the same, save what no trace shows."""
    case = catalogue.load(name)
    shape = tuple(3 for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = traced_traits(case.build(), (torch.ones(shape),))
    assert traced == case.traits - {"unsupported-op"}


TABLE = {
    # The table of measured facts, opset 18: model → outcome for each export type, inlining on and off.
    "clamp": {
        ("ONNX", True): "agrees",
        ("ONNX", False): "Couldn't export Python operator Clamp",
        ("ONNX_FALLTHROUGH", True): "prim::PythonOp",
        ("ONNX_ATEN_FALLBACK", True): "agrees",
        ("ONNX_ATEN", True): "Couldn't export Python operator Clamp",
    },
    "aten_unsupported": {
        ("ONNX", True): "Couldn't export operator aten::special_erf",
        ("ONNX", False): "Couldn't export Python operator SpecialErf",
        ("ONNX_FALLTHROUGH", True): "prim::PythonOp",
        ("ONNX_ATEN_FALLBACK", True): "org.pytorch.aten::ATen",
        ("ONNX_ATEN", True): "Couldn't export Python operator SpecialErf",
    },
    "inline_and_symbolic": {
        ("ONNX", True): "agrees",
        ("ONNX", False): "Couldn't export Python operator LogLogInlined",
        ("ONNX_FALLTHROUGH", True): "prim::PythonOp",
        ("ONNX_ATEN_FALLBACK", True): "agrees",
        ("ONNX_ATEN", True): "Couldn't export Python operator LogLogInlined",
    },
}


@pytest.mark.parametrize("name", TABLE)
def test_measured_table(name, pipeline):
    case = catalogue.load(name)
    inputs = (np.array([[0.5, 1.5], [2.5, 3.0]], np.float32),)
    for (export_type, inlining), expected in TABLE[name].items():
        mode = Mode("torchscript", opset=18, operator_export_type=export_type, autograd_inlining=inlining)
        verdict = pipeline.check(case, mode, "ort-all", inputs)
        if expected == "agrees":
            assert verdict.outcome is Outcome.AGREES, (mode, verdict)
            continue
        assert verdict.outcome is Outcome.REFUSED, (mode, verdict)
        if "::" in expected and "export" not in expected:
            exported = pipeline.export(case, mode, (torch.from_numpy(inputs[0]),))
            assert expected in exported.graph.nodes
            assert expected.rpartition("::")[2] in verdict.reason
        else:
            assert expected in verdict.reason


@pytest.mark.parametrize("name", ["clamp", "aten_unsupported", "inline_and_symbolic"])
def test_every_expectation_of_the_full_matrix_is_met(name, pipeline):
    """No combination of TorchScript options leaves the rules: a sample of every 23rd of the 7,680 modes."""
    case = catalogue.load(name)
    inputs = (np.array([[0.5, 1.5], [2.5, 3.0]], np.float32),)
    accepted = {"impure-export", "nondeterministic-export"}
    for mode in full_matrix("torchscript")[::23]:
        verdict = pipeline.check(case, mode, "ort-all", inputs)
        kinds = {str(d.kind) for d in verdict.divergences}
        assert kinds <= (accepted if mode.export_modules_as_functions else set()), (mode, verdict)


def test_symbolic_supplies_the_exp_node(pipeline):
    """inline_and_symbolic: Exp comes from ``symbolic``, both Logs from inlining."""
    case = catalogue.load("inline_and_symbolic")
    exported = pipeline.export(case, Mode("torchscript"), (torch.ones(1),))
    model = onnx.load_model_from_string(exported.export.model)
    assert [node.op_type for node in model.graph.node] == ["Exp", "Log", "Log"]
