"""The oracle on cases derived by hand, each in both directions: what must be excused, and what must not be."""

import numpy as np
import pytest
import torch
from judging import Applied, arbiter, excuses, f32, judged

from diffexport.oracle import Noise
from diffexport.pipeline.eager import Prepared, outputs_of
from diffexport.pipeline.rerun import rerun

# Catastrophic cancellation: 1e8 + x rounds to a multiple of 8, and only that is what remains of x.


def test_cancellation_is_excused_in_the_steps_it_comes_in_or_where_the_other_side_has_no_error():
    def cancels(x):
        return (x + 1e8) - 1e8

    assert cancels(f32(3)).item() == 0
    assert excuses(cancels, [f32(3)], f32(8))
    # What an optimiser gives that drops both additions.
    assert excuses(cancels, [f32(3)], f32(3))
    assert not excuses(cancels, [f32(3)], f32(5))
    assert not excuses(cancels, [f32(3)], f32(64))
    # 2^24 + 2 is exact: nothing is lost, nothing excused.
    assert not excuses(lambda x: (x + 2.0**24) - 2.0**24, [f32(2)], f32(0))


def test_difference_of_logarithms():
    def unstable(x):
        return torch.log(x + 1)

    # x + 1 for x = 1e-4 has an error of 6e-8, relative to the result 6e-4; there is nothing between.
    next_one = np.log(np.nextafter(np.float32(1e-4) + np.float32(1), np.float32(2)))
    assert excuses(unstable, [f32(1e-4)], [next_one])
    assert not excuses(unstable, [f32(1e-4)], [next_one * np.float32(1 - 5e-4)])
    assert not excuses(unstable, [f32(1e-4)], lambda y: y * (1 + 1e-2))
    assert not excuses(unstable, [f32(1)], lambda y: y * (1 + 3e-4))


@pytest.mark.parametrize("relative", [1e-4, 1e-5, 5e-6, -5e-6])
@pytest.mark.parametrize("x", [1e-30, 1e-6, 0.3, 1.7, 40.0])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 3.1,
        torch.sqrt,
        torch.tanh,
        torch.erf,
        lambda x: torch.exp(-x),
        lambda x: (x * 1.1 + x / 3.0) * 0.7,
        lambda x: x / torch.sqrt(1 + x * x),
    ],
)
def test_relative_errors_of_well_conditioned_functions(function, x, relative):
    assert not excuses(function, [f32(x)], lambda y: y * np.float32(1 + relative))


def test_two_ulp_need_no_arbitration():
    judgement = judged(torch.exp, [f32(1.5)], lambda y: np.nextafter(np.nextafter(y, 9), 9))
    assert judgement.found == []
    assert not judgement.arbitrated


# The largest float32 is 3.4028235e38 = exp(88.722839…).


def test_overflow_is_excused_at_the_edge_and_nowhere_else():
    below, above = f32(88.72283), f32(88.72284)
    assert torch.isfinite(torch.exp(below))
    assert torch.isinf(torch.exp(above))
    just_below = f32(88.722832)
    for got in (f32(np.inf), torch.exp(just_below), torch.exp(below)):
        assert judged(lambda x: torch.exp(x * 1.0000001), [just_below], got).found == []
    assert not excuses(lambda x: torch.exp(x * 1.0000001), [f32(88.0)], f32(np.inf))
    assert not excuses(torch.exp, [f32(88.0)], f32(np.inf))
    assert not excuses(torch.exp, [f32(88.0)], f32(np.nan))
    assert not excuses(torch.exp, [f32(89.0)], f32(3.4028235e38))
    assert not excuses(lambda x: x * 1, [f32(np.inf)], f32(3.4028235e38))
    assert not excuses(torch.exp, [just_below], f32(-np.inf))


def test_logarithm_of_what_rounds_to_zero_or_below():
    def edge(x):
        return torch.log(torch.log(torch.exp(x)))

    for got in (-np.inf, np.nan, -15.942385):
        assert judged(edge, [f32(7e-8)], f32(got)).found == []
    for got in (-np.inf, np.nan):
        assert not excuses(edge, [f32(0.1)], f32(got))


# Sums.


def terms(count, low=0.0):
    return torch.from_numpy(np.random.default_rng(0).uniform(low, 1, count).astype("float32"))


def one_after_the_other(x):
    return np.add.accumulate(x.numpy(), dtype="float32")[-1]


