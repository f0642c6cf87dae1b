from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from diffexport import Mode
from diffexport.explore.explorer import Explorer
from diffexport.explore.run_plan import shipped_for
from diffexport.explore.settings import Settings
from diffexport.oracle import RoundingCheck
from diffexport.pipeline import TOGETHER, Pipeline
from diffexport.pipeline.eager_models import EagerModels
from diffexport.strategies import decode_block, ordinary
from diffexport.subjects import catalogue
from diffexport.subjects.cases.case import make_case
from diffexport.values import parse_specs
from diffexport.values.verdict import Kind, Outcome

RUNTIMES = ("ort-disabled", "ort-all", "reference")


def drawn(count, shape=(2, 5), seed=0):
    data = np.random.default_rng(seed).bytes(12 * count + 80)
    return decode_block(data, [shape], parse_specs(["float32[...]"]), variant=5, limit=count)


@pytest.mark.parametrize(
    "name", ["single_output", "clamp", "partial_output", "nested_autograd", "aten_unsupported"]
)
def test_a_block_says_what_single_checks_say(name):
    case, mode, pipeline = catalogue.load(name), Mode("torchscript", dynamic=True), Pipeline()
    samples = [*drawn(TOGETHER + 20), *drawn(5, shape=(4, 3)), *drawn(3, shape=(0, 4))]
    example = ordinary([(2, 3)], ["float32"])
    with pipeline.block(case, mode, RUNTIMES, export_inputs=example) as check:
        together = list(check.each(samples))
    alone = [
        pipeline.check_runtimes(case, mode, RUNTIMES, inputs, export_inputs=example) for inputs in samples
    ]
    assert together == alone
    assert name == "aten_unsupported" or any(v.outcome is Outcome.AGREES for vs in together for v in vs)
    for one, other in zip(chain.from_iterable(together), chain.from_iterable(alone), strict=True):
        np.testing.assert_equal((one.eager, one.got), (other.eager, other.got))


@pytest.fixture
def arbitrated(monkeypatch):
    """The inputs of the samples for which eager was run again."""
    inputs, shipped = [], EagerModels.rerun

    def rerun(models, case, mode, given):
        inputs.append(float(given[0][0]))
        return shipped(models, case, mode, given)

    monkeypatch.setattr(EagerModels, "rerun", rerun)
    return inputs


def saturating(values):
    """Samples for clamp, of which ONNX Runtime gets infinities wrong."""
    return [(np.array([value], "float32"),) for value in values]


def test_what_differs_is_arbitrated_when_its_turn_comes(arbitrated):
    samples = saturating([1, np.inf, 2, 3, np.inf])
    with Pipeline().block(
        catalogue.load("clamp"), Mode("torchscript"), ("ort-disabled",), export_inputs=samples[0]
    ) as check:
        outcomes = [next(verdicts)[0].outcome.value for verdicts in [check.each(samples)] for _ in range(3)]
    assert outcomes == ["agrees", "diverges", "agrees"]
    assert arbitrated == [np.inf]


def test_what_is_settled_is_not_arbitrated(arbitrated):
    samples = saturating([1, np.inf, 2, -np.inf])
    asked = []

    def settled(inputs, verdicts):
        asked.append((float(inputs[0][0]), [d.kind.value for v in verdicts for d in v.divergences]))
        return True

    with Pipeline().block(
        catalogue.load("clamp"),
        Mode("torchscript"),
        ("ort-disabled",),
        export_inputs=samples[0],
        settled=settled,
    ) as check:
        verdicts = [verdict for (verdict,) in check.each(samples)]
    assert [v.outcome.value for v in verdicts] == ["agrees", "diverges", "agrees", "agrees"]
    assert not verdicts[1].arbitrated
    assert asked == [(np.inf, ["infinity"])]
    assert arbitrated == []


class Overwrites(torch.nn.Module):
    def forward(self, x):
        return x.mul_(2) + 1


class Picky(torch.nn.Module):
    def forward(self, x):
        if not torch.jit.is_tracing() and x[0, 0] < 0:
            raise ValueError("negative")
        return x + 1


