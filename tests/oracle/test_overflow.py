"""Overflow on the way is a note; an infinity that is truly lost or gained is a failure."""

import numpy as np
import pytest
import torch
from judging import f32, judged
from torch import nn

from diffexport.values import Kind, Severity

INF, NAN = float("inf"), float("nan")


def kinds(function, inputs, *got):
    return [found.kind for found in judged(function, inputs, got[0] if len(got) == 1 else got).found]


def test_it_is_a_note():
    assert Kind.OVERFLOW.severity is Severity.NOTE


def normed(x):
    return nn.functional.normalize(x, dim=-1)


ON_THE_WAY = {
    "dropped exp and log": (lambda x: torch.log(torch.exp(x)), f32(100), [100]),
    "a quotient of infinities": (lambda x: torch.exp(x) / torch.exp(x), f32(100), [1]),
    "an infinity instead": (lambda x: torch.exp(x) / torch.exp(x), f32(100), [INF]),
    "another order of factors": (lambda x: x * 1e30 * 1e-30, f32(3e20), [3e20]),
    "differences of infinities": (lambda x: x * 1e20 - x * 1e20 + 1, f32(3e25), [1]),
    "squares": (lambda x: x / torch.sqrt((x * x).sum(-1, keepdim=True)), f32(1e27, 1e27), [NAN, NAN]),
    "a norm": (normed, f32(1e27, 1e27), [NAN, NAN]),
    "a layer norm": (lambda x: nn.functional.layer_norm(x, (2,)), f32(1e27, 3e27), [NAN, NAN]),
    "eager overflows and is right": (lambda x: torch.exp(x).clamp(max=10), f32(100), [INF]),
    "another order of scaling": (lambda x: (x * 0.5 * 4) * 0.1, f32(1.6e38), [INF]),
    "half precision": (lambda x: (x * x) / x, torch.tensor([300.0]).half(), [300]),
    "partial sums": (lambda x: x.sum() * 0.5, f32(3e38, 3e38, -3e38, -3e38), [NAN]),
}


@pytest.mark.parametrize("name", ON_THE_WAY)
def test_overflow_on_the_way_is_a_note_or_excused(name):
    function, given, got = ON_THE_WAY[name]
    found = kinds(function, (given,), np.reshape(got, function(given).shape))
    assert set(found) <= {"overflow"}


@pytest.mark.parametrize("name", list(ON_THE_WAY)[:7])
def test_and_never_silent(name):
    function, given, got = ON_THE_WAY[name]
    (found,) = judged(function, (given,), got).found
    assert found.kind is Kind.OVERFLOW
    assert "float64 gives" in found.message
    assert found.message.endswith("; a result overflows on the way")
    assert "rounding of eager" not in found.message
    assert "→" in found.signature


TRULY_LOST = {
    "an infinity that was given": (lambda x: x * 1, f32(INF), [3e38], "infinity"),
    "an infinity that float64 has": (lambda x: 1 / x, f32(0), [1], "infinity"),
    "NaN that float64 has": (torch.sqrt, f32(-1), [0], "nan-placement"),
    "a value that is representable": (torch.exp, f32(10), [INF], "infinity"),
    "eager does not overflow": (lambda x: torch.logsumexp(x, -1), f32(100, 100), [INF], "infinity"),
    "a limit that is lost": (lambda x: torch.exp(x).clamp(max=10), f32(10), [INF], "infinity"),
    "another value than eager's": (lambda x: torch.exp(x).clamp(max=10), f32(100), [9], "value"),
    "beyond the dtype": (torch.exp, f32(100), [3e38], "infinity"),
    "no overflow but rounding": (lambda x: (x + 1e8) - 1e8, f32(3), [1000], "value"),
    "beside what overflows": (lambda x: torch.log(torch.exp(x)), f32(1), [2], "value"),
}


@pytest.mark.parametrize("name", TRULY_LOST)
def test_what_is_truly_lost_is_a_failure(name):
    function, given, got, kind = TRULY_LOST[name]
    found = kinds(function, (given,), np.array(got).reshape(function(given).shape))
    assert kind in found
    assert "overflow" not in found


def test_both_in_one_output_are_both_reported():
    function = lambda x: torch.log(torch.exp(x))  # noqa: E731
    assert kinds(function, (f32(100, 1),), [100, 2]) == ["value", "overflow"]


def test_elements_that_do_not_depend_on_an_overflow_are_failures():
    def rows(x):
        return torch.exp(x) / torch.exp(x).sum(-1, keepdim=True)

    x = torch.tensor([[100.0, 100.0], [1.0, 2.0]])
    got = rows(x).numpy()
    got[0] = 0.5
    assert kinds(rows, (x,), got) == ["overflow"]
    got[1, 0] = NAN
    assert kinds(rows, (x,), got) == ["nan-placement", "overflow"]


def test_float64_has_no_wider_referee():
    function = lambda x: torch.log(torch.exp(x))  # noqa: E731
    assert kinds(function, (torch.tensor([1000.0], dtype=torch.float64),), [1000]) == ["infinity"]