def test_a_hundred_thousand_terms_in_another_order():
    for low in (0.0, -1.0):
        x = terms(100_000, low)
        assert judged(torch.sum, [x], one_after_the_other(x)).found == []
        assert judged(torch.sum, [x], one_after_the_other(x.flip(0))).found == []
        total = np.abs(x.numpy()).sum()
        assert not excuses(torch.sum, [x], lambda y, total=total: y + total * np.float32(1e-3))


def test_few_terms_stay_sharp():
    x = f32(0.1, 0.2, 0.3, 0.4)
    assert not excuses(torch.sum, [x], lambda y: y * np.float32(1 + 5e-6))
    assert not excuses(torch.mean, [x], lambda y: y * np.float32(1 + 5e-6))
    # Small integers are summed exactly in any order.
    assert not excuses(torch.sum, [f32(1, 2, 3)], np.float32(6.00001))


def test_a_sum_that_cancels():
    x = f32(1e8, 1, -1e8)
    for got in (0.0, 1.0):
        assert judged(torch.sum, [x], np.float32(got)).found == []
    assert not excuses(torch.sum, [x], np.float32(1000))
    # Partial sums overflow in one order and not in another.
    big = f32(3e38, 3e38, -3e38)
    for terms_in_order in (big, f32(3e38, -3e38, 3e38)):
        for got in (np.inf, 3e38):
            assert judged(torch.sum, [terms_in_order], np.float32(got)).found == []
    # An order that happens to give the exact sum excuses the others all the same.
    lucky = f32(1e8, -1e8, 1)
    assert torch.sum(lucky).item() == 1
    assert excuses(torch.sum, [lucky], np.float32(0))
    assert not excuses(torch.sum, [f32(1e38, 1e38, -1e38)], np.float32(np.inf))


def test_products_of_matrices():
    random = np.random.default_rng(1)
    a, b = (torch.from_numpy(random.normal(size=(8, 8)).astype("float32")) for _ in range(2))
    other = (a.double().numpy() @ b.double().numpy()).astype("float32")
    assert judged(torch.matmul, [a, b], other).found == []
    assert not excuses(torch.matmul, [a, b], lambda y: y + np.float32(1e-4))
    integers = torch.arange(64.0).reshape(8, 8)
    assert not excuses(torch.matmul, [integers, integers], lambda y: y * np.float32(1 + 5e-6))


def test_softmax_over_wide_ranges():
    x = f32(-1000, -90, 0, 80, 100)

    def softmax(x):
        return torch.softmax(x, 0)

    assert judged(softmax, [x], lambda y: torch.softmax(x.double(), 0).float().numpy()).found == []
    # exp(80 - 100) may be off by twenty times the error of the difference.
    assert excuses(softmax, [x], lambda y: y * np.float32([1, 1, 1, 1 + 1e-6, 1]))
    assert not excuses(softmax, [x], lambda y: y * np.float32([1, 1, 1, 1 + 1e-4, 1]))
    assert not excuses(softmax, [x], lambda y: y * np.float32([1, 1, 1, 1, 1 + 5e-6]))
    assert not excuses(softmax, [x], lambda y: y[::-1])


# Discontinuities.


@pytest.mark.parametrize(
    ("function", "x", "got"),
    [
        (torch.round, 0.5, 1.0),
        (torch.round, 2.5, 3.0),
        (torch.floor, 1.0, 0.0),
        (torch.ceil, 1.0, 2.0),
        (torch.sign, 0.0, 1.0),
        (lambda x: torch.round(x * 2), 0.25, 1.0),
        (lambda x: torch.floor(x + 1), 1.0, 1.0),
        (lambda x: torch.where(x * 4 < 1, 0.0, 1.0), 0.25, 0.0),
        (lambda x: (x >= 1).float(), 1.0, 0.0),
        (lambda x: torch.relu(x), 1e-30, 0.0),
        (lambda x: torch.clamp(x, 0, 0.3), 1.0, 0.30001),
        (lambda x: x.half().float(), 0.1, 0.1),
        (lambda x: torch.floor_divide(x, 0.5), 1.0, 1.0),
    ],
)
def test_steps_are_sharp_on_exact_inputs(function, x, got):
    assert not excuses(function, [f32(x)], f32(got))


def test_steps_on_rounded_inputs_are_excused_to_either_side_and_not_between():
    def steps(x):
        return torch.round(x * 3.3)

    # 0.454545… · 3.3 = 1.5 but for a rounding.
    x = f32(1.5 / 3.3)
    assert {1.0, 2.0} == {float(v) for v in (1.0, 2.0) if judged(steps, [x], f32(v)).found == []}
    for got in (1.5, 1.01, 0.0, 3.0):
        assert not excuses(steps, [x], f32(got))
    assert not excuses(steps, [f32(0.4)], f32(2))


