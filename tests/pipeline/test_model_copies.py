"""Copies of a model share its large weights for as long as nobody writes to them."""

import pytest
import torch

from diffexport.pipeline import Pipeline, model_copies
from diffexport.pipeline.eager import Prepared
from diffexport.pipeline.kept_state import KeptState
from diffexport.pipeline.model_copies import copy_of, in_mode
from diffexport.subjects.cases import make_case
from diffexport.values import Mode

MODE = Mode("torchscript")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(model_copies, "SHARED_FROM", 1 << 10)


def place(tensor):
    return tensor.untyped_storage().data_ptr()


class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.large = torch.nn.Linear(64, 64)
        self.tied = torch.nn.Linear(64, 64)
        self.tied.weight = self.large.weight
        self.norm = torch.nn.BatchNorm1d(64)

    def forward(self, x):
        return self.norm(self.tied(self.large(x)))


def test_large_tensors_are_shared_and_small_ones_are_not():
    model = Layers()
    copied = copy_of(model)
    assert place(copied.large.weight) == place(model.large.weight)
    assert copied.tied.weight is copied.large.weight is not model.large.weight
    assert place(copied.large.bias) != place(model.large.bias)
    assert place(copied.norm.running_mean) != place(model.norm.running_mean)
    assert place(copy_of(model, share=False).large.weight) != place(model.large.weight)


def test_giving_a_copy_another_dtype_leaves_the_model_as_it_is():
    model = Layers()
    assert copy_of(model).double().large.weight.dtype is torch.float64
    assert model.large.weight.dtype is torch.float32
    copied = copy_of(model)
    copied.large.weight.requires_grad_(False)
    assert model.large.weight.requires_grad


def test_a_module_whose_train_gives_nothing_back_is_put_into_eval_mode():
    class Forgetful(Layers):
        def train(self, mode=True):
            super().train(mode)

    assert not in_mode(Forgetful(), False).norm.training


def test_a_copy_is_run_again_until_it_is_changed():
    prepared = Prepared(None, Layers())
    first = prepared.for_run(False)
    first(torch.ones(2, 64))
    assert prepared.for_run(False) is first
    training = prepared.for_run(True)
    training(torch.ones(2, 64))
    assert prepared.for_run(True) is not training
    assert prepared.module.norm.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda m: m.norm.running_mean.add_(1), "norm.running_mean"),
        (lambda m: m.norm.running_mean.data.numpy().fill(7), "norm.running_mean"),
        (lambda m: setattr(m, "more", 3), "more"),
        (lambda m: m.kept["a"].append(2), "kept.a[1]"),
        (lambda m: setattr(m.thing, "count", 5), "thing.count"),
        (lambda m: m.thing.tensor.zero_(), "thing.tensor"),
        (lambda m: m.large.weight.data[0, 0].fill_(9), "large.weight"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_of_a_module_is_seen_and_named(change, name):
    class Thing:
        def __init__(self):
            self.count, self.tensor = 0, torch.ones(3)

    model = Layers()
    model.kept, model.thing = {"a": [1]}, Thing()
    state = KeptState(model)
    assert not state.is_changed()
    change(model)
    assert list(state.changes()) == [name]


class Renormalising(torch.nn.Module):
    """Writes to its weights in place when it is run, without their versions saying so."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(4096, 4, max_norm=0.1)

    def forward(self, x):
        return self.table(x)


def test_weights_that_a_run_writes_to_are_put_back_and_it_is_said():
    case = make_case("writing", Renormalising, inputs=["int64[N] in 0..3"])
    pipeline = Pipeline()
    before = pipeline.prepare(case).module.table.weight.detach().clone()
    pipeline.stages.eager.repeated(case, MODE, pipeline_call())
    after = pipeline.prepare(case).module.table.weight
    assert torch.equal(before, after)
    (remark,) = pipeline.taken_remarks()
    assert "running it writes to its weights `table.weight` (restored)" in remark
    pipeline.eager(case, MODE, pipeline_call())
    assert torch.equal(before, pipeline.prepare(case).module.table.weight)
    assert not pipeline.taken_remarks()


def pipeline_call():
    from diffexport.values import Call

    return Call((torch.tensor([0, 1, 2]),), {})


def test_weights_that_cannot_be_put_back_are_said_not_to_be():
    model = Renormalising()
    case = make_case("writing", lambda: model, inputs=["int64[N] in 0..3"])
    pipeline = Pipeline()
    pipeline.stages.eager.repeated(case, MODE, pipeline_call())
    assert "not restored" in pipeline.taken_remarks()[0]


def test_no_copy_of_the_weights_is_made_for_runs_and_exports():
    places = []

    class Wide(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(64, 64)

        def forward(self, x):
            if self.layer.weight.dtype is torch.float32:  # else it is the one copy in float64
                places.append(place(self.layer.weight))
            return self.layer(x)

    case = make_case("wide", Wide, inputs=["float32[N, 64]"])
    pipeline = Pipeline()
    verdict = pipeline.check(case, MODE, "ort-disabled", (torch.ones(2, 64),))
    assert verdict.agrees
    assert set(places) == {place(pipeline.prepare(case).module.layer.weight)}
