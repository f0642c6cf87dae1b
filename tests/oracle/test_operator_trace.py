"""Many runs under noise at once give what one run after the other gives, and only where that can be known."""

import numpy as np
import pytest
import torch
from torch.autograd import Function

from diffexport.oracle import Noise, RoundingCheck
from diffexport.oracle.operator_trace import MOST_ELEMENTS, OperatorTrace
from diffexport.pipeline.eager import Prepared, outputs_of
from diffexport.pipeline.rerun import rerun
from diffexport.pytorch.dispatch import intercepted

VALUES = torch.tensor([0.3, 1.7, -2.9, 1e-3, 88.0, 1e30, -0.0, float("nan"), 1e-42, 5.0])
COUNT = 250


class Doubled(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.exp(x.detach()) * 2

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.exp(x)


ELEMENTWISE = {
    "chain": lambda x: torch.log(torch.exp(x) + 0.1),
    "function": lambda x: torch.log(Doubled.apply(x)),
    "magnitudes": lambda x: torch.sigmoid(x) * torch.nn.functional.gelu(x),
    "broadcast": lambda x: torch.exp(x / 40) + torch.arange(3.0).view(3, *[1] * x.dim()) * 0.1,
    "twice": lambda x: (torch.sin(x) + torch.sin(x)) - 2 * torch.sin(x),
    "where": lambda x: torch.where(x > 0.5, torch.sqrt(x.abs()), x / 3),
    "clamp": lambda x: (x * 1.1).clamp(-1, 2.2),
    "half": lambda x: (x.half() * 3.3).float(),
    "double": lambda x: torch.exp(x.double() / 50),
    "alpha": lambda x: torch.add(x / 3, x / 7, alpha=3),
    "same shape": lambda x: torch.exp(x / 40).view(x.shape).expand(x.shape) * 0.7,
    "remainder": lambda x: torch.remainder(x * 1.1, 0.7),
}
NOT = {
    "a sum": lambda x: x.exp().sum(),
    "a row": lambda x: torch.softmax(x, -1),
    "a product of matrices": lambda x: x[None] @ x[:, None],
    "a write": lambda x: (x + 0.1).mul_(1.1),
    "along a dimension": lambda x: torch.cumsum(x * 1.1, 0),
    "a transpose of a square": lambda x: (x[:9].view(3, 3) * 1.1).t(),
    "a layout of four dimensions": lambda x: (x[:8].view(1, 2, 2, 2) * 1.1).clone(
        memory_format=torch.channels_last
    ),
    "another shape": lambda x: x.exp().view(1, -1),
    "random numbers": lambda x: x.exp() + torch.rand(x.shape),
    "a dimensionless one of another dtype": lambda x: torch.where(x.half() > torch.tensor(0.3), x * 1.1, x),
    "memory that torch lost sight of": lambda x: torch.from_numpy(x.exp().numpy()).log(),
    "two outputs of one operator": lambda x: torch.frexp(x / 3)[0],
}


def replayed(function, tensor, count=COUNT, seed=0):
    trace, given = OperatorTrace(), tensor.clone()
    with intercepted(trace):
        output = function(given)
    outputs = output if isinstance(output, tuple) else (output,)
    return trace.replay(Noise(seed), count, outputs)


def one_by_one(function, tensor):
    found = []
    for seed in range(COUNT):
        given = tensor.clone()
        with intercepted(Noise(seed)):
            found.append(function(given).numpy().reshape(-1))
    return np.array(found)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(10,), (2, 5), ()])
def test_a_trace_spreads_as_far_as_one_run_after_the_other(name, shape):
    tensor = VALUES[1].clone() if shape == () else VALUES.reshape(shape)
    function = ELEMENTWISE[name]
    (many,) = replayed(function, tensor)
    single = one_by_one(function, tensor)
    eager = function(tensor.clone()).numpy().reshape(-1).astype(np.float64)
    assert many.shape == single.shape
    assert many.dtype == single.dtype
    for place in range(many.shape[1]):
        one, other = (np.unique(runs[:, place].astype(np.float64)) for runs in (single, many))
        assert np.isnan(one).any() == np.isnan(other).any()
        one, other = one[np.isfinite(one)], other[np.isfinite(other)]
        assert bool(one.size) == bool(other.size)
        if not one.size:
            continue
        # 250 values of one distribution each: both ends are close to its own, in steps of the dtype at worst.
        step = abs(np.spacing(many.dtype.type(eager[place]))) if np.isfinite(eager[place]) else 0.0
        slack = 0.15 * max(np.ptp(one), np.ptp(other)) + step
        assert abs(one.min() - other.min()) <= slack, place
        assert abs(one.max() - other.max()) <= slack, place