def test_the_sign_of_zero():
    (found,) = judged(lambda x: x.clamp(min=0), [f32(-0.0)], f32(0.0)).found
    assert found.kind == "sign-of-zero"
    # The logarithm of what rounds to 1 or next to it has either sign.
    assert judged(lambda x: torch.log(x * 3.3) * 1e-45, [f32(1 / 3.3)], lambda y: -y).found == []


def test_integers_are_excused_only_where_a_run_gives_them():
    def nearest(x):
        return torch.argmax(torch.sin(x))

    near = f32(1.0, np.pi - 1.0, 0.1)
    assert judged(nearest, [near], np.int64(0)).found == judged(nearest, [near], np.int64(1)).found == []
    assert not excuses(nearest, [near], np.int64(2))
    assert not excuses(nearest, [f32(1.0, 1.2)], np.int64(0))
    # Exact ties: torch takes the first, and so must others.
    assert not excuses(lambda x: torch.argmax(x), [f32(1, 1, 0)], np.int64(1))
    assert not excuses(lambda x: torch.exp(x) > 1, [f32(1.0)], np.array([False]))


def test_ties_in_topk():
    x = f32(2, 1, 2, 0)

    def top(x):
        return tuple(torch.topk(x, 2))

    assert not excuses(top, [x], lambda v, i: (v, np.int64([2, 1])))
    scaled = f32(1.0, 0.5, np.pi - 1.0)

    def top_of_sines(x):
        return tuple(torch.topk(torch.sin(x), 2))

    swapped = judged(top_of_sines, [scaled], lambda v, i: (v, i[::-1].copy()))
    assert swapped.found == []
    assert not excuses(top_of_sines, [scaled], lambda v, i: (v, np.int64([1, 0])))


# Low precision: what is computed in float32 and rounded once is right, what loses more is not.


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_rounded_once(dtype):
    x = torch.linspace(0.1, 3, 50).to(dtype)

    def chain(x):
        return torch.log(torch.exp(x) * 1.7 + 0.3) * torch.sin(x)

    once = chain(x.float()).to(dtype)
    decider, _ = arbiter(chain, x)
    assert decider.judge([outputs_of(once).outputs[0]]).found == []
    eps = torch.finfo(dtype).eps
    wrong = (once.float() * (1 + 40 * eps)).to(dtype)
    assert decider.judge([outputs_of(wrong).outputs[0]]).found != []


def test_sums_of_float16_accumulated_in_float16():
    x = terms(4096).to(torch.float16)
    decider, eager = arbiter(torch.sum, x)
    in_half = np.add.accumulate(x.numpy(), dtype="float16")[-1]
    assert abs(float(in_half) - float(eager[0])) / float(eager[0]) > 3e-3
    (found,) = decider.judge([np.asarray(in_half)]).found
    assert found.evidence.farther == "exported"


# The evidence, and what cannot be arbitrated.


def test_the_evidence():
    (found,) = judged(torch.exp, [f32(1)], lambda y: y * np.float32(1 + 1e-5)).found
    evidence = found.evidence
    assert evidence.runs >= 6
    assert evidence.low <= np.e <= evidence.high
    assert evidence.high - evidence.low < 3e-6
    # exp(1) = 2.718 lies between 2 and 4, where an ulp is 2^-22; 2.7e-5 are 114 of them.
    assert evidence.ulps == pytest.approx(2.718e-5 * 2**22, abs=1)
    assert evidence.condition < 5
    assert evidence.reference == pytest.approx(np.e, abs=1e-12)
    assert evidence.farther == "exported"
    assert evidence.note == ""
    assert "float64 gives 2.718281828459045, the exported model is farther from it" in found.message


def test_the_evidence_says_when_eager_is_the_one_that_is_off():
    def fused(x):
        return torch.exp(x) / torch.exp(x)

    judgement = judged(fused, [f32(100)], f32(1))
    (found,) = judgement.found
    assert (found.kind, found.evidence.farther) == ("overflow", "eager")
    # Beside an element that can be compared as well.
    found, note = judged(fused, [f32(100, 2)], f32(1, 1.0001)).found
    assert (found.kind, found.element) == ("value", (1,))
    assert (note.kind, note.element) == ("overflow", (0,))