@pytest.mark.parametrize("make", [lambda array: array, torch.from_numpy, lambda array: array.T.copy().T])
def test_what_a_model_does_to_its_inputs_reaches_neither_the_runtime_nor_the_caller(make):
    case = make_case("overwrites", Overwrites, inputs=["float32[2, 3]"], traits=())
    array = make(np.arange(6, dtype="float32").reshape(2, 3))
    with Pipeline().block(case, Mode("torchscript"), RUNTIMES) as check:
        for verdict in check((array,)):
            assert verdict.eager[0].tolist() == verdict.got[0].tolist() == [[1, 3, 5], [7, 9, 11]]
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_rejected_samples_stay_in_their_places():
    case = make_case("picky", Picky, inputs=["float32[1, 1]"], traits=())
    samples = [(np.full((1, 1), value, "float32"),) for value in (-1, 2, -3, 4)]
    with Pipeline().block(case, Mode("torchscript"), ("ort-all",), export_inputs=samples[1]) as check:
        verdicts = [verdict for (verdict,) in check.each(samples)]
    assert [verdict.outcome.value for verdict in verdicts] == ["rejected", "agrees", "rejected", "agrees"]
    assert [float(verdict.got[0][0, 0]) for verdict in verdicts[1::2]] == [3, 5]


def test_without_export_inputs_each_shape_is_exported():
    case, samples = catalogue.load("clamp"), [*drawn(2), *drawn(2, (3,))]
    with Pipeline().block(case, Mode("torchscript"), ("ort-all",)) as check:
        assert [check(inputs)[0].got[0].shape for inputs in samples] == [(2, 5), (2, 5), (3,), (3,)]
        assert [v[0].got[0].shape for v in check.each(samples)] == [(2, 5), (2, 5), (3,), (3,)]


