"""What is left out of the inputs, and bounds that follow a dimension, hold for what is run and what is shrunk."""

import numpy as np
import pytest
import torch
from torch.autograd import Function

import diffexport
from diffexport.errors import UsageError
from diffexport.subjects.cases import make_case
from diffexport.values import InputScope

QUICK = {"modes": "torchscript,dynamic=true", "runtimes": "ort-disabled", "examples": 12}
#: Everything that models are run on in eager.
SEEN = []


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):
        return torch.where(x > 2, x, x + 1)

    @staticmethod
    def symbolic(g, x):
        return g.op("Add", x, g.op("Constant", value_t=torch.tensor(1, dtype=torch.int64)))


class Model(torch.nn.Module):
    def forward(self, x, index):
        if not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            SEEN.append((x.detach().clone(), index.detach().clone()))
        return x + 1, Wrong.apply(index)


@pytest.fixture(autouse=True)
def forgotten():
    SEEN.clear()


def checked(**options):
    return diffexport.check(
        Model, inputs=["float32[B, T]", "int64[B] in 0..<T"], save=None, **QUICK, **options
    )


def test_every_run_is_in_scope_and_within_bounds_when_shrunk_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = checked(ordinary=True, no_empty=True)
    assert len(SEEN) > 100
    for x, index in SEEN:
        sizes = x.double().abs()
        assert x.numel()
        assert bool(((sizes <= 1e4) & ((sizes >= 1e-4) | (sizes == 0))).all())
        assert bool(((index >= 0) & (index < x.shape[1])).all())
    (finding,) = result.findings
    # 3 is the least index that is wrong, so that there are four at least.
    assert [array.shape for array in finding.inputs] == [(1, 4), (1,)]
    assert finding.inputs[1].tolist() == [3]
    assert "inputs: finite ordinary values only, no empty dimension" in str(result)


def test_without_a_scope_odd_values_and_empty_tensors_are_run_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = checked()
    assert any(not bool(torch.isfinite(x).all()) for x, _ in SEEN)
    assert any(not x.numel() for x, _ in SEEN)
    assert "inputs:" not in str(result)


def test_a_case_of_which_nothing_is_in_scope_is_said():
    case = make_case("empty", Model, inputs=["float32[0]", "int64[0]"])
    with pytest.raises(UsageError, match="admits empty tensors only"):
        case.within(InputScope(no_empty=True))


def test_arguments_by_name_are_shrunk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = ["float32[B, T]", "index=int64[B] in 0..<T"]
    (finding,) = diffexport.check(Model, inputs=inputs, save=None, **QUICK).findings
    assert np.shape(finding.inputs.args[0]) == (1, 4)
    assert finding.inputs.kwargs["index"].tolist() == [3]
