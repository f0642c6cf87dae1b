import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_function, make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from diffexport.backends.graphs.inspection import Declared, check_declared, inspect_graph, missing_nodes
from diffexport.values.verdict import Kind, Stage

FLOAT = TensorProto.FLOAT


def value(name, shape=("N", 3), dtype=FLOAT):
    return make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, *, opset=18, functions=(), initializers=()):
    graph = make_graph(nodes, "g", inputs, outputs, initializer=list(initializers))
    imports = [make_opsetid("", opset), make_opsetid("mine", 1)]
    return make_model(
        graph, opset_imports=imports, functions=list(functions), ir_version=8
    ).SerializeToString()


def relu(declared=("N", 3), given=("N", 3), **options):
    return model([make_node("Relu", ["x"], ["y"])], [value("x", given)], [value("y", declared)], **options)


def test_a_sound_model():
    graph = inspect_graph(relu(), 18)
    assert graph.divergences == ()
    assert graph.opset == 18
    assert graph.inputs == (Declared("x", np.dtype("float32"), ("N", 3)),)
    assert graph.outputs == (Declared("y", np.dtype("float32"), ("N", 3)),)
    assert dict(graph.nodes) == {"Relu": 1}


@pytest.mark.parametrize(
    ("has", "signature"), [(17, "below the opset asked for"), (19, "above the opset asked for")]
)
def test_opset_mismatch(has, signature):
    graph = inspect_graph(relu(opset=has), 18)
    assert graph.opset == has
    (found,) = graph.divergences
    assert (found.stage, found.kind, found.where) == (Stage.CONVERT, Kind.OPSET, "model")
    assert found.signature == signature
    assert found.message == f"opset 18 was asked for, the model has opset {has}"


def test_opset_under_the_other_name_of_the_standard_domain():
    graph = make_graph([make_node("Relu", ["x"], ["y"])], "g", [value("x")], [value("y")])
    data = make_model(graph, opset_imports=[make_opsetid("ai.onnx", 17)], ir_version=8).SerializeToString()
    assert [found.kind for found in inspect_graph(data, 18).divergences] == [Kind.OPSET]


@pytest.mark.parametrize(
    ("nodes", "part"),
    [
        ([make_node("NoSuchOp", ["x"], ["y"])], "NoSuchOp"),
        ([make_node("Relu", ["x", "x"], ["y"])], "Relu"),
        ([make_node("Relu", ["absent"], ["y"])], "absent"),
        ([make_node("Add", ["x", "x"], ["z"])], "y"),
    ],
)
def test_a_model_the_checker_rejects(nodes, part):
    graph = inspect_graph(model(nodes, [value("x")], [value("y")]), 18)
    (found,) = graph.divergences
    assert (found.stage, found.kind, found.where) == (Stage.CHECK, Kind.CHECKER_ERROR, "graph")
    assert found.signature.startswith("onnx.checker: ")
    assert part in found.message


def test_declared_types_that_contradict_inference_are_rejected():
    (found,) = inspect_graph(relu(declared=("N", 4)), 18).divergences
    assert found.kind is Kind.CHECKER_ERROR
    (found,) = inspect_graph(
        model([make_node("Relu", ["x"], ["y"])], [value("x")], [value("y", dtype=TensorProto.INT64)]), 18
    ).divergences
    assert found.kind is Kind.CHECKER_ERROR


def test_signature_of_a_checker_error_is_free_of_numbers():
    signatures = {inspect_graph(relu(declared=("N", size)), 18).divergences[0].signature for size in (4, 57)}
    assert len(signatures) == 1
    assert not any(sign.isdigit() for sign in signatures.pop())


def branch(*operators):
    names = [f"b{i}" for i in range(len(operators))]
    nodes = [
        make_node(op, [source], [out])
        for op, source, out in zip(operators, ["x", *names], names, strict=False)
    ]
    return make_graph(nodes, "branch", [], [value(names[-1])])


def test_nodes_in_subgraphs_are_counted():
    inner = make_node("If", ["c"], ["i"], then_branch=branch("Neg"), else_branch=branch("Relu", "Neg"))
    then = make_graph([inner], "then", [], [value("i")])
    node = make_node("If", ["c"], ["y"], then_branch=then, else_branch=branch("Relu"))
    data = model([node], [value("x"), value("c", (), TensorProto.BOOL)], [value("y")])
    graph = inspect_graph(data, 18)
    assert graph.divergences == ()
    assert dict(graph.nodes) == {"If": 2, "Neg": 2, "Relu": 2}


