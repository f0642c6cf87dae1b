"""Where the oracle finds operators: nested, writing into an argument, of several results, of other dtypes."""

import numpy as np
import pytest
import torch
from judging import excuses, f32, judged
from torch.autograd import Function


class Outer(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp(), Inner.apply(x.exp())


class Inner(Function):
    @staticmethod
    def forward(ctx, x):
        return x.log().log()


def an_ulp_of_exp_later(x):
    later = np.nextafter(torch.exp(f32(x)).numpy(), np.float32(9))
    return np.log(np.log(later))


@pytest.mark.parametrize("requires_grad", [False, True])
def test_nested_functions(requires_grad):
    x = f32(1e-4).requires_grad_(requires_grad)
    off = np.float32(1e-3)
    assert excuses(Outer.apply, [x], lambda p, y: (p, an_ulp_of_exp_later(1e-4)))
    assert not excuses(Outer.apply, [x], lambda p, y: (p * (1 + off), y))
    assert not excuses(Outer.apply, [f32(1)], lambda p, y: (p, y + off))


def test_operators_that_write_into_an_argument():
    def in_place(x):
        y = x.clone().exp_()
        torch.log(y, out=y)
        return y.log_()

    def plain(x):
        return x.exp().log().log()

    for function in (in_place, plain):
        assert excuses(function, [f32(1e-4)], an_ulp_of_exp_later(1e-4))
        assert not excuses(function, [f32(1)], lambda y: y + np.float32(1e-3))


def test_operators_of_several_results():
    def several(x):
        values, indices = torch.sort(torch.log(torch.exp(x)))
        return values, indices, torch.std(x), torch.nn.functional.layer_norm(x, (3,))

    x = f32(1e-4, 2, 3)
    later = np.log(np.nextafter(np.exp(np.float32(1e-4)), np.float32(9)))
    assert excuses(several, [x], lambda v, i, s, n: (np.where([True, False, False], later, v), i, s, n))
    assert not excuses(several, [x], lambda v, i, s, n: (v, i, s * np.float32(1 + 1e-5), n))
    assert not excuses(several, [x], lambda v, i, s, n: (v, i, s, n + np.float32(1e-4)))


def test_buffers_and_inputs_stay_as_they_are():
    class Counts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            return x.mul_(1.1).exp_() + self.seen

    module, x = Counts(), f32(0.5)
    assert not excuses(module, [x], lambda y: y + 1)
    assert (module.seen.item(), x.item()) == (0, 0.5)


def test_float64_has_noise_but_no_referee():
    x = torch.tensor([1e-9], dtype=torch.float64)

    def edge(x):
        return torch.log(torch.log(torch.exp(x)))

    assert excuses(edge, [x], [np.log(np.log(np.nextafter(np.exp(1e-9), 2)))])
    (found,) = judged(edge, [x], lambda y: y + 1).found
    assert found.evidence.reference is None
    assert not excuses(torch.exp, [x + 1], lambda y: y * (1 + 1e-12))
    assert not excuses(lambda x: torch.round(x * 2), [x * 0 + 0.25], lambda y: y + 1)


def test_complex_numbers():
    x = torch.tensor([1e-4 + 1e-4j], dtype=torch.complex64)
    later = np.log(np.exp(x.numpy()) + np.complex64(1.1920929e-07))
    assert excuses(lambda x: torch.log(torch.exp(x)), [x], later)
    assert not excuses(lambda x: x * x * 1.3, [x + 1], lambda y: y * np.complex64(1 + 1e-5))
