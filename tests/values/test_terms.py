"""Terms of a case: validated, shown, stored, and kept by export and comparison."""

import json

import numpy as np
import pytest
import torch

from diffexport import Pipeline, make_case
from diffexport.errors import UsageError
from diffexport.oracle import ComparisonResult, compare_leniently
from diffexport.values.mode import Mode
from diffexport.values.terms import DEFAULT_TERMS, Terms
from diffexport.values.verdict import Kind, Outcome

ALL = {
    "rtol": 1e-3,
    "atol": 0.5,
    "mismatched": 0.25,
    "check_shape": False,
    "check_dtype": False,
    "ignore_none": False,
    "input_names": ["a", "b"],
    "output_names": ["c"],
    "dynamic_axes": {"a": [0, 2], "b": {1: "width"}},
    "remaining_inputs": [1, 0],
    "external_data": True,
    "script": True,
    "fixed_batch_size": True,
}


def test_terms_are_read_back_from_json():
    terms = Terms.of(ALL)
    assert Terms.of(json.loads(json.dumps(terms.document()))) == terms
    assert terms.axes_of("b") == {1: "width"}
    assert terms.axes_of("a") == {0: None, 2: None}
    assert terms.remaining_inputs == (0, 1)


def test_only_what_is_off_its_default_is_shown():
    assert str(DEFAULT_TERMS) == ""
    assert DEFAULT_TERMS.document() == {}
    assert str(Terms.of({"rtol": 1e-3, "check_dtype": False})) == "rtol=0.001, check_dtype=false"


