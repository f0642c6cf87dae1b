"""Bugs that show at one value of a number on the way are found; benchmarks/planted_values.py has a table of them."""

import numpy as np
import onnx
import pytest
import torch
from torch.autograd import Function

from diffexport.arrays import as_call
from diffexport.explore import Drawing, Explorer, Limits, Settings, StopAfter, TurnOrder, drive
from diffexport.explore.eager_boundaries import TracedModel
from diffexport.explore.graph_boundaries import TracedGraph
from diffexport.explore.intermediate_values import Intermediates, IntermediateSearch
from diffexport.findings.events import FindingMade
from diffexport.pipeline import Pipeline
from diffexport.strategies import examples
from diffexport.subjects.cases import make_case
from diffexport.values import Budget, Deadline, Mode

INLINED, AS_DECLARED = Mode.parse("torchscript"), Mode.parse("torchscript,autograd_inlining=false")


class ExpButAtTwo(Function):
    """Its symbolic gives 3 where the exponential is exactly 2."""

    @staticmethod
    def forward(ctx, x):
        return x.exp()

    @staticmethod
    def symbolic(g, x):
        y = g.op("Exp", x)
        two, three = (g.op("Constant", value_t=torch.tensor(number)) for number in (2.0, 3.0))
        return g.op("Where", g.op("Equal", y, two), three, y)