class Reuses(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.held = torch.zeros(2)

    def forward(self, x):
        self.held.copy_(x)
        return self.held


def test_a_model_that_gives_out_the_same_memory_each_time():
    case = make_case("reuses", Reuses, inputs=["float32[2]"], traits=())
    samples = [(np.full(2, value, "float32"),) for value in range(3)]
    with Pipeline().block(case, Mode("torchscript"), ("ort-all",), export_inputs=samples[0]) as check:
        assert [v.eager[0].tolist() for (v,) in check.each(samples)] == [[0, 0], [1, 1], [2, 2]]


def test_what_is_known_is_counted_without_arbitration():
    case = catalogue.load("clamp")

    settings = Settings(examples=20, block=16, shrink=False)
    explorer = Explorer(case, ["ort-disabled"], settings, shipped_for("clamp"))
    rows = [row for event in explorer.explore([Mode("torchscript")]) for row in getattr(event, "rows", ())]
    (row,) = rows
    assert row.known["clip-without-max-saturates"] > 0
    assert row.arbitrated == 0


@pytest.fixture
def judged(monkeypatch):
    """The outputs of exported models that were arbitrated."""
    outputs, shipped = [], RoundingCheck.judge

    def judge(arbiter, got):
        outputs.append([array.tolist() for array in got])
        return shipped(arbiter, got)

    monkeypatch.setattr(RoundingCheck, "judge", judge)
    return outputs


def rounding(*values):
    """Samples for nested_autograd; 1 and its neighbours are where eager and ONNX Runtime round differently."""
    return [(np.array([value, 2], "float32"),) for value in values]


def test_the_same_inputs_and_outputs_are_arbitrated_once(judged):
    case, mode, pipeline = catalogue.load("nested_autograd"), Mode("torchscript"), Pipeline()
    samples = rounding(1, 0.001, 1, 0.001, 1)
    with pipeline.block(case, mode, RUNTIMES, export_inputs=samples[0]) as check:
        first = list(check.each(samples))
        count = len(judged)
        assert list(check.each(samples[1:3])) == first[1:3]
    with pipeline.block(case, Mode("torchscript", opset=18), RUNTIMES, export_inputs=samples[0]) as check:
        again = list(check.each([tuple(array[::-1][::-1] for array in one) for one in samples]))
    assert count == len(judged) == len({str(outputs) for outputs in judged}) > 0
    assert [[v.outcome for v in verdicts] for verdicts in again] == [[v.outcome for v in vs] for vs in first]
    assert any(verdict.arbitrated for verdict in first[0])


def test_in_training_mode_and_for_another_case_they_are_arbitrated_again(judged):
    pipeline, samples = Pipeline(), rounding(1)

    def arbitrations(case, mode):
        before = len(judged)
        with pipeline.block(case, mode, ("ort-disabled",), export_inputs=samples[0]) as check:
            check(samples[0])
        return len(judged) - before

    case = catalogue.load("nested_autograd")
    assert arbitrations(case, Mode("torchscript")) > 0
    assert arbitrations(case, Mode("torchscript")) == 0
    assert arbitrations(case, Mode("torchscript", training="TRAINING")) > 0
    assert arbitrations(replace(case, name="another"), Mode("torchscript")) > 0


class Refuses(torch.nn.Module):
    def forward(self, x):
        raise ValueError("never")


def test_of_a_block_whose_beginning_is_rejected_the_rest_is_left_out():
    case = make_case("refuses", Refuses, inputs=["float32[3]"], traits=())

    settings = Settings(examples=4, block=512, shrink=False)
    explorer = Explorer(case, ["ort-disabled"], settings)
    rows = [row for event in explorer.explore([Mode("torchscript")]) for row in getattr(event, "rows", ())]
    (row,) = rows
    assert row.examples == 4
    # Some blocks are shorter.
    assert 2 * 64 < row.rejected <= 4 * 64


class Named(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x), "relu"


def verdicts_on_many(build, mode, **more):
    case, pipeline = make_case("many", build, inputs=["float32[2]"], traits=(), **more), Pipeline()
    samples = [(np.full(2, value, "float32"),) for value in range(5)]
    with pipeline.block(case, Mode.parse(mode), ("ort-all", "reference"), export_inputs=samples[0]) as check:
        return [verdict for verdicts in check.each(samples) for verdict in verdicts]


def test_what_is_wrong_with_an_export_is_said_of_every_sample_though_the_outputs_agree():
    verdicts = verdicts_on_many(torch.nn.ReLU, "dynamo", contract={"*": ["Sigmoid"]})
    assert [verdict.outcome for verdict in verdicts] == [Outcome.DIVERGES] * 10
    assert {d.kind for verdict in verdicts for d in verdict.divergences} == {Kind.GRAPH_CONTRACT}


def test_what_no_onnx_model_returns_is_said_of_every_sample():
    verdicts = verdicts_on_many(Named, "torchscript")
    assert [verdict.outcome for verdict in verdicts] == [Outcome.DIVERGES] * 10
    assert {d.where for verdict in verdicts for d in verdict.divergences} == {"output[1]"}


def test_samples_of_other_dtypes_are_brought_into_the_form_that_the_graph_asks_for():
    class Real(torch.nn.Module):
        def forward(self, x):
            return torch.view_as_real(x) if x.is_complex() else x * 1

    case, pipeline = make_case("real", Real, inputs=["float32[3, 2]"], traits=()), Pipeline()
    real = np.arange(6, dtype="float32").reshape(3, 2)
    samples = [(real,), (real.view("complex64").reshape(3),)]
    with pipeline.block(case, Mode("dynamo"), ("ort-all",), export_inputs=samples[0]) as check:
        verdicts = [verdict for (verdict,) in check.each(samples)]
    assert [verdict.outcome for verdict in verdicts] == [Outcome.AGREES] * 2


class Wrapped(torch.Tensor):
    """A tensor without memory of its own, as libraries of quantisation have them."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise NotImplementedError(f"{func} of a wrapped tensor")


class Wraps(torch.nn.Module):
    def forward(self, x):
        return Wrapped(x)


def test_a_tensor_that_has_no_memory_is_rejected_with_the_reason():
    case, pipeline = make_case("wraps", Wraps, inputs=["float32[2]"], traits=()), Pipeline()
    samples = [(np.full(2, value, "float32"),) for value in range(3)]
    with pipeline.block(case, Mode("torchscript"), ("ort-all",), export_inputs=samples[0]) as check:
        verdicts = [verdict for (verdict,) in check.each(samples)]
    assert [verdict.outcome for verdict in verdicts] == [Outcome.REJECTED] * 3
    assert "wrapped tensor" in verdicts[0].reason