WRONG = {
    "unknown": ({"rtool": 1.0}, "unknown option 'rtool'; did you mean 'rtol'?"),
    "negative": ({"rtol": -1.0}, "rtol=-1.0 must be a finite number"),
    "no number": ({"atol": "1e-3"}, "atol='1e-3' must be a finite number"),
    "infinite": ({"atol": float("inf")}, "atol=inf must be a finite number"),
    "share": ({"mismatched": 5}, "mismatched=5 must be from 0 to 1"),
    "flag": ({"script": 1}, "script=1 must be True or False"),
    "text for names": ({"input_names": "x"}, "input_names='x' must be a list of names"),
    "name twice": ({"input_names": ["x", "x"]}, "has a name twice"),
    "same name": (
        {"input_names": ["x"], "output_names": ["x"], "dynamic_axes": {"x": [0]}},
        "input_names and output_names both have x",
    ),
    "axis": ({"dynamic_axes": {"x": [-1]}}, "dynamic_axes['x']: -1 is no axis"),
    "axes": ({"dynamic_axes": {"x": 0}}, "dynamic_axes['x']=0 must be axes"),
    "axis name": ({"dynamic_axes": {"x": {0: "a b"}}}, "cannot be called 'a b'"),
    "number": ({"remaining_inputs": [True]}, "remaining_inputs: True is no number"),
    "opset": ({"opset_version": 13}, "the opset is part of a mode; write modes='torchscript,opset=13'"),
    "external": ({"use_external_data": True}, "write external_data=True"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_terms_are_refused(wrong):
    options, message = WRONG[wrong]
    with pytest.raises(UsageError) as caught:
        Terms.of(options)
    assert message in str(caught.value)


def never(eager, got):
    raise AssertionError("the oracle is not asked")


def judged(eager, got, **terms):
    return compare_leniently([np.asarray(eager)], [np.asarray(got)], Terms.of(terms), never)


def test_a_tolerance_stands_in_place_of_the_oracle():
    eager, got = np.float32([1.0, 100.0]), np.float32([1.0005, 100.05])
    assert judged(eager, got, rtol=1e-3) == ComparisonResult([], tolerated=True)
    (left,) = judged(eager, got, atol=1e-3).found
    assert (left.kind, left.element) == (Kind.VALUE, (1,))
    assert not judged(eager, eager, rtol=1e-3).tolerated


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_no_tolerance_is_large_enough_for_what_is_no_number(special):
    (left,) = judged(np.float32([special]), np.float32([1.0]), rtol=1e9, atol=1e9).found
    assert left.kind in (Kind.NAN_PLACEMENT, Kind.INFINITY)


def test_a_share_of_the_elements_may_differ():
    eager, got = np.float32([1, 2, 3, 4]), np.float32([1, 2, 3, 5])
    assert not judged(eager, got, mismatched=0.25, rtol=0.0).found
    assert judged(eager, got, mismatched=0.24, rtol=0.0).found
    assert not judged(np.int64([1, 2]), np.int64([1, 3]), mismatched=0.5, rtol=0.0).found


def test_shapes_and_dtypes_matter_unless_said_otherwise():
    eager, wider = np.float32([[1, 2]]), np.float64([1, 2])
    assert [d.kind for d in judged(eager, wider, rtol=0.0).found] == [Kind.DTYPE]
    assert [d.kind for d in judged(eager, wider, rtol=0.0, check_dtype=False).found] == [Kind.SHAPE]
    assert not judged(eager, wider, rtol=0.0, check_dtype=False, check_shape=False).found
    apart = judged(np.float32([1, 2, 3]), np.float32([1, 2]), rtol=0.0, check_shape=False).found
    assert [d.kind for d in apart] == [Kind.SHAPE]
    assert judged(np.float32([1.0]), np.float64([1.1]), rtol=0.0, check_dtype=False).found


class Plus(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(600.0).reshape(3, 200))

    def forward(self, x, unused):
        return x @ self.weight


def verdict(mode, *, model=Plus, inputs=("float32[N, 3]", "float32[N, 3]"), given=None, **terms):
    case = make_case("plus", model, inputs=inputs, traits=[], **terms)
    given = given or tuple(np.ones((2, 3), "float32") for _ in inputs)
    return Pipeline().check(case, Mode.parse(mode), "ort-disabled", given)


def exported(mode, **terms):
    case = make_case("plus", Plus, inputs=["float32[N, 3]", "float32[N, 3]"], traits=[], **terms)
    return Pipeline().export(case, Mode.parse(mode), tuple(np.ones((2, 3), "float32") for _ in range(2)))


@pytest.mark.parametrize(
    "mode", ["torchscript,dynamic=true", pytest.param("dynamo,dynamic=true", marks=pytest.mark.slow)]
)
def test_names_and_axes_are_those_that_are_asked_for(mode):
    terms = {"input_names": ["left"], "output_names": ["out"], "dynamic_axes": {"left": {0: "batch"}}}
    graph = exported(mode, **terms).graph
    assert [value.name for value in graph.outputs] == ["out"]
    assert graph.inputs[0].name == "left"
    assert isinstance(graph.inputs[0].shape[0], str)
    assert [size for value in graph.inputs for size in value.shape[1:]] == [3] * len(graph.inputs)
    assert verdict(mode, **terms).outcome is Outcome.AGREES


def test_names_that_the_graph_lacks_are_a_divergence():
    found = exported("torchscript", output_names=["a"], remaining_inputs=[0, 1]).divergences
    assert [(d.kind, d.signature) for d in found] == [(Kind.GRAPH_CONTRACT, "remaining inputs")]
    assert "x0, x1 should remain inputs, the graph has x0" in found[0].message
    assert not exported("torchscript", remaining_inputs=[0]).divergences


@pytest.mark.slow
def test_external_data_lie_beside_the_model_and_are_loaded_from_there():
    made = exported("dynamo", external_data=True).export
    assert len(made.files) == 2
    (_, model), (_, data) = made.files
    assert len(data) >= 2400
    assert len(model) < 2400 < len(made.model)
    assert verdict("dynamo", external_data=True).outcome is Outcome.AGREES


@pytest.mark.slow
def test_a_runtime_that_lacks_the_data_says_so():
    from diffexport.backends import runtimes

    made = exported("dynamo", external_data=True).export
    for name in ("ort-disabled", "reference"):
        with pytest.raises(runtimes.LoadError):
            runtimes.load(name, made.model, made.files[:1])


class Optional(torch.nn.Module):
    def forward(self, several: list[torch.Tensor], scale: torch.Tensor):
        return [x * scale for x in several], several[0]


def test_a_scripted_model_keeps_its_lists():
    pair = ([np.float32([1, 2]), np.float32([3, 4])], np.float32([2, 2]))
    case = make_case("listed", Optional, strategy=object(), traits=[], script=True)
    pipeline = Pipeline()
    for runtime in ("ort-disabled", "reference"):
        checked = pipeline.check(case, Mode("torchscript"), runtime, pair)
        assert checked.outcome is Outcome.AGREES, checked
        assert [array.tolist() for array in checked.got] == [[2, 4], [6, 8], [1, 2]]
    graph = pipeline.export(case, Mode("torchscript"), pair).graph
    assert [(value.name, value.single) for value in graph.inputs] == [("x0", False), ("x2", True)]


def test_the_batch_size_is_fixed_where_that_is_asked_for():
    given = (np.ones((3, 2, 2), "float32"),)
    nodes = {}
    for fixed in (False, True):
        case = make_case(
            "rnn",
            lambda: torch.nn.RNN(2, 3),
            inputs=["float32[3, 2, 2]"],
            traits=[],
            fixed_batch_size=fixed,
        )
        nodes[fixed] = Pipeline().export(case, Mode("torchscript"), given).graph.nodes
    # Without it, the default state is expanded to the batch size that the model is run at.
    assert sum(nodes[True].values()) < sum(nodes[False].values())


def test_a_none_counts_where_that_is_asked_for():
    class WithNone(torch.nn.Module):
        def forward(self, x):
            return x + 1, None

    one = {"model": WithNone, "inputs": ["float32[N, 3]"]}
    assert verdict("torchscript", **one).outcome is Outcome.AGREES
    (left,) = verdict("torchscript", **one, ignore_none=False).divergences
    assert left.message == "eager returns 2 outputs, the exported model 1"