@pytest.mark.parametrize("name", NOT)
def test_what_is_not_elementwise_is_not_replayed(name):
    assert replayed(NOT[name], VALUES) is None


def test_runs_of_a_trace_have_noise_of_their_own_and_one_seed_gives_one_result():
    function = ELEMENTWISE["chain"]
    (many,), (again,), (other,) = (replayed(function, VALUES, seed=seed) for seed in (0, 0, 1))
    assert len(np.unique(many[:, 1])) > 5
    assert many.tobytes() == again.tobytes() != other.tobytes()


def test_an_operator_whose_arguments_are_the_same_in_every_run_has_noise_in_each():
    (many,) = replayed(torch.exp, VALUES)
    assert len(np.unique(many[:, 1])) > 5


def test_what_is_exact_is_not_replayed():
    assert replayed(lambda x: torch.relu(x) * 2, VALUES) is None


def test_an_output_that_is_an_input_is_the_same_in_every_run():
    kept, moved = replayed(lambda x: (x, torch.exp(x)), VALUES)
    assert len(np.unique(kept[:, 1])) == 1
    assert len(np.unique(moved[:, 1])) > 5


def test_large_tensors_are_run_one_by_one():
    assert replayed(torch.exp, torch.rand(MOST_ELEMENTS // COUNT + 1)) is None
    assert replayed(torch.exp, torch.rand(MOST_ELEMENTS // COUNT)) is not None


class Counted(torch.nn.Module):
    runs = 0

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        Counted.runs += 1  # of the class: what a module keeps itself is put back before each run
        return self.function(x)


def judged(function, tensor, got):
    module = Counted(function)
    eager = outputs_of(module(tensor)).outputs
    Counted.runs = 0
    decider = RoundingCheck(eager, rerun(Prepared(None, module), False, (tensor,)))
    judgement = decider.judge([np.asarray(got(eager[0]), eager[0].dtype)])
    return judgement, Counted.runs


def cancelling(x):
    return torch.log(torch.log(torch.exp(x)))


def test_rounding_is_explained_by_one_run_and_what_is_none_is_not():
    tensor = torch.tensor([0.97, 1.003, 2.5])
    judgement, runs = judged(cancelling, tensor, lambda y: y + np.float32([0, 6e-8, 0]))
    assert judgement.excused
    assert runs == 1
    judgement, runs = judged(cancelling, tensor, lambda y: y + np.float32([0, 1e-4, 0]))
    assert [divergence.element for divergence in judgement.found] == [(1,)]
    assert judgement.found[0].evidence.runs == runs - 2  # one for the trace, one in float64


def test_a_model_that_looks_at_values_behind_the_back_of_torch_is_run_again_as_well():
    def hidden(x):
        return torch.from_numpy(np.log(np.log(torch.exp(x).numpy())))

    tensor = torch.tensor([0.97, 1.003, 2.5])
    # One step of the exponential further.
    got = np.log(np.log(np.nextafter(torch.exp(tensor).numpy(), np.float32(9))))
    judgement, runs = judged(hidden, tensor, lambda _: got)
    assert judgement.excused
    assert runs > 5


def test_a_trace_of_another_result_excuses_nothing():
    calls = []

    def stateful(x):
        calls.append(0)
        return torch.exp(x) * (1.5 if len(calls) == 2 else 1.1)

    judgement, _ = judged(stateful, torch.tensor([1.5]), lambda y: y * np.float32(1.5 / 1.1))
    assert len(calls) > 2
    assert judgement.arbitrated
    assert not judgement.excused
