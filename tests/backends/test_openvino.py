"""OpenVINO as a runtime: what its session does with inputs, outputs and errors; the extra ``openvino`` has it."""

import importlib.util
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from diffexport.backends.runtimes import (
    LoadError,
    RunError,
    available,
    compared_with,
    load,
    runtime_of,
    select,
)
from diffexport.errors import UnavailableRuntimeError

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
FLOAT, BFLOAT16 = TensorProto.FLOAT, TensorProto.BFLOAT16


def model(nodes, inputs, outputs, dtype=FLOAT, shape=("N",)):
    values = [
        [helper.make_tensor_value_info(name, dtype, shape) for name in names] for names in (inputs, outputs)
    ]
    made = helper.make_model(
        helper.make_graph(nodes, "graph", *values), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return made.SerializeToString()


NEG = helper.make_node("Neg", ["x"], ["y"])
ONES = np.ones(3, "float32")


def test_where_it_is_not_installed_it_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UnavailableRuntimeError, match=r"runtime 'openvino' is not available.*diffexport\[openvino\]"
    ):
        select(["openvino"])
    with pytest.raises(UnavailableRuntimeError):
        load("openvino", b"")


def test_it_is_a_family_of_its_own_and_not_part_of_all(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    assert select(["openvino"]) == ("openvino",)
    assert "openvino" not in select(["all"])
    assert compared_with("openvino") == (*available(), "openvino")
    assert "import openvino" in runtime_of("openvino").script.imports


@needs_openvino
def test_an_input_that_nothing_depends_on_is_taken_all_the_same():
    session = load("openvino", model([NEG], ["u", "x"], ["y"]))
    assert (session.inputs, session.outputs) == (("u", "x"), ("y",))
    (got,) = session.run({"u": 2 * ONES, "x": ONES})
    assert got.tolist() == [-1, -1, -1]


@needs_openvino
def test_outputs_are_in_the_order_of_the_graph_and_kept():
    nodes = [NEG, helper.make_node("Identity", ["y"], ["z"]), helper.make_node("Abs", ["x"], ["a"])]
    session = load("openvino", model(nodes, ["x"], ["z", "a", "y"]))
    first = session.run({"x": ONES})
    session.run({"x": 5 * ONES})
    assert [array.tolist()[0] for array in first] == [-1, 1, -1]


@needs_openvino
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_shapes_without_axes_and_without_elements(shape):
    (got,) = load("openvino", model([NEG], ["x"], ["y"], shape=shape)).run({"x": np.ones(shape, "float32")})
    assert got.shape == shape


@needs_openvino
def test_bfloat16_goes_in_and_comes_out_as_it_is():
    array = np.array([1.5, -2, np.inf], ml_dtypes.bfloat16)
    (got,) = load("openvino", model([NEG], ["x"], ["y"], BFLOAT16)).run({"x": array})
    assert got.dtype == array.dtype
    assert got.astype("float32").tolist() == [-1.5, 2, -np.inf]


@needs_openvino
@pytest.mark.parametrize(
    "feeds", [{"x": ONES.astype("float64")}, {}, {"x": ONES, "w": ONES}, {"x": np.ones((2, 2), "float32")}]
)
def test_what_does_not_fit_is_refused_and_never_converted(feeds):
    session = load("openvino", model([NEG], ["x"], ["y"]))
    with pytest.raises(RunError):
        session.run(feeds)
    assert session.run({"x": ONES})[0].tolist() == [-1, -1, -1]


@needs_openvino
def test_a_refusal_names_the_operator_and_no_place_in_its_source():
    unknown = helper.make_node("Nothing", ["x"], ["y"], domain="of.nobody")
    with pytest.raises(LoadError) as caught:
        load("openvino", model([unknown], ["x"], ["y"]))
    first = str(caught.value).splitlines()[0]
    assert "Nothing" in str(caught.value)
    assert ".cpp" not in first


@needs_openvino
def test_eager_keeps_its_subnormal_numbers_and_nothing_is_reported():
    script = (
        "import sys\n"
        "from tests_model import data\n"
        "from diffexport.backends.runtimes import load\n"
        "import numpy, torch\n"
        "load('openvino', data).run({'x': numpy.ones(3, 'float32')})\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "assert (torch.tensor([1e-40]) * 1).item() > 0\n"
    )
    source = script.replace("from tests_model import data", f"data = {model([NEG], ['x'], ['y'])!r}")
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (torch.tensor([1e-40]) * 1).item() > 0