class HalvesUp(Function):
    """Its symbolic rounds halves up, and eager to the even number."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(x * 1.25)

    @staticmethod
    def symbolic(g, x):
        moved = g.op("Mul", x, g.op("Constant", value_t=torch.tensor(1.25)))
        return g.op("Floor", g.op("Add", moved, g.op("Constant", value_t=torch.tensor(0.5))))


def applied(function):
    class Applied(torch.nn.Module):
        def forward(self, x):
            return function.apply(x)

    return Applied


def module(forward):
    return type("Made", (torch.nn.Module,), {"forward": lambda self, *args: forward(*args)})


def is_found(function, inputs=("float32[3]",), *, rounds=0):
    settings = Settings(
        limits=Limits(stop_after=StopAfter.FIRST_SIGHT),
        budget=Budget(None, rounds, goes_on=True),
        blame=False,
    )
    case = make_case("planted", applied(function), inputs=list(inputs))
    explorer = Explorer(case, ("ort-disabled",), settings)
    events = drive(
        lambda tell: explorer.explore_in_turns(TurnOrder([AS_DECLARED], settings), tell),
        stop_after=StopAfter.FIRST_SIGHT,
    )
    return any(isinstance(event, FindingMade) for event in events)


@pytest.mark.parametrize("function", [ExpButAtTwo, HalvesUp])
def test_the_first_look_shows_a_bug_at_one_value(function, monkeypatch):
    assert is_found(function)
    monkeypatch.setattr(Drawing, "intermediates", lambda *_, **__: Intermediates())
    assert not is_found(function)


def test_a_mode_that_is_explored_in_one_go_shows_it_too():
    settings = Settings(examples=1, block=1, limits=Limits(stop_after=StopAfter.FIRST_SIGHT), blame=False)
    case = make_case("planted", applied(ExpButAtTwo), inputs=["float32[3]"])
    events = list(Explorer(case, ("ort-disabled",), settings).explore([AS_DECLARED]))
    assert any(isinstance(event, FindingMade) for event in events)


def searched(forward, inputs, deadline=None, mode=INLINED):
    case, pipeline = make_case("case", module(forward), inputs=list(inputs)), Pipeline()
    shapes = [tuple(dim.low for dim in spec.dims) for spec in case.specs]
    example = examples(shapes, case.specs)
    exported = pipeline.export(case, mode, as_call(case.call_of(example)), repeat=False)
    return IntermediateSearch(case, pipeline).found(mode, example, exported, deadline)


@pytest.mark.parametrize(
    ("forward", "on_the_way", "values"),
    [
        (lambda x: torch.clamp(torch.tanh(x), -0.5, 0.25), torch.tanh, (-0.5, 0.25)),
        (lambda x: torch.where(x * 3 > 1.5, x, -x), lambda x: x * 3, (1.5,)),
        (lambda x: torch.floor(x * 3), lambda x: x * 3, (1.0, 2.0, -1.0)),
        (lambda x: torch.round(x / 3), lambda x: x / 3, (0.5, 1.5, -0.5)),
        (lambda x: torch.bucketize(x.sigmoid(), torch.tensor([0.2, 0.7])), torch.sigmoid, (0.2, 0.7)),
        (lambda x: torch.nn.functional.hardtanh(x * x - 3), lambda x: x * x - 3, (1.0,)),
        (lambda x: (x.exp() + 1).to(torch.int64), lambda x: x.exp() + 1, (2.0, 3.0)),
        (lambda x: torch.maximum(x.sin(), torch.tensor(0.3)), torch.sin, (0.3,)),
    ],
)
def test_what_eager_compares_clips_rounds_and_looks_up_is_hit_on_both_sides(forward, on_the_way, values):
    found = searched(forward, ["float32[3]"])
    met = torch.cat([on_the_way(torch.from_numpy(sample[0])) for sample in found.samples])
    for value in values:
        wanted = torch.tensor(value)
        assert (met == wanted).any(), value
        # The nearest on both sides: no farther than a rounding or two.
        assert (
            any(torch.nextafter(wanted, torch.tensor(end)) in met for end in (-9.0, 9.0))
            or (((met - wanted).abs() < 1e-6) & (met != wanted)).any()
        )


def test_ordinary_values_and_bounds_are_kept_to():
    found = searched(lambda x: (x * x > 6.25).float(), ["float32[3] in 0..4"])
    assert found.numbers == [2.5]
    assert all(((sample[0] >= 0) & (sample[0] <= 4)).all() for sample in found.samples)
    assert not searched(lambda x: (x * x > 6.25).float(), ["float32[3] in 0..2"]).numbers


def test_no_time_is_left_for_it_where_the_deadline_is_over():
    assert searched(lambda x: (x * x > 6.25).float(), ["float32[3]"], Deadline(0.0)).samples == []


def test_the_same_is_found_again():
    one, other = (searched(lambda x: torch.floor(x.exp()), ["float32[3]"]) for _ in range(2))
    assert one.numbers == other.numbers
    assert [sample[0].tolist() for sample in one.samples] == [sample[0].tolist() for sample in other.samples]


def test_a_model_that_raises_or_takes_another_way_gives_no_gap():
    def forward(x):
        if x.sum() > 10:
            raise ValueError("too much")
        return x.clamp(0, 1) if x.sum() > 5 else x.exp().clamp(0, 1)

    traced = TracedModel(forward)
    (met, _) = [each for each in traced.boundaries(torch.zeros(2)) if each.place.base == "clamp"]
    assert traced.gap(met.place, 0, torch.zeros(2)) == 1.0
    assert traced.gap(met.place, 0, torch.full((2,), 9.0)) != traced.gap(met.place, 0, torch.full((2,), 9.0))


def test_a_graph_whose_constant_is_no_tensor_is_read_as_far_as_it_goes():
    """As the TorchScript exporter writes some with ``ONNX_ATEN``; onnx.checker rejects it."""
    value = onnx.helper.make_tensor_value_info
    broken = onnx.NodeProto(op_type="Constant", output=["c"])
    broken.attribute.append(onnx.AttributeProto(name="value", type=onnx.AttributeProto.STRING, s=b"x"))
    nodes = [broken, onnx.helper.make_node("Greater", ["x", "c"], ["y"])]
    float32, boolean = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
    graph = onnx.helper.make_graph(nodes, "g", [value("x", float32, [2])], [value("y", boolean, [2])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    traced = TracedGraph(model.SerializeToString(), lambda number: True)
    assert traced.boundaries({"x": np.zeros(2, np.float32)}) == []
