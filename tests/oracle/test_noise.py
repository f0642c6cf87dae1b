"""The short way of putting noise on elementwise operators gives what the general way gives, to the last bit."""

import numpy as np
import pytest
import torch

from diffexport.oracle import Noise, noise
from diffexport.pytorch.dispatch import intercepted

SPECIAL = [0.0, -0.0, 1.0, -1.5, 0.1, 3.0, 88.9, -104.0, 1e-40, 3.4e38, 1e30, np.inf, -np.inf, np.nan]
OPERATORS = [
    torch.exp,
    torch.log,
    torch.sin,
    torch.sqrt,
    torch.erf,
    torch.tanh,
    torch.sigmoid,
    torch.nn.functional.gelu,
    torch.abs,
    lambda x: x + 0.1,
    lambda x: 1 - x,
    lambda x: x * 3,
    lambda x: x / (x + 1),
    lambda x: torch.pow(x, 2.5),
    lambda x: x**2,
    lambda x: torch.special.erf(x) * x,
    lambda x: torch.addcmul(x, x, x),
    lambda x: torch.clamp(x, min=0.1),
    lambda x: x.to(torch.float64) * 0.1,
    lambda x: x.half() * 3.3,
    lambda x: torch.where(x > 0, x * 1.1, x),
    lambda x: x.clone().mul_(1.1),
    lambda x: torch.fmod(x, 0.7),
    lambda x: torch.logaddexp(x, x * 2),
]


def runs(function, tensor):
    found, disturbed = [], []
    for seed in range(8):
        own = Noise(seed)
        with intercepted(own):
            found.append(function(tensor.clone()).numpy().tobytes())
        disturbed.append((own.disturbed, own.unrecomputed))
    return found, disturbed


@pytest.mark.parametrize("number", range(len(OPERATORS)))
@pytest.mark.parametrize("shape", [(), (14,), (2, 7), (0,)])
def test_both_ways_give_the_same_bits(monkeypatch, number, shape):
    full = torch.tensor(SPECIAL, dtype=torch.float32)
    given = list(full) if shape == () else [full.reshape(shape) if 0 not in shape else full[:0]]
    short = [runs(OPERATORS[number], tensor) for tensor in given]
    monkeypatch.setattr(noise, "_are_plain", lambda *_: False)
    assert short == [runs(OPERATORS[number], tensor) for tensor in given]


def test_the_short_way_is_taken_and_disturbs():
    calls = []

    class Counting(Noise):
        def _elementwise(self, op, rule, args):
            calls.append(op.base)
            return super()._elementwise(op, rule, args)

    own = Counting(0)
    with intercepted(own):
        torch.exp(torch.tensor([0.1, 1.0])) * 2.5 + torch.tensor([1, 2])
    assert calls == ["exp", "mul"]
    assert own.disturbed


def test_a_generator_goes_on_where_it_was():
    def runs_of(random):
        for _ in range(2):
            with intercepted(Noise(random)):
                yield torch.exp(torch.linspace(0.1, 1, 64)).tolist()

    one, two = list(runs_of(np.random.default_rng(5))), list(runs_of(np.random.default_rng(5)))
    assert one == two
    assert one[0] != one[1]
