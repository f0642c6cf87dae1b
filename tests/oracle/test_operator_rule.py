"""A rule that is stated for an operator: what it excuses, what it does not, and what cannot be stated."""

import importlib.util

import numpy as np
import pytest
import torch
from judging import excuses, f32, judged

import diffexport
from diffexport.errors import UsageError
from diffexport.oracle import Noise, rule_lookup, rule_of
from diffexport.oracle.operators import OPERATORS
from diffexport.pytorch.dispatch import described, intercepted

EPS = np.finfo(np.float32).eps
VALUES = torch.linspace(0.3, 4.0, 24)


def custom(name, function, **options):
    return torch.library.custom_op(f"diffexport_rules::{name}", function, mutates_args=(), **options)


def fast_exp(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(x)


def single_exp(x: torch.Tensor) -> torch.Tensor:
    if x.dtype is not torch.float32:
        raise TypeError("float32 only")
    return torch.exp(x)


def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def steps(x: torch.Tensor) -> torch.Tensor:
    return torch.floor(x * 3.3)


def total(x: torch.Tensor) -> torch.Tensor:
    return x.sum(-1)


def drops(x: torch.Tensor, training: bool) -> torch.Tensor:
    return x * 1.1


EXP = custom("fast_exp", fast_exp)
SINGLE = custom("single_exp", single_exp)
DOUBLED = custom("doubled", doubled)
STEPS = custom("steps", steps)
TOTAL = custom("total", total)
DROPS = custom("drops", drops)


@pytest.fixture(autouse=True)
def nothing_stated(monkeypatch):
    monkeypatch.setattr(rule_lookup, "_STATED", {})
    rule_of.cache_clear()
    yield
    rule_of.cache_clear()


def off_by(units):
    return lambda y: y * np.float32(1 + units * EPS)


def test_without_a_rule_it_is_reported_with_one_excused_and_a_larger_difference_still_reported():
    assert not excuses(lambda x: EXP(x), [VALUES], off_by(40))
    diffexport.operator_rule("diffexport_rules::fast_exp", amplitude=50)
    assert excuses(lambda x: EXP(x), [VALUES], off_by(40))
    assert excuses(lambda x: EXP(x), [VALUES], off_by(-40))
    assert not excuses(lambda x: EXP(x), [VALUES], off_by(200))
    # Operators after it see the error, as they would in the export.
    assert excuses(lambda x: torch.log(EXP(x)), [f32(1.0)], lambda y: y + np.float32(40 * EPS))


class ByTable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, units):
        return EXP(x)

    @staticmethod
    def symbolic(g, x, units):
        off = g.op("Constant", value_t=torch.tensor(1 + units * EPS, dtype=torch.float32))
        return g.op("Mul", g.op("Exp", x), off).setType(x.type())


class Exported(torch.nn.Module):
    def __init__(self, units):
        super().__init__()
        self.units = float(units)

    def forward(self, x):
        return ByTable.apply(x, self.units)


def verdict(units):
    return diffexport.check(
        Exported(units), inputs=["float32[4]"], modes="torchscript", runtimes="ort-disabled", examples=2
    ).ok


def test_an_export_that_rounds_differently():
    assert not verdict(40)
    diffexport.operator_rule("diffexport_rules::fast_exp", amplitude=50)
    assert verdict(40)
    assert not verdict(400)


def test_an_operator_for_float32_alone_is_off_from_its_own_result():
    assert judged(lambda x: SINGLE(x), [VALUES], off_by(500)).unrefereed
    diffexport.operator_rule("diffexport_rules::single_exp", amplitude=50)
    assert excuses(lambda x: SINGLE(x), [VALUES], off_by(40))
    assert not excuses(lambda x: SINGLE(x), [VALUES], off_by(200))


def test_an_amplitude_holds_where_eager_is_exact():
    assert not excuses(lambda x: DOUBLED(x), [f32(1, 2, 3)], off_by(20))
    diffexport.operator_rule("diffexport_rules::doubled", amplitude=25)
    assert excuses(lambda x: DOUBLED(x), [f32(1, 2, 3)], off_by(20))


def test_an_amplitude_as_a_function_gets_what_it_is_told_to_get():
    seen = []

    def error(args, result, eps):
        seen.append((args, result, eps))
        return 100 * eps * np.abs(args[0].numpy())

    diffexport.operator_rule("diffexport_rules::fast_exp", amplitude=error)
    x = f32(1.0, 2.0)
    assert excuses(lambda x: EXP(x), [x], lambda y: y + np.float32([80, 160]) * EPS)
    assert not excuses(lambda x: EXP(x), [x], lambda y: y + np.float32([300, 0]) * EPS)
    ((tensor,), result, eps), *_ = seen
    assert (tensor.dtype, result.dtype, result.shape, eps) == (torch.float64, np.float64, (2,), EPS)
    assert np.allclose(result, np.exp([1.0, 2.0]))


def test_exact_and_choice():
    assert excuses(lambda x: EXP(x) * 1.0, [f32(1.7)], lambda y: y * np.float32(1 + 5 * EPS))
    diffexport.operator_rule("diffexport_rules::fast_exp", exact=True)
    assert not excuses(lambda x: EXP(x) * 1.0, [f32(1.7)], lambda y: y * np.float32(1 + 5 * EPS))
    # 1.5 / 3.3 · 3.3 is on a step; without a rule anything near either side is explained.
    x = f32(3 / 3.3)
    diffexport.operator_rule("diffexport_rules::steps", choice=True)
    exact = np.floor(np.float64(x.item()) * 3.3)
    eager = STEPS(x).item()
    other = exact if exact != eager else eager
    assert judged(lambda x: STEPS(x), [x], f32(other)).found == []
    assert not excuses(lambda x: STEPS(x), [x], f32(eager + 0.5))
    assert not excuses(lambda x: STEPS(x), [x], f32(eager + 2))