def test_the_same_seed_gives_the_same_noise_and_the_global_state_is_left_alone():
    x = torch.linspace(0, 1, 20)
    prepared = Prepared(None, Applied(lambda x: torch.log(torch.exp(x))))
    again = rerun(prepared, False, (x,))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same, other = (again.noisy(Noise(seed))[0] for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes() != other.tobytes()
    assert torch.equal(torch.get_rng_state(), before)


def test_no_float64_path_is_said_and_the_fixed_tolerance_judges():
    @torch.library.custom_op("diffexport_tests::only_float32", mutates_args=())
    def only_float32(x: torch.Tensor) -> torch.Tensor:
        if x.dtype is not torch.float32:
            raise TypeError("float32 only")
        return x * 1.5

    def custom(x):
        return only_float32(x)

    judgement = judged(custom, [f32(1)], lambda y: y * np.float32(1 + 4e-6))
    assert (judgement.found, judgement.excused, judgement.unrefereed) == ([], True, True)
    (found,) = judged(custom, [f32(1)], lambda y: y * np.float32(1 + 1e-4)).found
    assert "no float64 path for diffexport_tests::only_float32" in found.evidence.note
    assert found.evidence.note in found.message


def test_a_model_that_does_not_run_under_noise():
    x = torch.linspace(1, 2, 50)
    exponentials = torch.exp(x)

    def picky(x):
        if (torch.exp(x) != exponentials).any():
            raise ValueError("not as precise as it was")
        return x * 1.1

    judgement = judged(picky, [x], lambda y: y * np.float32(1 + 2e-6))
    assert (judgement.found, judgement.excused, judgement.unrefereed) == ([], True, True)
    (found,) = judged(picky, [x], lambda y: y * np.float32(1 + 1e-4)).found
    assert "cannot be run under rounding noise (ValueError: not as precise as it was)" in found.message
    assert found.evidence.runs == 0


def test_swapped_outputs_are_still_an_order():
    def both(x):
        return torch.exp(x), torch.log(x)

    (found,) = judged(both, [f32(2, 3)], lambda a, b: (b, a)).found
    assert found.signature == "order of outputs"


def test_an_infinity_where_eager_overflows_on_the_way_to_nan_is_that_of_float64():
    def product(x, w):
        return x @ w

    inputs = [torch.tensor([[1, 3e38]]), torch.tensor([[np.inf], [-2]], dtype=torch.float32)]
    assert np.isnan(product(*inputs).item())
    assert excuses(product, inputs, np.array([[np.inf]], "float32"))
    assert not excuses(product, inputs, np.array([[-np.inf]], "float32"))
    assert not excuses(product, inputs, np.array([[1]], "float32"))


def test_an_infinity_where_float64_has_nan_is_reported():
    def difference(x):
        return x - x

    assert not excuses(difference, [f32(np.inf)], f32(np.inf))
    assert not excuses(lambda x: x * 2, [f32(np.nan)], f32(np.inf))


ILL = torch.tensor([[1, 1.0000001, 1.0000001, 1.1]])


def normalised(x, off=0.0, scale=1.0):
    """A layer or group norm of one row in float64, its mean off by some eps of float32."""
    wide = x.double().numpy()
    mean = wide.mean() + off * np.finfo(np.float32).eps
    return ((wide - mean) / np.sqrt(((wide - mean) ** 2).mean() + 1e-5) * scale).astype(np.float32)


@pytest.mark.parametrize(
    "norm",
    [
        lambda x: torch.nn.functional.layer_norm(x, [4]),
        lambda x: torch.nn.functional.layer_norm(x, [4], torch.full((4,), 1.0), torch.zeros(4)),
        lambda x: torch.nn.functional.group_norm(x.reshape(1, 4, 1), 1).reshape(1, 4),
    ],
)
def test_a_mean_may_be_off_by_its_rounding_before_it_is_subtracted(norm):
    assert excuses(norm, [ILL], normalised(ILL, off=1))
    assert excuses(norm, [ILL], normalised(ILL, off=-1))
    assert not excuses(norm, [ILL], normalised(ILL, off=12))
    # What comes out even by chance: eager's middle is 0.
    even = torch.tensor([[12.8111, 13.5055, 13.5055, 14.1999]])
    assert norm(even)[0, 1] == 0
    assert excuses(norm, [even], normalised(even, off=7))
    # Where the mean is exact 0 stays 0.
    plain = torch.tensor([[1.0, 2, 2, 3]])
    assert not excuses(norm, [plain], normalised(plain, off=1))
    assert not excuses(norm, [ILL], normalised(ILL, scale=1.0001))
