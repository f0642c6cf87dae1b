"""The export of a standalone script has the mode's options."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import strategies as st
from standalone import INFINITE, PAIR, described, floats, invented

from diffexport.arrays.inputs import as_call
from diffexport.backends import exporters
from diffexport.findings.regressions.stored_arguments import is_tensor
from diffexport.findings.scripts.script import standalone_script
from diffexport.subjects import catalogue
from diffexport.subjects.cases import dynamic_axes, make_case
from diffexport.subjects.targets import resolving as target
from diffexport.values.mode import Mode
from diffexport.values.verdict import Kind, Stage

#: Most export by torch.export.
pytestmark = pytest.mark.slow

WEIGHTS = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.LayerNorm(3)
            self.scale = torch.nn.Parameter(torch.arange(3.0) * torch.ones(1))

        def forward(self, x, nothing, pair):
            x = torch.relu(x + pair[0] * pair[1].sum()) @ torch.ones(3, 3).t() * self.scale
            return self.inner(x)
"""
NO_WEIGHTS = """
    import torch

    class Net(torch.nn.Module):
        def forward(self, x, nothing, pair):
            return torch.relu(x + pair[0]) + 2 - pair[1]
"""


@pytest.mark.parametrize(
    "mode",
    [
        "torchscript,opset=11,dynamic=true,do_constant_folding=false",
        "torchscript,keep_initializers_as_inputs=true,training=TRAINING",
        "torchscript,training=PRESERVE,scoped=true",
        "torchscript,operator_export_type=ONNX_FALLTHROUGH,autograd_inlining=false",
        "torchscript,opset=16,export_modules_as_functions=true",
        "dynamo,dynamic=true,optimize=false",
        "dynamo,opset=21,keep_initializers_as_inputs=true",
        "dynamo-strict,dynamic=true",
        "dynamo-strict,keep_initializers_as_inputs=true,optimize=false",
    ],
)
def test_export_is_the_one_of_the_mode(mode: str, module: Any, here: Any) -> None:
    case = module(NO_WEIGHTS if "dynamic" in mode else WEIGHTS)
    args = (np.ones((1, 3), np.float32), None, (np.ones((1, 3), np.float32), np.ones((1, 3), np.float32)))
    stored = invented(case, mode, Kind.OPSET, args, stage=Stage.CONVERT)
    text = standalone_script(stored, case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        got = here(text)["export"](case.build(), as_call(args).args)
        wanted = exporters.export(case.build(), as_call(args), Mode.parse(mode))
    assert wanted.model is not None, wanted.failure
    if mode.startswith("torchscript"):
        assert got == wanted.model
    assert described(got) == described(wanted.model)


MATRIX = np.ones((2, 3), np.float32)
LINEAR = """
    import torch

    class Net(torch.nn.Linear):
        def __init__(self):
            super().__init__(3, 2)
"""
VARIADIC = """
    import torch

    class Net(torch.nn.Module):
        def forward(self, x, *rest):
            return x.clamp(min=0) + rest[0] * rest[1]
"""
SWITCHED = """
    import torch

    class Net(torch.nn.Module):
        def forward(self, x, negated, y):
            return y - x if negated else y + x
"""


@pytest.mark.parametrize(
    ("exporter", "written"),
    [
        ("torchscript", 'dynamic_axes={"x0": {0: "N"}}'),
        ("dynamo", "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)"),
        ("dynamo-strict", "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)"),
    ],
)
def test_only_free_axes_are_dynamic(exporter: str, written: str, module: Any, here: Any) -> None:
    case = target.resolve(module(LINEAR).target, inputs=["float32[N, 3]"])
    args = (MATRIX,)
    text = standalone_script(invented(case, f"{exporter},dynamic=true", Kind.VALUE, args), case)
    assert written in text
    script = here(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = onnx.load_model_from_string(script["export"](case.build(), as_call(args).args))
    sizes = exported.graph.input[0].type.tensor_type.shape.dim
    assert [(bool(size.dim_param), size.dim_value) for size in sizes] == [(True, 0), (False, 3)]
    assert exporter != "torchscript" or sizes[0].dim_param == "N"
    assert script["main"]() is False


def test_case_without_specs_has_every_axis_dynamic(module: Any) -> None:
    case = replace(module(LINEAR), inputs=(), strategy=object())
    args = (MATRIX,)
    text = standalone_script(invented(case, "torchscript,dynamic=true", Kind.VALUE, args), case)
    assert 'dynamic_axes={"x0": {0: "x0_d0", 1: "x0_d1"}}' in text
    text = standalone_script(invented(case, "dynamo,dynamic=true", Kind.VALUE, args), case)
    assert "dynamic_shapes=(dict.fromkeys([0, 1], torch.export.Dim.DYNAMIC),)" in text


@pytest.mark.parametrize("mode", ["torchscript,dynamic=true", "dynamo,dynamic=true"])
@pytest.mark.parametrize(
    ("source", "specs", "args"),
    [
        (VARIADIC, ["float32[N, 3]", "float32[3]", "float32[*, 3]"], (MATRIX, floats(1, 2, 3), MATRIX)),
        (SWITCHED, ["float32[N, 3]", "float32[N, 3]"], (MATRIX, True, MATRIX)),
    ],
    ids=["variadic", "switched"],
)
def test_dynamic_export_is_the_one_of_the_tool(
    mode: str, source: str, specs: list[str], args: Any, module: Any, here: Any
) -> None:
    case = target.resolve(module(source).target, inputs=specs)
    entries = iter(case.inputs)
    case = replace(case, inputs=tuple(next(entries) if is_tensor(arg) else st.just(arg) for arg in args))
    script = here(standalone_script(invented(case, mode, Kind.VALUE, args), case))
    axes = dynamic_axes(case, as_call(args))
    assert axes is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = script["export"](case.build(), as_call(args).args)
        wanted = exporters.export(case.build(), as_call(args), Mode.parse(mode), dynamic=axes)
    assert wanted.model is not None, wanted.failure
    assert described(got) == described(wanted.model)
    assert script["main"]() is False


def test_options_at_their_default_are_left_out() -> None:
    case = catalogue.load("clamp")
    text = standalone_script(invented(case, "torchscript", Kind.INFINITY, INFINITE), case)
    call = text[text.index("torch.onnx.export(") : text.index("return buffer")]
    assert "opset_version=20," in call
    for name in (
        "do_constant_folding",
        "training",
        "keep_initializers",
        "operator_export_type",
        "dynamic_axes",
    ):
        assert name not in call


def test_scoped_tracing_is_set_and_put_back() -> None:
    case = catalogue.load("clamp")
    text = standalone_script(invented(case, "torchscript,scoped=true", Kind.INFINITY, INFINITE), case)
    call = text.index("torch.onnx.export(")
    assert text.index("_trace_module_map = {part:") < call < text.index("_trace_module_map = None")


def test_failed_capture_is_not_tried_again_strictly() -> None:
    case = catalogue.load("clamp")
    stored = invented(case, "dynamo", Kind.EXPORT_ERROR, PAIR, stage=Stage.CAPTURE)
    assert "strict=False" in standalone_script(stored, case)
    assert "strict=" not in standalone_script(replace(stored, stage=Stage.CONVERT), case)


@pytest.mark.parametrize(
    ("mode", "call"),
    [
        ("torchscript", "deepcopy(model).eval()("),
        ("torchscript,training=TRAINING", "deepcopy(model).train()("),
        ("torchscript,training=PRESERVE", "deepcopy(model)("),
        ("dynamo", "deepcopy(model)("),
    ],
)
def test_eager_runs_in_the_mode_of_the_export(mode: str, call: str) -> None:
    case = catalogue.load("clamp")
    assert call in standalone_script(invented(case, mode, Kind.INFINITY, INFINITE), case)


@pytest.mark.parametrize(
    ("mode", "model", "evaluated"),
    [
        ("dynamo", torch.nn.Dropout, True),
        ("dynamo", torch.nn.ReLU, False),
        ("torchscript", torch.nn.Dropout, False),
        ("torchscript,training=PRESERVE", torch.nn.Dropout, False),
    ],
)
def test_a_model_that_heeds_it_is_put_into_eval_mode(mode: str, model: type, evaluated: bool) -> None:
    case = make_case("model", model, inputs=["float32[N]"], target=f"torch.nn:{model.__name__}")
    text = standalone_script(invented(case, mode, Kind.INFINITY, INFINITE), case)
    assert ("    model.eval()\n" in text) is evaluated
