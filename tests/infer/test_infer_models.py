"""Inference in this process, on Functions and modules written in the ways that people write them."""

import os
import sys
import time

import pytest
import torch
from torch import nn
from torch.autograd import Function
from torch.nn import functional

from diffexport.arrays import as_call
from diffexport.errors import UsageError
from diffexport.infer.search import Flattened
from diffexport.infer.session import RAN, infer
from diffexport.infer.widening.widen import rejected
from diffexport.values.spec import TensorSpec


def function(forward, **members):
    """Return an autograd.Function of a forward; its call sites are not looked for, the name being new."""
    return type(
        "Made" + forward.__name__.title().replace("_", ""),
        (Function,),
        {"forward": staticmethod(forward), **members},
    )


def wave(ctx, x):
    return torch.sin(x) * x


def soft(ctx, x, dim):
    return torch.softmax(x, dim)


def over_last(ctx, scores):
    values, _ = scores.sort(dim=-1)
    return values[..., :1] + scores


def affine(ctx, x, weight, bias):
    return x @ weight.t() + bias


def product(ctx, a, b):
    ctx.save_for_backward(a, b)
    return torch.mm(a, b)


def filtered(ctx, image, kernel):
    return functional.conv2d(image, kernel)


def per_channel(ctx, x, scale):
    _n, c, _h, _w = x.shape
    assert scale.shape == (c,), f"scale must have {c} elements"
    return x * scale.view(1, c, 1, 1)


def picked(ctx, table, index):
    return table[index]


def looked_up(ctx, indices, weight):
    return functional.embedding(indices, weight)


def hidden(ctx, x, mask):
    return x.masked_fill(mask, 0.0)


def reduced(ctx, x, how):
    if how == "total":
        return x.sum()
    if how == "middle":
        return x.mean()
    raise ValueError(f"how must be 'total' or 'middle', not {how!r}")


def converted(ctx, x, dtype):
    return x.to(dtype)


def applied_to(ctx, run_function, x):
    return run_function(x)


def halves(ctx, x):
    if x.shape[-1] % 2:
        raise ValueError("the last size must be divisible by 2")
    one, other = x.chunk(2, dim=-1)
    return one * torch.sigmoid(other)


def turned(ctx, z):
    return torch.view_as_real(z).sum(-1)


