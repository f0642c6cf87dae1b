"""bfloat16 and complex numbers, which numpy and the runtimes know half, at every station of the pipeline."""

import json
import math

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from diffexport.arrays.arguments import clone
from diffexport.arrays.bridge import to_array, to_tensor
from diffexport.arrays.dtypes import (
    as_parts,
    finfo,
    holds_parts,
    is_complex,
    is_floating,
    join_parts,
    part_dtype,
)
from diffexport.arrays.inputs import as_call
from diffexport.backends import runtimes
from diffexport.explore.number_simplicity import simpler_values, simplicity
from diffexport.findings.regressions import Regression, load
from diffexport.findings.regressions.store import save
from diffexport.pipeline import Pipeline
from diffexport.strategies import ordinary_like
from diffexport.subjects.cases.case import make_case
from diffexport.values.mode import Mode
from diffexport.values.place import Place
from diffexport.values.verdict import Kind, Stage

BFLOAT16 = np.dtype("bfloat16")
PAYLOADS = np.array([0x7FA1, 0xFFC0, 0x8000, 1], np.uint16).view(BFLOAT16)


def complexes(*values):
    return np.array(values, "complex64")


# What numpy cannot say.


def test_kinds_of_dtypes():
    floating = ["float16", "bfloat16", "float32", "float64"]
    others = ["complex64", "complex128", "int8", "uint64", "bool"]
    assert [is_floating(np.dtype(name)) for name in (*floating, *others)] == [True] * 4 + [False] * 5
    assert [is_complex(np.dtype(name)) for name in (*floating, *others)] == [False] * 4 + [True] * 2 + [
        False
    ] * 3
    wanted = ["float32", "float64", "int8", "uint64", "bool"]
    assert [part_dtype(np.dtype(name)).name for name in others] == wanted
    assert part_dtype(BFLOAT16) == BFLOAT16


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_limits_are_those_of_numpy(dtype):
    ours, theirs = finfo(np.dtype(dtype)), np.finfo(dtype)
    for name in ("max", "eps", "smallest_normal", "smallest_subnormal"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
def test_parts_are_those_of_torch(shape):
    array = np.full(shape, 1 - 2j, "complex64")
    array += np.arange(math.prod(shape)).reshape(shape)
    split = as_parts(array)
    assert np.array_equal(split, torch.view_as_real(torch.from_numpy(array)).numpy())
    assert split.shape == (*shape, 2)
    assert join_parts(split, array.dtype).tobytes() == array.tobytes()
    assert join_parts(split, array.dtype).shape == shape
    assert holds_parts(split, array.dtype, array.ndim)
    assert not holds_parts(split.astype("float64"), array.dtype, array.ndim)
    assert not holds_parts(split, array.dtype, array.ndim + 1)
    assert not holds_parts(split[..., :1], array.dtype, array.ndim)
    assert not holds_parts(split, np.dtype("float32"), array.ndim)


# Between numpy and torch.


@pytest.mark.parametrize(
    "array", [PAYLOADS, PAYLOADS[0], PAYLOADS.reshape(2, 2).T, PAYLOADS[::2], PAYLOADS[:0]]
)
def test_bfloat16_keeps_bits_and_strides(array):
    array = np.asarray(array)
    (tensor,) = as_call((array,)).args
    assert tensor.dtype is torch.bfloat16
    assert tuple(tensor.shape) == array.shape
    back = to_array(tensor)
    assert (back.dtype, back.tobytes()) == (BFLOAT16, array.tobytes())
    assert array.size < 2 or back.strides == array.strides
    assert to_array(clone(tensor)).tobytes() == array.tobytes()


def test_values_of_bfloat16_are_those_of_torch():
    numbers = [0.1, -2.5, 3e38, 1e-40]
    assert (
        to_tensor(np.array(numbers, BFLOAT16)).tolist()
        == torch.tensor(numbers, dtype=torch.bfloat16).tolist()
    )


def test_views_that_conjugate_are_resolved():
    tensor = torch.tensor([1 + 2j, 3 - 1j])
    assert to_array(tensor.conj()).tolist() == [1 - 2j, 3 + 1j]
    assert to_array(tensor.conj().imag).tolist() == [-2, 1]


@pytest.mark.parametrize("name", ["bfloat16", "complex64", "uint16", "uint32", "uint64"])
def test_examples_to_export_with_are_ordinary(name):
    given = torch.full((2, 3), 9).to(getattr(torch, name))
    (example,) = ordinary_like((given,))
    assert (example.dtype, example.shape) == (given.dtype, given.shape)
    assert len(set(example.reshape(-1).tolist())) == 6


# On the runtimes.


def model(nodes, inputs, outputs):
    described = [
        [helper.make_tensor_value_info(*value, None) for value in side] for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *described)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    ).SerializeToString()


