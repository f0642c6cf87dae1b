"""The groups beyond the seeds, over a small but telling set of modes: as expected, or as it is known not to be."""

import pytest
from hypothesis import given, settings

from diffexport import assert_agrees
from diffexport.pytorch import symbolics
from diffexport.strategies import trials
from diffexport.subjects import catalogue
from diffexport.values.mode import Mode
from diffexport.values.spec import representative_shapes

CASES = [
    pytest.param(case, id=case.name, marks=pytest.mark.xdist_group(case.name))
    for case in catalogue.every("upstream", "issues", "patterns")
]
#: Cheap ones: each export type and switch once, the borders of what opsets have, static and dynamic.
TORCHSCRIPT = (
    "torchscript",
    "torchscript,dynamic=true",
    "torchscript,opset=7",
    "torchscript,opset=9,dynamic=true",
    "torchscript,opset=18,scoped=true,do_constant_folding=false,training=TRAINING",
    "torchscript,operator_export_type=ONNX_ATEN_FALLBACK",
    "torchscript,operator_export_type=ONNX_FALLTHROUGH,dynamic=true",
    "torchscript,autograd_inlining=false",
    "torchscript,export_modules_as_functions=true",
)
#: A fifth of a second and more for each export.
DYNAMO = ("dynamo,dynamic=true", "dynamo-strict")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", [*TORCHSCRIPT, *DYNAMO])
def test_as_expected(case, mode):
    mode = Mode.parse(mode)
    shapes = representative_shapes(case.inputs, 3 if mode.description.is_cheap else 1)

    @settings(max_examples=2 if mode.description.is_cheap else 1, database=None, derandomize=True)
    @given(trials(case.inputs, dynamic=mode.dynamic, export_shapes=shapes))
    def check(trial):
        for inputs in trial.samples:
            assert_agrees(case, mode, inputs, export_inputs=trial.export_inputs)

    check()
    assert symbolics.registered() == {}
