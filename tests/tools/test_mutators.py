"""Every mutator on a small graph: bugs differ from it on some input or are caught by their types, controls never do."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from diffexport.backends import runtimes
from diffexport.backends.runtimes import LoadError, RunError
from diffexport.errors import UsageError
from diffexport.tools.mutate.registry import is_valid, mutants, mutators, select
from diffexport.tools.mutate.surgery import Draft

NAN, INF = np.nan, np.inf
#: Something of everything that a mutator of values may be wrong at.
VALUES = [
    6.25,
    0,
    -0.0,
    1,
    -1,
    0.5,
    2,
    2.5,
    3,
    -3.3,
    100,
    101,
    -200,
    65504,
    2**24,
    3e7,
    2e31,
    1e-4,
    1e-40,
    NAN,
    INF,
    -INF,
    7,
]
SHAPES = {"x": (2, 3), "i": (2, 3), "y": (2, 3), "d": (2, 3), "top": (2, 1), "plus": (2, 3), "yes": (2, 3)}


def value(name, dtype=TensorProto.FLOAT, shape=("N", "M")):
    return make_tensor_value_info(name, dtype, shape)


def small(opset=20):
    """y = x, by way of 6.25; d = x - 2 z; the largest; two constants; integers; bools."""
    constants = [
        numpy_helper.from_array(np.float32(6.25), "c"),
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(np.array([1]), "k"),
    ]
    nodes = [
        make_node("Add", ["x", "c"], ["added"], name="a"),
        make_node("Sub", ["added", "c"], ["near"], name="b"),
        make_node("Add", ["near", "zero"], ["y"], name="c"),
        make_node("Mul", ["z", "c"], ["scaled"], name="d"),
        make_node("Sub", ["x", "scaled"], ["d"], name="e"),
        make_node("TopK", ["x", "k"], ["top", "indices"], name="f", axis=-1),
        make_node("Add", ["i", "i"], ["plus"], name="g"),
        make_node("Greater", ["x", "z"], ["yes"], name="h"),
        make_node("Constant", [], ["pair"], value=numpy_helper.from_array(np.float32([3, 5]))),
        make_node("Split", ["pair"], ["first", "second"], name="i", axis=0, num_outputs=2),
    ]
    graph = make_graph(
        nodes,
        "g",
        [value("x"), value("z"), value("i", TensorProto.INT64)],
        [
            value("y"),
            value("d"),
            value("top", shape=("N", 1)),
            value("first", shape=(1,)),
            value("second", shape=(1,)),
            value("plus", TensorProto.INT64),
            value("yes", TensorProto.BOOL),
        ],
        initializer=constants,
    )
    return make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=9).SerializeToString()


def samples():
    """Tensors full of each value, mixtures of them, and other shapes."""
    for number in VALUES:
        for other in (number, 1.5):
            x = np.full((2, 3), number, np.float32)
            yield x, np.full((2, 3), other, np.float32)
    ramp = np.arange(6, dtype=np.float32).reshape(2, 3)
    yield ramp, ramp[::-1, ::-1].copy()
    yield np.float32([[1, 2, -3], [-4, 5, 6]]), np.float32([[0, 1, 1], [0, 0, 0]])
    for shape in [(1, 1), (1, 3), (2, 2), (3, 5), (0, 3), (2, 6), (4, 2), (2, 20)]:
        yield np.arange(np.prod(shape), dtype=np.float32).reshape(shape), np.ones(shape, np.float32)


def integers(shape, number):
    cycle = np.array([0, 1, -5, 40000, 2**24 + 1, number])
    return np.resize(cycle, shape).astype(np.int64)


def run(model, x, z, number=3, renamed=False):
    session = runtimes.load("ort-disabled", model)
    feeds = dict(zip(session.inputs, (x, z, integers(x.shape, number)), strict=True))
    return session.run(feeds)


def bits(array):
    """Return the bits of an array, all NaNs being one: which of them it is means nothing."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    return array.tobytes()


def differs(model):
    """Return whether a model differs from the original beyond rounding, or in any bit."""
    original = small()
    for x, z in samples():
        try:
            expected = run(original, x, z)
        except RunError:
            continue
        try:
            got = run(model, x, z)
        except (RunError, LoadError):
            return True
        if len(expected) != len(got):
            return True
        for one, other in zip(expected, got, strict=True):
            if one.dtype != other.dtype or one.shape != other.shape:
                return True
            if bits(one) != bits(other):
                return True
    return False


