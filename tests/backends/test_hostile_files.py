"""Files made to break who reads them: each is read, or refused by one line that names it."""

import os

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from diffexport.backends.graphs import declared_inputs
from diffexport.backends.model_files import read_model, read_model_apart
from diffexport.backends.model_files.declared import declared_specs
from diffexport.errors import UsageError, visible
from diffexport.values import StepLimits


def value(name, *dims, dtype=TensorProto.FLOAT):
    return make_tensor_value_info(name, dtype, dims)


def model(nodes=None, inputs=None, outputs=None, constants=(), functions=(), domains=()):
    graph = make_graph(
        nodes or [make_node("Relu", ["x"], ["y"])],
        "g",
        inputs or [value("x", "N", 3)],
        outputs or [value("y", "N", 3)],
        initializer=list(constants),
    )
    opsets = [make_opsetid("", 18), *(make_opsetid(domain, 1) for domain in domains)]
    return make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=9)


def external(location):
    tensor = TensorProto(name="w", data_type=1, dims=[3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return model([make_node("Add", ["x", "w"], ["y"])], constants=[tensor])


def typed(type_proto):
    return model(inputs=[helper.make_value_info("x", type_proto)])


TENSOR = helper.make_tensor_type_proto(1, ["N"])
SEQUENCE = model(
    [make_node("SequenceAt", ["x", "i"], ["y"])],
    [helper.make_value_info("x", helper.make_sequence_type_proto(TENSOR)), value("i", dtype=7)],
)
RECURSIVE = helper.make_function(
    "d",
    "f",
    ["x"],
    ["y"],
    [make_node("f", ["x"], ["y"], domain="d")],
    [make_opsetid("", 18), make_opsetid("d", 1)],
)
VALID = model().SerializeToString()
REFUSED = {
    "empty": (b"", "it has no graph"),
    "zeros": (bytes(1000), "does not parse"),
    "a length of 2**60": (b"\x3a" + b"\x80" * 8 + b"\x10x", "does not parse"),
    "a name that is not UTF-8": (VALID.replace(b"\x0a\x01x", b"\x0a\x01\xff"), "is not UTF-8"),
    "a sequence": (SEQUENCE, "graph input 'x' is a sequence, which is not supported"),
    "an optional": (typed(helper.make_optional_type_proto(TENSOR)), "graph input 'x' is an optional value"),
    "strings": (
        model([make_node("Identity", ["x"], ["y"])], [value("x", 1, dtype=8)], [value("y", 1, dtype=8)]),
        "graph input 'x' is of type string, which is not generated",
    ),
    "a negative size": (model(inputs=[value("x", -1)], outputs=[value("y", -1)]), "dimension 0 is -1"),
    "65 dimensions": (
        model(inputs=[value("x", *[1] * 65)], outputs=[value("y", *[1] * 65)]),
        "65 dimensions",
    ),
    "a device": (external("/dev/zero"), "'/dev/zero', which is no file"),
    "a pipe": (external("pipe"), "'pipe', which is no file"),
    "external elsewhere": (external("../m"), "its external data cannot be read"),
    "external ten terabytes": (external("sparse"), "larger than the 2 GiB"),
    "a function of itself": (
        model([make_node("f", ["x"], ["y"], domain="d")], functions=[RECURSIVE], domains=["d"]),
        "onnx.checker rejects the model: Cycle",
    ),
    "escapes": (model([make_node("Add", ["x", "\x1b[31m\n"], ["y"])]), r"\\x1b\[31m"),
}


@pytest.fixture
def file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as opened:
        opened.truncate(10 << 40)
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_by_name(file, name):
    data, problem = REFUSED[name]
    file.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
    with pytest.raises(UsageError, match=problem) as caught:
        read_model(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: ")
    assert said.isprintable()
    assert len(said) < 1000


def test_inputs_that_no_memory_holds_are_refused(file):
    proto = model(inputs=[value("x", 10**6, 10**6)], outputs=[value("y", 10**6, 10**6)])
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(UsageError, match=r"float32\[1000000, 1000000\].*3,725 GiB"):
        declared_specs(declared_inputs(read_model(file).model))


def test_what_is_no_ordinary_file_is_refused(file):
    for place, problem in (
        ("pipe", "is not a file"),
        ("sparse", "larger than the 2 GiB"),
        ("n" * 300, "too long"),
    ):
        with pytest.raises(UsageError, match=problem):
            read_model(file.with_name(place))


#: Functions that call the next one twice: 2**40 nodes, once they are put in place of their calls.
BOMB = [
    helper.make_function(
        "d",
        f"f{depth}",
        ["x"],
        ["y"],
        [
            make_node(f"f{depth + 1}", ["x"], ["t"], domain="d"),
            make_node(f"f{depth + 1}", ["t"], ["y"], domain="d"),
        ]
        if depth < 40
        else [make_node("Relu", ["x"], ["y"])],
        [make_opsetid("", 18), make_opsetid("d", 1)],
    )
    for depth in range(41)
]


@pytest.mark.slow
def test_a_file_that_is_never_read_to_its_end_is_left(file):
    proto = model([make_node("f0", ["x"], ["y"], domain="d")], functions=BOMB, domains=["d"])
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(UsageError, match=r"m.onnx: .* takes longer than 2 s \(--export-timeout\)"):
        read_model_apart(file, StepLimits(export_seconds=2))


ENDING = """
import os, signal
import onnx
onnx.checker.check_model = lambda *args, **kwargs: {what}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("os.abort()", r"checking it by onnx.checker ends the process \(signal SIGABRT\)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", r"ends the process \(signal SIGKILL\)"),
        ("bytearray(1 << 50)", "there is not enough memory to read it|rejects the model: MemoryError"),
    ],
)
def test_a_file_that_ends_its_reader_is_one_line(file, tmp_path, monkeypatch, what, problem):
    file.write_bytes(VALID)
    # Found first by every Python that starts with this on its path.
    (tmp_path / "sitecustomize.py").write_text(ENDING.format(what=what))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(UsageError, match=problem):
        read_model_apart(file, StepLimits())


@pytest.mark.slow
def test_a_valid_file_is_read_apart_as_here(file):
    file.write_bytes(VALID)
    here, apart = read_model(file), read_model_apart(file, StepLimits())
    assert vars(here) == vars(apart)


CONSTANTS = [numpy_helper.from_array(np.float32([1, 2, 3]), "w")]
WHOLE = model([make_node("Add", ["x", "w"], ["y"])], constants=CONSTANTS).SerializeToString()
BYTES = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6)


@settings(max_examples=20 * settings().max_examples, deadline=None)
@given(changes=BYTES, cut=st.integers(0, len(WHOLE)) | st.just(len(WHOLE)))
def test_changed_bytes_are_read_or_refused(tmp_path_factory, changes, cut):
    data = bytearray(WHOLE[:cut])
    for place, byte in changes:
        if place < len(data):
            data[place] = byte
    read_or_refused(tmp_path_factory.getbasetemp() / "changed.onnx", bytes(data))


FIELDS = st.sampled_from(["type", "dims", "elem_type", "name", "op", "version", "tensor dims", "tensor type"])
NUMBERS = st.sampled_from([0, -1, 1, 7, 64, 2**31, 2**40, 2**62, -(2**62)])


@settings(max_examples=10 * settings().max_examples, deadline=None)
@given(changes=st.lists(st.tuples(FIELDS, NUMBERS, st.text(max_size=5)), min_size=1, max_size=4))
def test_changed_fields_are_read_or_refused(tmp_path_factory, changes):
    proto = onnx.load_model_from_string(WHOLE)
    graph, small = proto.graph, 2**31 - 1
    for field, number, text in changes:
        if field == "type":
            graph.input[0].type.Clear()
        elif field == "dims":
            graph.input[0].type.tensor_type.shape.dim.add(dim_value=number)
        elif field == "elem_type":
            graph.input[0].type.tensor_type.elem_type = max(min(number, small), -small)
        elif field == "name":
            graph.input[0].name = graph.node[0].input[0] = text
        elif field == "op":
            graph.node[0].op_type = text
        elif field == "version":
            proto.opset_import[0].version = number
        elif field == "tensor dims":
            graph.initializer[0].dims.append(number)
        else:
            graph.initializer[0].data_type = max(min(number, small), -small)
    read_or_refused(tmp_path_factory.getbasetemp() / "changed.onnx", proto.SerializeToString())


def read_or_refused(file, data):
    """Read a file up to the specs of its inputs; nothing but a [UsageError][] may come of it."""
    file.write_bytes(data)
    try:
        declared_specs(declared_inputs(read_model(file).model))
    except UsageError as error:
        said = str(error)
    else:
        return
    assert visible(said) == said
