"""ONNX files that are given: reading them, whose they are, and what they say of their inputs."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from diffexport.backends.graphs.inspection import Declared, declared_inputs
from diffexport.backends.model_files import (
    choose_inputs,
    choose_outputs,
    declared_specs,
    modes_of,
    narrowed,
    read_model,
)
from diffexport.errors import UsageError
from diffexport.values import parse_specs, shapes_of_ranks

FLOAT = TensorProto.FLOAT


def value(name, shape=("N", 3), dtype=FLOAT):
    return make_tensor_value_info(name, dtype, shape)


def model(nodes=None, inputs=None, *, initializers=(), opset=18, node_name="", **options):
    graph = make_graph(
        nodes or [make_node("Relu", ["x"], ["y"], name=node_name)],
        "g",
        inputs or [value("x")],
        [value("y")],
        initializer=list(initializers),
    )
    options = {"ir_version": 8, **options}
    return make_model(graph, opset_imports=[make_opsetid("", opset)], **options)


def declared(name, *dims, dtype="float32"):
    return Declared(name, np.dtype(dtype), dims)


def texts(specs):
    return [str(spec) for spec in specs]


def test_a_file_is_read_with_its_inputs_and_outputs_in_order(tmp_path):
    file = tmp_path / "m.onnx"
    onnx.save_model(model(), str(file))
    artefact = read_model(file)
    assert (artefact.inputs, artefact.outputs, artefact.path) == (("x",), (0,), str(file))
    assert onnx.load_model_from_string(artefact.model) == model()


def test_initializers_are_no_inputs(tmp_path):
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    proto = model([make_node("Add", ["x", "w"], ["y"])], [value("w", [3]), value("x")], initializers=[weight])
    onnx.save_model(proto, str(tmp_path / "m.onnx"))
    artefact = read_model(tmp_path / "m.onnx")
    assert artefact.inputs == ("x",)
    assert [d.name for d in declared_inputs(artefact.model)] == ["x"]


def test_external_data_beside_the_file_is_taken_along(tmp_path, monkeypatch):
    weight = numpy_helper.from_array(np.arange(512, dtype=np.float32), "w")
    proto = model([make_node("Add", ["x", "w"], ["y"])], [value("x", ["N", 512])], initializers=[weight])
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].CopyFrom(value("y", ["N", 512]))
    folder = tmp_path / "models"
    folder.mkdir()
    onnx.save_model(
        proto, str(folder / "m.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0
    )
    assert (folder / "w.bin").stat().st_size == 2048
    monkeypatch.chdir(tmp_path)
    read_back = onnx.load_model_from_string(read_model(folder / "m.onnx").model)
    assert np.array_equal(numpy_helper.to_array(read_back.graph.initializer[0]), np.arange(512))
    (folder / "w.bin").unlink()
    with pytest.raises(UsageError, match=r"its external data cannot be read: .*w\.bin"):
        read_model(folder / "m.onnx")


BROKEN = {
    "nothing": (b"", "not an ONNX model"),
    "text": (b"hello, this is no model at all", "not an ONNX model"),
    "cut": (model().SerializeToString()[:40], "not an ONNX model"),
    "cycle": (model([make_node("Relu", ["z"], ["y"])]).SerializeToString(), "onnx.checker rejects the model"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_valid_model_is_refused(tmp_path, name):
    data, message = BROKEN[name]
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_model(tmp_path / "m.onnx")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        read_model(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="is not a file"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("proto", "modes"),
    [
        (model(producer_name="pytorch", opset=17), "torchscript,opset=17,dynamic=true"),
        (model(producer_name="pytorch", ir_version=10, opset=20), "dynamo,dynamic=true"),
        (model(node_name="/Relu"), "torchscript,opset=18,dynamic=true"),
        # Nothing tells.
        (model(inputs=[value("x", [2, 3])], opset=20), "dynamo torchscript"),
        # An opset that the exporter does not have.
        (model(opset=9, ir_version=10), "dynamo,dynamic=true torchscript,opset=9,dynamic=true"),
    ],
)
def test_the_mode_is_guessed(proto, modes):
    assert [str(mode) for mode in modes_of(proto)] == modes.split()


def test_metadata_tells_the_exporter():
    proto = model(producer_name="pytorch")
    entry = proto.graph.node[0].metadata_props.add()
    entry.key = "pkg.torch.onnx.fx_node"
    assert [mode.exporter for mode in modes_of(proto)] == ["dynamo"]


def test_declared_dimensions_become_specs():
    specs = declared_specs(
        [declared("a", "batch", 3), declared("b", "batch", None, dtype="int64"), declared("c")]
    )
    assert texts(specs) == ["float32[batch, 3]", "int64[batch, *]", "float32[]"]
    assert texts(declared_specs([Declared("a", None, None)])) == ["float32[...]"]


def test_symbols_that_are_no_names_stay_shared():
    specs = declared_specs([declared("a", "2*s0", "x.1"), declared("b", "2*s0", "s0")])
    first, second = specs
    assert first.dims[0].name == second.dims[0].name
    assert len({dim.name for spec in specs for dim in spec.dims}) == 3
    assert texts(parse_specs(texts(specs))) == texts(specs)


NARROWED = [
    (["float32[...]"], [declared("x", "a", 4)], ["float32[a, 4]"]),
    (["float32[..., >=3]"], [declared("x", "a", "b")], ["float32[a, b>=3]"]),
    (["float32[..., >=3]"], [declared("x", 2, 5)], ["float32[2, 5]"]),
    (["float32[N]", "float32[N]"], [declared("x", "a"), declared("y", "b")], ["float32[N]", "float32[N]"]),
    (["float32[N]", "float32[N]"], [declared("x", 4), declared("y", "b")], ["float32[4]", "float32[4]"]),
    (["float32[*]", "float32[>=2]"], [declared("x", "a"), declared("y", "a")], ["float32[a>=2]"] * 2),
    (["float32[2]"], [declared("x", "a")], ["float32[2]"]),
    (["float32[N]", "float32[N?]"], [declared("x", "a"), declared("y", "b")], ["float32[N]", "float32[N?]"]),
    (["float32[N]", "float32[N?]"], [declared("x", 3), declared("y", "b")], ["float32[3]", "float32[3]"]),
    (["float32[2..4]"], [declared("x", "a")], ["float32[2..4]"]),
    (["float32[N] in 0..1"], [declared("x", None)], ["float32[N] in 0..1"]),
    (["complex64[N]"], [declared("x", "a", 2)], ["complex64[N]"]),
    (["float32[...B]"] * 2, [declared("x", "a", 2), declared("y", "c", "d")], ["float32[B_2, 2]"] * 2),
]


@pytest.mark.parametrize(("given", "file", "both"), NARROWED)
def test_specs_and_file_hold_together(given, file, both):
    assert texts(narrowed(parse_specs(given), file, "case 'c'")) == both


CONTRADICTIONS = [
    (
        ["float64[N]"],
        [declared("x", "a")],
        r"input 0 \('x'\): --input says float64\[N\], the file declares float32",
    ),
    (["float32[N]"], [declared("x", "a", "b")], "the number of dimensions does not fit"),
    (["float32[..., 3, 3]"], [declared("x", "a")], "the number of dimensions does not fit"),
    (["float32[>=3]"], [declared("x", 2)], "dimension 0 is 2 in the file, which '>=3' does not admit"),
    (["float32[4]"], [declared("x", 2)], "dimension 0 would have to be 2 and 4"),
    (["float32[N]"] * 2, [declared("x", 2), declared("y", 3)], "would have to be 2 and 3"),
    (["complex64[N]"], [declared("x", "a", 3)], "complex64"),
]


@pytest.mark.parametrize(("given", "file", "message"), CONTRADICTIONS)
def test_specs_that_contradict_the_file_are_refused(given, file, message):
    with pytest.raises(UsageError, match=message):
        narrowed(parse_specs(given), file, "--input")


def test_a_dtype_that_is_not_generated_is_refused():
    with pytest.raises(UsageError, match="'x' is of type float8_e4m3fn, which is not generated"):
        declared_specs([Declared("x", onnx.helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT8E4M3FN), (2,))])


def test_inputs_are_chosen_in_order_by_number_or_by_argument():
    names = ("p", "q", "r=s")
    assert choose_inputs([], names, ()) == names
    assert choose_inputs(["q"], names, ()) == ("q", "p", "r=s")
    assert choose_inputs(["2=p"], names, ()) == ("q", "r=s", "p")
    assert choose_inputs(["b=p", "a=q"], names, ("a", "b", "c")) == ("q", "p", "r=s")
    assert choose_inputs(["r=s"], names, ("a",)) == ("r=s", "p", "q")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["z"], "unknown graph input 'z'"),
        (["d=p"], "unknown argument 'd'"),
        (["p", "p"], "graph input 'p' is given to two arguments"),
        (["0=p", "0=q"], "argument 0 is given two graph inputs"),
        (["7=p"], "there is no argument 7"),
    ],
)
def test_inputs_that_cannot_be_chosen(given, message):
    with pytest.raises(UsageError, match=message):
        choose_inputs(given, ("p", "q"), ("a", "b"))


def test_outputs_are_chosen_by_name():
    assert choose_outputs([], ("p", "q")) == (0, 1)
    assert choose_outputs(["q", "p"], ("p", "q")) == (1, 0)
    assert choose_outputs(["q"], ("p", "q")) == (1,)
    with pytest.raises(UsageError, match="unknown graph output 'z'"):
        choose_outputs(["z"], ("p", "q"))


def test_a_free_dimension_of_a_file_is_tried_at_larger_sizes_too():
    (free,) = declared_specs([declared("x", "a", None, 7)])
    assert [dim.sizes() for dim in free.dims] == [(1, 2, 3, 4, 5, 9, 17, 65, 0)] * 2 + [(7,)]
    (least,) = narrowed(parse_specs(["float32[..., >=20, 2..4]"]), [declared("x", "a", "b")], "case")
    assert least.dims[0].sizes() == (20, 21, 22, 23, 24, 65)
    assert least.dims[1].sizes() == (2, 3, 4)
    # The sizes of a shared dimension are the same wherever it stands, and of a file's own kind.
    specs = declared_specs([declared("x", "a"), declared("y", "a")])
    shapes = {shapes_of_ranks(specs, (1, 1), itertools.repeat(n)) for n in range(9)}
    assert {one for (one,), _ in shapes} == {0, 1, 2, 3, 4, 5, 9, 17, 65}
    assert all(one == other for one, other in shapes)