DRAFT = Draft(small(), SHAPES)
MADE: dict[str, list] = {}
for _mutant in mutants(DRAFT, list(mutators().values())):
    MADE.setdefault(_mutant.mutator.name, []).append(_mutant)
BUGS = [name for name, mutator in mutators().items() if not mutator.control]
CONTROLS = [name for name, mutator in mutators().items() if mutator.control]


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_makes_a_difference(name):
    assert MADE.get(name), f"{name} has no place in the small graph"
    # Of several places one may be equivalent: what is wrong at 2**24 is lost in x + 6.25, and so on.
    assert any(differs(mutant.model) for mutant in MADE[name]), [mutant.where for mutant in MADE[name]]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_makes_none_in_any_bit(name):
    assert MADE.get(name), f"{name} has no place in the small graph"
    for mutant in MADE[name]:
        assert not differs(mutant.model), mutant.where


def test_a_control_that_did_would_be_seen():
    def edit(draft):
        draft.insert("x", lambda nodes, x: nodes("Add", x, nodes.constant(0.0, np.float32)))

    # It loses the sign of -0, which shows in what is added to it nowhere, and in topk.
    assert differs(DRAFT.changed(edit))


@pytest.mark.parametrize("name", [*BUGS, *CONTROLS])
def test_mutants_are_valid_models_and_differ_from_each_other(name):
    for mutant in MADE[name]:
        if not mutant.mutator.types:
            assert is_valid(mutant.model), mutant.where
    assert len({mutant.model for mutant in MADE[name]}) == len(MADE[name])
    assert len({mutant.where for mutant in MADE[name]}) == len(MADE[name])


def test_the_original_stays_as_it_is():
    assert DRAFT.bytes == small()
    assert DRAFT.proto == onnx.load_model_from_string(small())


def only(name, where):
    (found,) = (mutant for mutant in MADE[name] if mutant.where == where)
    return found.model


def test_an_error_of_1e_5_is_of_that_size():
    x, z = np.full((2, 3), 3, np.float32), np.zeros((2, 3), np.float32)
    y, scaled = run(small(), x, z)[0], run(only("scaled-1e-5", "output y"), x, z)[0]
    assert np.allclose(scaled / y - 1, 1e-5, rtol=0.05, atol=0)


def test_an_error_at_one_value_is_there_alone():
    model = only("wrong-at-0.5", "output y")
    x, z = np.float32([[0.5, 0.25, 0.75]]), np.zeros((1, 3), np.float32)
    assert run(model, x, z)[0].tolist() == [[1.5, 0.25, 0.75]]


def test_an_error_at_a_constant_is_at_that():
    model = only("wrong-at-a-constant", "input x at 6.25")
    x, z = np.float32([[6.25, 6.5, 1]]), np.zeros((1, 3), np.float32)
    assert run(model, x, z)[0].tolist() == [[7.25, 6.5, 1]]


def test_what_is_behind_an_output_is_not_behind_who_else_uses_it():
    def edit(draft):
        draft.insert("added", lambda nodes, x: nodes("Identity", x))

    draft = Draft(DRAFT.changed(edit))
    assert [node.op_type for node in draft.graph.node][:3] == ["Add", "Identity", "Sub"]
    assert draft.graph.node[2].input[0] == "added"


def test_frozen_sizes_are_those_of_the_export():
    model = only("frozen-expand", "output y at [2, 3]")
    assert run(model, np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))[0].shape == (2, 3)


def test_older_opsets_get_fewer_mutants():
    old = onnx.load_model_from_string(small())
    old.opset_import[0].version = 12
    del next(node for node in old.graph.node if node.op_type == "Split").attribute[:]
    names = {
        mutant.mutator.name for mutant in mutants(Draft(old.SerializeToString()), list(mutators().values()))
    }
    assert "sibling-operator" in names
    assert "scaled-1e-4" not in names
    assert (DRAFT.opset, Draft(old.SerializeToString()).opset) == (20, 12)


def test_mutators_are_selected_by_pattern():
    assert select(["scaled-*"]) == {"scaled-1e-4", "scaled-1e-5", "scaled-5e-6"}
    assert select([]) == set(mutators())
    with pytest.raises(UsageError, match="no mutator is called 'scaled-1e-9'; did you mean 'scaled-1e-"):
        select(["scaled-1e-9"])


def test_relative_errors_of_the_required_sizes_are_among_them():
    assert {
        "scaled-1e-4",
        "scaled-1e-5",
        "scaled-5e-6",
        "constant-1e-4",
        "constant-1e-5",
        "constant-5e-6",
    } <= set(BUGS)