@pytest.mark.parametrize("runtime", ["ort-disabled", "ort-all", "reference"])
@pytest.mark.parametrize(
    "x", [PAYLOADS[1:], np.array(1.5, BFLOAT16), np.zeros((0, 3), BFLOAT16), PAYLOADS[1:3].reshape(1, 2).T]
)
def test_runtimes_take_and_return_bfloat16(runtime, x):
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["n"], ["m"]),
    ]
    inputs = [("x", TensorProto.BFLOAT16), ("n", TensorProto.INT64)]
    outputs = [("same", TensorProto.BFLOAT16), ("wide", TensorProto.FLOAT), ("m", TensorProto.INT64)]
    session = runtimes.load(runtime, model(nodes, inputs, outputs))
    same, wide, number = session.run({"x": x, "n": np.array([7])})
    assert (same.dtype, same.shape, same.tobytes()) == (BFLOAT16, x.shape, x.tobytes())
    assert (wide.dtype, wide.shape) == (np.float32, x.shape)
    assert np.array_equal(wide, x.astype("float32"), equal_nan=True)
    assert number.tolist() == [7]


def test_onnxruntime_returns_bfloat16_from_other_inputs_and_says_what_it_lacks():
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)
    ends = [("x", TensorProto.FLOAT)], [("y", TensorProto.BFLOAT16)]
    (got,) = runtimes.load("ort-disabled", model([cast], *ends)).run({"x": np.array([0.1], "float32")})
    assert (got.dtype, got.tolist()) == (BFLOAT16, [0.10009765625])
    ends = [("x", TensorProto.BFLOAT16)], [("y", TensorProto.BFLOAT16)]
    with pytest.raises(runtimes.LoadError, match=r"NOT_IMPLEMENTED.*Neg"):
        runtimes.load("ort-disabled", model([helper.make_node("Neg", ["x"], ["y"])], *ends))


def test_a_feed_that_does_not_fit_is_a_run_error():
    ends = [("x", TensorProto.BFLOAT16)], [("y", TensorProto.BFLOAT16)]
    session = runtimes.load("ort-disabled", model([helper.make_node("Identity", ["x"], ["y"])], *ends))
    with pytest.raises(runtimes.RunError):
        session.run({"x": np.zeros(1, "float32")})


# The whole pipeline.


class Net(torch.nn.Module):
    def __init__(self, eager, exported=None):
        super().__init__()
        self.eager, self.exported = eager, exported or eager

    def forward(self, *args):
        return (self.exported if torch.compiler.is_exporting() else self.eager)(*args)


def walk(eager, *inputs, exported=None, mode="dynamo", runtime="ort-disabled"):
    specs = [f"{array.dtype.name}[...]" for array in inputs]
    case = make_case("net", lambda: Net(eager, exported), inputs=specs)
    return Pipeline().check(case, Mode.parse(mode), runtime, inputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("eager", "mode"),
    [
        (lambda x: x * x, "dynamo"),
        (lambda x: x * x, "dynamo-strict,dynamic=true"),
        (torch.view_as_real, "dynamo"),
        (lambda x: (x.abs(), x.reshape(-1)), "dynamo"),
    ],
)
@pytest.mark.parametrize("runtime", ["ort-disabled", "reference"])
def test_complex_goes_in_and_comes_out_as_its_parts(eager, mode, runtime):
    x = complexes([1 + 2j, 3 - 1j, 0.5j])
    verdict = walk(eager, x, mode=mode, runtime=runtime)
    assert verdict.outcome == "agrees", verdict
    outputs = [array.dtype for array in verdict.eager]
    assert [array.dtype for array in verdict.got] == outputs


@pytest.mark.slow
def test_complex_inside_needs_nothing():
    x = np.arange(4, dtype="float32")
    assert walk(lambda x: torch.view_as_real(torch.fft.fft(x)), x).outcome == "agrees"
    verdict = walk(torch.fft.fft, x)
    assert (verdict.outcome, verdict.got[0].dtype) == ("agrees", np.complex64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exported", "kind", "where"),
    [
        (lambda x: x.conj().resolve_conj() * 1, "value", "output[0].imag"),
        (lambda x: x + 1, "value", "output[0].real"),
        (lambda x: x.real * 1, "dtype", "output[0]"),
        (lambda x: x.reshape(1, -1), "dtype", "output[0]"),
    ],
)
def test_what_is_wrong_with_complex_outputs_is_found(exported, kind, where):
    verdict = walk(lambda x: x * 1, complexes(1 + 2j, 3 - 1j, 2), exported=exported)
    assert [(d.kind, d.where) for d in verdict.divergences] == [(kind, where)]