def gathered(ctx, *tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def quantised(ctx, x, num_bits, signed):
    if not isinstance(num_bits, int) or isinstance(num_bits, bool):
        raise TypeError("num_bits must be an int")
    low, high = (-(2 ** (num_bits - 1)), 2 ** (num_bits - 1) - 1) if signed else (0, 2**num_bits - 1)
    return torch.clamp(torch.round(x * 8), low, high)


def only_four(ctx, x):
    if x.dim() != 4:
        raise ValueError(f"expected 4D input (got {x.dim()}D input)")
    return functional.avg_pool2d(x, 2)


def chosen(ctx, x, flag):
    if flag:
        return x + 1
    return x - 1


def unit_only(ctx, p):
    if (p < 0).any() or (p > 1).any() or p.isnan().any():
        raise ValueError("p must lie in 0..1")
    return -(p * p).sum(-1)


def loss_of_class(ctx, scores, target):
    assert scores.size(1) >= 2, "at least two classes"
    assert scores.size(0) == target.size(0)
    return -torch.log_softmax(scores, 1).gather(1, target.unsqueeze(1)).squeeze(1)


def split_in(ctx, x, parts):
    first, second = parts
    return x + first + second


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        (wave, ("float32[...]",)),
        (soft, ("float32[...]", "just(-1)")),
        (over_last, ("float32[..., *]",)),
        (affine, ("float32[..., N]", "float32[M, N]", "float32[M]")),
        (product, ("float32[*, N]", "float32[N, *]")),
        (per_channel, ("float32[*, N, *, *]", "float32[N]")),
        (halves, ("float32[..., 4]",)),
        (turned, ("complex64[...]",)),
        (only_four, ("float32[*, >=1, >=2, >=2]",)),
        (chosen, ("float32[...]", "just(False)")),
        # Not float32, which would show nothing of it.
        (converted, ("float32[...]", "just(torch.float16)")),
        (applied_to, ("just(torch.nn.functional.relu)", "float32[...]")),
        (unit_only, ("float32[...] in 0..1",)),
        # The largest index follows the number of classes.
        (loss_of_class, ("float32[N, T>=2]", "int64[N] in 0..T-1")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_inferred(forward, inputs):
    found = infer(function(forward), seconds=5)
    assert found.inputs == inputs, found
    assert found.status == "inferred"


@pytest.mark.parametrize(
    "forward",
    [filtered, picked, looked_up, hidden, reduced, gathered, quantised, split_in, affine],
    ids=lambda f: f.__name__,
)
def test_most_of_what_is_generated_runs(forward):
    from hypothesis import HealthCheck, given, settings

    from diffexport.strategies import samples

    found = infer(function(forward), seconds=5)
    assert found.status == "inferred", found
    case = found.case()
    model = case.build()
    ran, failed = [], []

    @settings(database=None, max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
    @given(samples(case.inputs))
    def run(arguments):
        tensors = [torch.from_numpy(a.copy()) if hasattr(a, "shape") else a for a in arguments]
        call = as_call(case.call_of(tensors))
        try:
            model(*call.args, **call.kwargs)
        except Exception as error:  # noqa: BLE001
            failed.append(error)
        else:
            ran.append(arguments)

    run()
    assert len(failed) <= 0.5 * (len(ran) + len(failed)), (found.call, failed[-1])


def test_a_setup_context_takes_no_ctx():
    class Newer(Function):
        @staticmethod
        def forward(x, power):
            return x**power

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.power = inputs[1]

    assert infer(Newer).inputs[0] == "float32[...]"
    assert len(infer(Newer).inputs) == 2


class Leaky(Function):
    """Its argument has a value at the call site only."""

    @staticmethod
    def forward(ctx, x, q):
        if q != 0.0625:
            raise ValueError("no")
        return torch.where(x > 0, x, x * q)


class LeakyLayer(nn.Module):
    def __init__(self, amount=1 / 16):
        super().__init__()
        self.amount = amount

    def forward(self, x):
        f = Leaky.apply
        return f(x, self.amount)


def test_call_sites_are_asked_first():
    found = infer(Leaky)
    assert found.inputs == ("float32[...]", "just(0.0625)")
    assert "call site" in found.source
    assert found.tried < 200


class Five(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 3)

    def forward(self, x, gain=None):
        return self.inner(x) if gain is None else self.inner(x) * gain


@pytest.mark.parametrize("model", [Five, Five(), lambda: Five()], ids=["class", "instance", "factory"])
def test_modules(model):
    found = infer(model)
    assert found.inputs == ("float32[..., 5]",)
    assert found.case().build()(torch.zeros(2, 5)).shape == (2, 3)


def test_a_convolution_needs_its_channels():
    assert infer(nn.Conv2d(3, 4, 3)).inputs[0].startswith("float32[")
    case = infer(nn.Conv2d(3, 4, 3)).case()
    assert case.specs[0].admits((2, 3, 8, 8))
    assert not case.specs[0].admits((2, 4, 8, 8))


def noise(ctx, x):
    return x + torch.rand_like(x)


CALLS = []


def counting(ctx, x):
    CALLS.append(1)
    return x + len(CALLS)


def in_place(ctx, x):
    ctx.mark_dirty(x)
    return x.mul_(2)


def described(ctx, x):
    return f"{x.sum()}"


def raising(ctx, x):
    raise ValueError("not today")


def leaving(ctx, x):
    sys.exit(3)


def on_a_device(ctx, x):
    assert x.is_cuda, "x must be a CUDA tensor"
    return x


def in_a_group(ctx, x):
    return x / torch.distributed.get_world_size()


def native(ctx, x):
    return torch.ops.no_such_library.no_such_operator(x)


def emptying(ctx, x):
    result = x.clone()
    result.untyped_storage().resize_(0)
    return result


def slow(ctx, x):
    time.sleep(30)
    return x


@pytest.mark.parametrize(
    ("forward", "status"),
    [
        (noise, "random"),
        (counting, "stateful"),
        (in_place, "mutates-input"),
        (described, "non-tensor"),
        (raising, "rejected"),
        (leaving, "rejected"),
        (on_a_device, "needs-cuda"),
        (in_a_group, "distributed"),
        (native, "needs-native"),
        (emptying, "rejected"),
        (slow, "timeout"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_other_outcomes(forward, status):
    found = infer(function(forward), seconds=0.6 if forward is slow else 3, per_call=0.2)
    assert found.status == status, found
    assert bool(found.inputs) == (status in RAN)
    if not found.inputs:
        assert "--input" in found.message
        with pytest.raises(UsageError, match=r"[Dd]eclare"):
            found.case()


def test_a_rejection_says_what_was_tried_and_raised():
    found = infer(function(raising), seconds=2)
    assert f"none of {found.tried} calls" in found.message
    assert "ValueError: not today" in found.message
    assert "float32[2, 4]" in found.message


def test_nothing_to_generate():
    assert infer(function(lambda ctx: torch.zeros(2))).status == "no-inputs"


def test_no_model():
    assert infer(3).status == "no-model"


def test_a_module_that_cannot_be_built():
    class Needs(nn.Module):
        def __init__(self, size):
            super().__init__()

    assert infer(Needs).status == "rejected"
    assert "building Needs raises TypeError" in infer(Needs).message


def identity(ctx, x):
    return x.view_as(x)


def flat(ctx, x):
    return torch.round(x.detach())


def test_notes():
    assert any("unchanged" in note for note in infer(function(identity)).notes)


def test_the_state_of_torch_is_put_back():
    def careless(ctx, x):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        sys.stdout.write("hello")
        return x * 2

    before = torch.get_rng_state()
    assert infer(function(careless)).status in RAN
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_printed(capfd):
    def loud(ctx, x):
        sys.stdout.write("from Python")
        os.write(1, b"from the system")
        return x * 2

    infer(function(loud))
    assert capfd.readouterr() == ("", "")


def test_inference_is_repeatable():
    one, other = infer(function(affine)), infer(function(affine))
    assert (one.inputs, one.call, one.tried) == (other.inputs, other.call, other.tried)


def test_rejection_is_measured_on_what_is_generated():
    from diffexport.infer.evidence.argument_choices import Choice
    from diffexport.infer.evidence.subject import subject_of
    from diffexport.infer.search.candidates import Argument
    from diffexport.infer.search.probe import Prober

    prober = Prober(subject_of(function(only_four)), 5)
    candidate = (Argument(Choice("tensor"), (2, 4, 6, 8)),)
    assert rejected(prober, Flattened.of(candidate), {0: TensorSpec.parse("float32[*]")}) == 1
    assert rejected(prober, Flattened.of(candidate), {0: TensorSpec.parse("float32[2, 2, 4, 4]")}) == 0
