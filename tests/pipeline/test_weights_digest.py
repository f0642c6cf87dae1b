"""A digest of weights tells a model from another one, and a replay says so."""

from dataclasses import replace

import pytest
import torch

from diffexport import Mode
from diffexport.explore.explorer import Explorer
from diffexport.explore.settings import Settings
from diffexport.findings.events import FindingMade
from diffexport.findings.regressions import Status, regression_of, replay
from diffexport.pipeline import weights_digest
from diffexport.subjects.cases import make_case


class Scaled(torch.nn.Module):
    def __init__(self, scale=2.0):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return Wrong.apply(x) * self.scale


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        return g.op("Identity", x)


def test_names_dtypes_shapes_and_values_count():
    digests = {
        weights_digest(module) for module in (Scaled(), Scaled(3.0), Scaled().double(), torch.nn.Linear(2, 3))
    }
    assert len(digests) == 4
    assert all(len(digest) == 16 for digest in digests)
    assert weights_digest(Scaled()) == weights_digest(Scaled())
    assert weights_digest(torch.nn.ReLU()) == ""
    one, other = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    other.running_mean += 1
    assert weights_digest(one) != weights_digest(other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64, torch.float16])
def test_every_dtype_has_a_digest(dtype):
    digests = set()
    for number in (1, 2):
        module = torch.nn.Module()
        module.register_buffer("state", torch.tensor([number, 3], dtype=dtype))
        digests.add(weights_digest(module))
    assert len(digests) == 2


def test_weights_that_cannot_be_read_have_one_too():
    module = torch.nn.Module()
    module.register_buffer("sparse", torch.eye(3).to_sparse())
    assert len(weights_digest(module)) == 16


def found(target):
    case = make_case("scaled", Scaled, inputs=("float32[2]",), target=target)
    events = list(
        Explorer(case, ["ort-disabled"], Settings(examples=5, blame=False)).explore([Mode("torchscript")])
    )
    return case, next(event.finding for event in events if isinstance(event, FindingMade))


def test_a_replay_says_that_the_weights_are_others():
    case, finding = found("models.py:scaled")
    assert finding.weights == weights_digest(Scaled())
    stored = regression_of(finding)
    same = replay(stored, case=case)
    assert (same.status, same.note) == (Status.DIVERGES, "")
    other = replay(stored, case=replace(case, build=lambda: Scaled(5.0)))
    assert other.status is Status.DIVERGES
    assert other.note == "the weights of the model are others than when it was found"
    old = replay(replace(stored, weights=""), case=replace(case, build=lambda: Scaled(5.0)))
    assert old.note == ""


def test_a_case_of_the_catalogue_has_no_digest():
    _, finding = found("scaled")
    assert finding.weights == ""