def test_a_sum_may_come_out_as_its_terms_in_another_order_do():
    # This order happens to give the exact sum, and is taken for exact without a rule.
    lucky = f32(1e8, -1e8, 1)
    assert TOTAL(lucky).item() == 1
    assert not excuses(lambda x: TOTAL(x), [lucky], np.float32(0))
    diffexport.operator_rule("diffexport_rules::total", sums=True)
    assert excuses(lambda x: TOTAL(x), [lucky], np.float32(0))
    assert not excuses(lambda x: TOTAL(x), [lucky], np.float32(1000))
    # Few bits: every order is exact.
    assert not excuses(lambda x: TOTAL(x), [f32(1, 2, 3)], np.float32(6.00001))
    halves = f32(*(1 + 2.0**-9 * k for k in range(64)))
    assert not excuses(lambda x: TOTAL(x), [halves], off_by(1000))
    diffexport.operator_rule(
        "diffexport_rules::total", sums=lambda args, _: args[0].shape[-1], accumulate=torch.float16
    )
    assert excuses(lambda x: TOTAL(x), [halves], off_by(1000))


def test_pointwise_makes_it_run_many_times_at_once():
    calls = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        calls.append(tuple(x.shape))
        return torch.exp(x)

    op = custom("counted", counted)
    diffexport.operator_rule("diffexport_rules::counted", pointwise=True)
    judged(lambda x: torch.log(torch.log(op(x))), [f32(1.003, 2)], lambda y: y + np.float32([2e-6, 0]))
    assert any(len(shape) == 2 for shape in calls)


def test_random_only_if_an_argument_says_so():
    def runs(training):
        own = Noise(0)
        with intercepted(own):
            out = DROPS(VALUES, training)
        return own.disturbed, bool((out == VALUES * 1.1).all())

    diffexport.operator_rule("diffexport_rules::drops", random=lambda args, kwargs: args[1])
    assert runs(True) == (True, True)
    assert runs(False) == (True, False)


def test_a_module_that_is_imported_twice(tmp_path):
    path = tmp_path / "with_rule.py"
    path.write_text(
        "import diffexport\n"
        "diffexport.operator_rule('diffexport_rules::fast_exp', amplitude=lambda args, y, eps: 50 * eps * abs(y))\n"
    )
    for name in ("with_rule_one", "with_rule_two"):
        spec = importlib.util.spec_from_file_location(name, path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert len(rule_lookup._STATED) == 1
    assert excuses(lambda x: EXP(x), [VALUES], off_by(40))


def test_a_built_in_rule_is_replaced_only_if_asked_for():
    with pytest.raises(UsageError, match="replace=True"):
        diffexport.operator_rule("aten::exp", amplitude=50)
    assert not excuses(torch.exp, [VALUES], off_by(40))
    diffexport.operator_rule("aten::exp", amplitude=50, replace=True)
    assert excuses(torch.exp, [VALUES], off_by(40))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("op", {"amplitude": 1}, "namespace::operator"),
        ("mine::op.default", {"amplitude": 1}, "without overload"),
        (3, {"amplitude": 1}, "namespace::operator"),
        ("mine::op_", {"amplitude": 1}, "'mine::op' is for the operator that writes, too"),
        ("aten::no_such_operator", {"amplitude": 1, "replace": True}, "torch has no such operator"),
        ("mine::op", {"amplitud": 1}, "no keyword 'amplitud'; did you mean 'amplitude'"),
        ("mine::op", {"amplitude": -1}, "at least 0"),
        ("mine::op", {"amplitude": float("nan")}, "at least 0"),
        ("mine::op", {"amplitude": "1"}, "a number of eps or a function"),
        ("mine::op", {"amplitude": True}, "a number of eps or a function"),
        ("mine::op", {"exact": True, "amplitude": 1}, "exact and amplitude contradict each other"),
        ("mine::op", {"average": True, "pointwise": True}, "average is for sums"),
        ("mine::op", {"sums": True, "accumulate": torch.int32}, "accumulate=torch.int32 is none of"),
        ("mine::op", {}, "says nothing"),
    ],
)
def test_what_cannot_be_stated(name, options, message):
    with pytest.raises(UsageError, match=message):
        diffexport.operator_rule(name, **options)
    assert rule_lookup._STATED == {}


def test_a_rule_is_completed_by_the_tags_of_torch():
    assert rule_of(described(torch.ops.aten.exp.default)).pointwise
    assert rule_of(described(torch.ops.aten.transpose.int)).exact
    assert rule_of(described(torch.ops.aten.bernoulli.default)).random
    # One operator, two overloads, of which torch tags one.
    assert rule_of(described(torch.ops.aten.rsub.Scalar)).pointwise
    assert not rule_of(described(torch.ops.aten.rsub.Tensor)).pointwise
    linear = rule_of(described(torch.ops.aten.mm.default))
    assert linear.sums is OPERATORS["mm"].sums
    assert not linear.pointwise
