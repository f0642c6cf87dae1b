"""Sizes at which a model changes what it does are looked for in it, and then drawn."""

import pytest
import torch

from diffexport import Mode
from diffexport.explore.drawing import Drawing
from diffexport.explore.explorer import Explorer
from diffexport.explore.mined_sizes import MOST_MINED, POWERS, larger_sizes, mined_sizes
from diffexport.explore.settings import Settings
from diffexport.findings.events import FindingMade
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import make_case

WIDTH = 21


class Guarded(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] > 10 else x


class ByAttribute(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.keep = 13
        self._private, self.flag, self.huge = 77, True, 10**6

    def forward(self, x):
        return x[: self.keep]


class OfClass(torch.nn.Module):
    most = 19

    def forward(self, x):
        return x.topk(12).values


def halved(x):
    return x.split(34)[0]


class InAFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return halved(x) if len(x) >= 15 else x


class Nested(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.part = Guarded()
        self.linear = torch.nn.Linear(40, 41)

    def forward(self, x):
        return InAFunction.apply(self.part(x))


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (Guarded, {10}),
        (ByAttribute, {13}),
        (OfClass, {12, 19}),
        (Nested, {10, 15, 34}),
        (torch.nn.ReLU, set()),
    ],
)
def test_thresholds_are_found_in_source_and_attributes(module, found):
    assert found <= set(mined_sizes(module(), (), ()))
    assert not {10**6, 2, 1, 0} & set(mined_sizes(module(), (), ()))


def test_thresholds_are_found_in_graphs_and_examples():
    assert mined_sizes(torch.nn.ReLU(), (0.5, 24.0, -3.0, float("inf")), [(7, 2)]) == (7, 24)


def test_what_is_compared_with_a_size_comes_first_and_there_are_not_too_many():
    assert mined_sizes(Guarded(), map(float, range(20, 90)), [(8,)])[:2] == (10, 8)
    assert len(mined_sizes(Guarded(), map(float, range(20, 90)), [])) == MOST_MINED


def test_what_was_mined_is_drawn_as_often_as_powers_of_two():
    sizes = larger_sizes((10,))
    assert len(sizes) == 64
    assert list(sizes) == sorted(sizes)
    assert sum(size in (9, 10, 11) and size != 9 for size in sizes) >= 20
    assert {7, 8, 15, 16, 17, 63, 64, 65} <= set(larger_sizes(())) == set(POWERS)


def explored(larger):
    case = make_case("guarded", Guarded, inputs=("float32[N, 2]",))
    explorer = Explorer(case, ["ort-disabled"], Settings(examples=40, blame=False, larger_sizes=larger))
    events = explorer.explore([Mode("torchscript", dynamic=True)])
    return [event.finding for event in events if isinstance(event, FindingMade)]


def test_a_threshold_of_ten_is_reached_and_its_finding_is_of_eleven():
    assert not explored(larger=False)
    sizes = {
        max(found.inputs[0].shape[0], found.export_inputs[0].shape[0]) for found in explored(larger=True)
    }
    assert sizes == {11}


def test_a_static_mode_is_exported_beyond_the_threshold_too():
    case = make_case("guarded", Guarded, inputs=("float32[N, 2]",))
    drawing = Drawing(case, Pipeline(), 8, larger_sizes=True)
    assert [shapes[0][0] for shapes in drawing._larger_shapes(Mode("torchscript"), (10,), [])] == [11]
    assert drawing._larger_shapes(Mode("torchscript"), (), []) == []


def test_without_the_setting_nothing_is_mined(monkeypatch):
    monkeypatch.setattr(Drawing, "_mined", lambda *_: pytest.fail("mined"))
    case = make_case("guarded", Guarded, inputs=("float32[N, 2]",))
    Drawing(case, Pipeline(), 8).trials(Mode("torchscript"))
