"""Nobody exports a model on tensors without elements unless he asks for that."""

import pytest
import torch

from diffexport.explore.drawing import Drawing
from diffexport.explore.explorer import Explorer
from diffexport.explore.settings import Settings
from diffexport.findings.events import FindingMade
from diffexport.pipeline import Pipeline
from diffexport.subjects import catalogue
from diffexport.subjects.cases import make_case
from diffexport.values import InputScope, Mode, select_modes


def has_empty(shapes):
    return any(0 in shape for joint in shapes for shape in joint)


def exported_at(case):
    drawing = Drawing(case, Pipeline(), 4)
    return [joint for mode in select_modes(["default"])[::8] for joint in drawing.export_shapes(mode)]


@pytest.mark.parametrize(
    "inputs", [["float32[...]"], ["float32[N, M]", "float32[N]"], ["int64[N, 3] in 0..4"]]
)
def test_examples_are_empty_only_where_that_is_asked_for(inputs):
    case = make_case("plain", torch.nn.Identity, inputs=inputs)
    assert not has_empty(exported_at(case))
    assert has_empty(exported_at(case.within(InputScope(empty_examples=True))))
    assert has_empty(exported_at(make_case("asks", torch.nn.Identity, inputs=inputs, empty_examples=True)))


def test_specs_that_admit_nothing_else_are_kept_to():
    assert has_empty(exported_at(make_case("nothing", torch.nn.Identity, inputs=["float32[0, N]"])))


def test_the_catalogue_asks():
    assert all(case.empty_examples for case in catalogue.every(catalogue.MAIN_JOB))


class FailsToExportNothing(torch.nn.Module):
    def forward(self, x):
        if torch.jit.is_tracing() and x.numel() == 0:
            raise RuntimeError("nothing to export")
        return x + 1


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("mode", ["torchscript", "torchscript,dynamic=true"])
def test_an_export_that_fails_for_nothing_is_a_finding_where_it_is_asked_for(mode, asked):
    case = make_case("nothing", FailsToExportNothing, inputs=["float32[N]"], empty_examples=asked)
    explorer = Explorer(case, ["ort-disabled"], Settings(examples=12, block=4, blame=False))
    found = [event for event in explorer.explore([Mode.parse(mode)]) if isinstance(event, FindingMade)]
    assert bool(found) is asked