def test_nodes_in_local_functions_are_counted_and_calls_are_not():
    imports = [make_opsetid("", 18), make_opsetid("mine", 1)]
    inner = make_function("mine", "Inner", ["a"], ["b"], [make_node("Neg", ["a"], ["b"])], imports)
    body = [make_node("Inner", ["a"], ["c"], domain="mine"), make_node("Relu", ["c"], ["b"])]
    outer = make_function("mine", "Outer", ["a"], ["b"], body, imports)
    calls = [make_node("Outer", ["x"], ["z"], domain="mine"), make_node("Outer", ["z"], ["y"], domain="mine")]
    graph = inspect_graph(model(calls, [value("x")], [value("y")], functions=[inner, outer]), 18)
    # Once for each definition, however often it is called.
    assert dict(graph.nodes) == {"Neg": 1, "Relu": 1}


def test_kinds_outside_the_standard_domain_carry_it():
    nodes = [make_node("ATen", ["x"], ["z"], domain="org.pytorch.aten"), make_node("Relu", ["z"], ["y"])]
    graph = make_graph(nodes, "g", [value("x")], [value("y")])
    imports = [make_opsetid("", 18), make_opsetid("org.pytorch.aten", 1)]
    data = make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
    assert dict(inspect_graph(data, 18).nodes) == {"org.pytorch.aten::ATen": 1, "Relu": 1}


def test_missing_nodes_counts():
    nodes = [make_node("Neg", ["x"], ["a"]), make_node("Neg", ["a"], ["b"]), make_node("Relu", ["b"], ["y"])]
    graph = inspect_graph(model(nodes, [value("x")], [value("y")]), 18)
    assert missing_nodes(graph, []) == []
    assert missing_nodes(graph, ["Relu", "Neg", "Neg"]) == []
    assert missing_nodes(graph, ["Neg", "Neg", "Neg"]) == ["Neg"]
    assert missing_nodes(graph, ["prim::PythonOp", "Abs", "Relu", "Abs"]) == ["Abs", "prim::PythonOp"]


def test_initializers_listed_as_inputs_are_no_inputs():
    weight = onnx.numpy_helper.from_array(np.ones(3, "float32"), "w")
    data = model(
        [make_node("Add", ["x", "w"], ["y"])],
        [value("x"), value("w", (3,))],
        [value("y")],
        initializers=[weight],
    )
    graph = inspect_graph(data, 18)
    assert [declared.name for declared in graph.inputs] == ["x"]


@pytest.mark.parametrize(
    ("declared", "given", "output", "signature"),
    [
        (("N", 3), (5, 3), np.zeros((5, 3), "float32"), None),
        (("N", 3), (0, 3), np.zeros((0, 3), "float32"), None),
        ((None, 3), (5, 3), np.zeros((9, 3), "float32"), None),
        # A symbol no input declares may have any one size.
        (("M", 3), (5, 3), np.zeros((9, 3), "float32"), None),
        (None, (5, 3), np.zeros((1, 2, 3), "float32"), None),
        (("N", 3), (5, 3), np.zeros((5, 3), "float64"), "dtype"),
        (("N", 3), (5, 3), np.zeros((5,), "float32"), "rank"),
        (("N", 3), (5, 3), np.zeros((5, 4), "float32"), "fixed dimension"),
        (("N", 3), (5, 3), np.zeros((5, 0), "float32"), "fixed dimension"),
        (("N", 3), (5, 3), np.zeros((4, 3), "float32"), "symbolic dimension"),
        (("M", "M"), (5, 3), np.zeros((3, 4), "float32"), "symbolic dimension"),
        (("M", "M"), (5, 3), np.zeros((3, 3), "float32"), None),
    ],
)
def test_declared_output_against_the_real_one(declared, given, output, signature):
    graph = inspect_graph(relu(declared=declared), 18)
    found = check_declared(graph, {"x": np.zeros(given, "float32")}, [output])
    assert [divergence.signature for divergence in found] == ([] if signature is None else [signature])
    for divergence in found:
        assert (divergence.stage, divergence.kind) == (Stage.CHECK, Kind.DECLARED_TYPE)
        assert divergence.where == "output[0]"
        assert divergence.message.startswith("output[0] (y): declared ")


def test_a_symbol_shared_by_outputs_has_one_size():
    nodes = [make_node("Relu", ["x"], ["y"]), make_node("Neg", ["x"], ["z"])]
    graph = inspect_graph(model(nodes, [value("x", (None,))], [value("y", ("M",)), value("z", ("M",))]), 18)
    same = check_declared(graph, {}, [np.zeros(2, "float32"), np.zeros(2, "float32")])
    other = check_declared(graph, {}, [np.zeros(2, "float32"), np.zeros(3, "float32")])
    assert same == []
    assert [(d.where, d.signature) for d in other] == [("output[1]", "symbolic dimension")]
    assert "declared shape [M], computed [3]" in other[0].message
