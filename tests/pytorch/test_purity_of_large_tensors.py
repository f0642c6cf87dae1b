"""Before an export, of a large tensor the version and some elements are kept, and not a copy."""

import pytest
import torch

from diffexport.pytorch import Snapshot, purity
from diffexport.values import Call


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(purity, "WHOLE", 64)
    monkeypatch.setattr(purity, "SPREAD", 16)


def changes(change):
    module = torch.nn.Linear(16, 16)
    module.turned = torch.nn.Parameter(torch.rand(16, 16).t())
    before = Snapshot.take(module, Call(()))
    assert before.changes(module, Call(())) == []
    change(module)
    return [found.text for found in before.changes(module, Call(()))]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: m.weight.data.fill_(3), "weight"),
        (lambda m: m.turned.data.fill_(3), "turned"),
        (lambda m: torch.nn.init.zeros_(m.weight), "weight"),
        (lambda m: m.weight.detach()[3, 5].add_(1), "weight"),
        (lambda m: m.bias.data[3].add_(1), "bias"),
        (lambda m: setattr(m, "weight", torch.nn.Parameter(torch.zeros(16, 16))), "weight"),
    ],
)
def test_what_was_written_to_is_seen(change, what):
    assert changes(change) == [f"parameter or buffer {what}"]


def test_a_large_tensor_is_not_copied():
    module = torch.nn.Linear(64, 64)
    (large, *_) = Snapshot.take(module, Call(())).state.values()
    assert large.kept.numel() <= 32