def test_an_exporter_that_refuses_complex_is_an_export_error():
    verdict = walk(lambda x: x * 2, complexes(1j), mode="torchscript")
    assert [(d.kind, d.stage) for d in verdict.divergences] == [(Kind.EXPORT_ERROR, Stage.CONVERT)]
    assert "ComplexFloat" in verdict.divergences[0].message


@pytest.mark.parametrize("mode", ["torchscript", pytest.param("dynamo,dynamic=true", marks=pytest.mark.slow)])
def test_bfloat16_agrees_where_it_can_run(mode):
    x = np.array([[1.5, np.nan], [-0.0, 0.1]], BFLOAT16)
    moved = walk(lambda x: (x.reshape(-1), x.to(torch.float32)), x, mode=mode)
    assert (moved.outcome, moved.got[0].dtype) == ("agrees", BFLOAT16), moved
    computed = walk(lambda x: x * 3, x, mode=mode)
    assert [(d.kind, d.stage) for d in computed.divergences] == [(Kind.LOAD_ERROR, Stage.LOAD)]
    assert "NOT_IMPLEMENTED" in computed.divergences[0].message
    assert walk(lambda x: x * 3, x, mode=mode, runtime="reference").outcome == "agrees"


@pytest.mark.slow
def test_unsigned_integers_agree():
    for name in ("uint16", "uint32", "uint64"):
        x = np.array([1, 2, np.iinfo(name).max], name)
        verdict = walk(lambda x: x.reshape(1, -1), x)
        assert (verdict.outcome, verdict.got[0].tolist()) == ("agrees", [x.tolist()])


# Smaller values.


@pytest.mark.parametrize("value", [0.1, -700, np.nan, -0.0, np.inf, 1e-40, 3.1])
def test_simpler_values_of_bfloat16(value):
    number = BFLOAT16.type(value)
    simpler = simpler_values(number)
    assert simpler[0] == 0
    assert all(np.asarray(other).dtype == BFLOAT16 for other in simpler)
    assert all(simplicity(other) < simplicity(number) for other in simpler)
    assert [simplicity(other) for other in simpler] == sorted(simplicity(other) for other in simpler)


NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 0.1, -0.0, math.nan, math.inf, -math.inf, 1e-40])


@given(NUMBERS, NUMBERS)
def test_a_complex_number_is_simpler_when_one_part_is(real, imaginary):
    number = np.complex64(complex(real, imaginary))
    for other in (np.complex64(complex(0, imaginary)), np.complex64(complex(real, 0))):
        assert simplicity(other) <= simplicity(number)
    simpler = simpler_values(number)
    assert all(type(other) is np.complex64 and simplicity(other) < simplicity(number) for other in simpler)
    assert bool(simpler) == (number.tobytes() != bytes(8))
    if simpler:
        assert simpler[0].tobytes() == bytes(8)


def test_each_part_of_a_complex_number_gets_simpler_on_its_own():
    found = [complex(other) for other in simpler_values(np.complex64(3 + 0.125j))]
    assert 0.125j in found
    assert 3 in found
    assert all(other == 0 or other.real == 3 or other.imag == 0.125 for other in found)
    assert simpler_values(np.complex64(0)) == []


# Stored.


@pytest.mark.parametrize(
    "array",
    [
        PAYLOADS,
        PAYLOADS.reshape(2, 2).T,
        np.arange(600).astype(BFLOAT16).reshape(2, 300),
        complexes(complex(0.1, -0.0), complex(np.nan, -np.inf)),
        np.array([0x7FA00001, 0xFFC00000], np.uint32).view("complex64"),
        (np.arange(600) * (1 + 0.1j)).astype("complex64").reshape(2, 300).T,
        np.array([2**64 - 1], "uint64"),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_regression_files_keep_every_bit(array, tmp_path):
    stored = Regression(
        "net",
        "",
        Mode.parse("dynamo"),
        "ort-disabled",
        Stage.COMPARE,
        Kind.VALUE,
        Place.output(0),
        "",
        "",
        (array,),
        (array,),
    )
    path, _ = save(stored, tmp_path)
    assert json.loads(path.read_text())["inputs"][0]["dtype"] == array.dtype.name
    assert len(list(tmp_path.glob("*.npy"))) == (2 if array.size >= 256 else 0)
    back = load(path)
    for got in (*back.inputs, *back.export_inputs):
        assert (got.dtype, got.shape, got.strides) == (array.dtype, array.shape, array.strides)
        assert got.tobytes() == array.tobytes()


def test_onnx_speaks_of_the_same_bfloat16():
    assert helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16) == BFLOAT16


def test_a_tensor_that_torch_negates_when_it_is_read_is_negated():
    lazily = torch.tensor([1 + 2j, 3 - 1j]).conj().imag
    assert lazily.is_neg()
    assert to_array(lazily).tolist() == [-2.0, 1.0]
