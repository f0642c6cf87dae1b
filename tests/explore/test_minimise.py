"""Whatever a failure is about, it is made simpler, stays what it was, and is never lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport.arrays import finfo, is_complex, is_floating, part_dtype
from diffexport.explore.minimise import Minimiser
from diffexport.explore.number_simplicity import simpler_values, simplicity
from diffexport.explore.point import Point
from diffexport.subjects.cases import make_case
from diffexport.values import (
    DTYPES,
    Call,
    Divergence,
    Kind,
    Mode,
    Outcome,
    Place,
    Stage,
    Verdict,
)


def odd_numbers(name):
    """The extremes of a dtype, and a few ordinary numbers."""
    dtype = np.dtype(name)
    if dtype == np.bool_:
        return [np.False_, np.True_]
    if is_complex(dtype):
        parts = odd_numbers(part_dtype(dtype).name)
        pairs = [np.array([real, imag], part_dtype(dtype)) for real in parts for imag in parts]
        return [pair.view(dtype)[0] for pair in pairs]
    if is_floating(dtype):
        limits = finfo(dtype)
        numbers = [
            limits.max,
            limits.smallest_normal,
            limits.smallest_subnormal,
            limits.eps,
            0,
            0.1,
            3,
            999.5,
        ]
        numbers = [dtype.type(number) for number in (*numbers, float("inf"), float("nan"))]
        numbers += [np.nextafter(dtype.type(limits.max), dtype.type(0))]
        return [dtype.type(sign * number) for number in numbers for sign in (1, -1)]
    limits = np.iinfo(dtype)
    near = (limits.min, limits.min + 1, -1, 0, 1, 1000, limits.max - 1, limits.max)
    return [dtype.type(number) for number in near if limits.min <= number <= limits.max]


@pytest.mark.parametrize("dtype", DTYPES)
def test_there_are_simpler_numbers_than_any_extreme(dtype):
    for number in odd_numbers(dtype):
        simpler = simpler_values(number)
        assert {np.asarray(one).dtype.name for one in simpler} <= {dtype}
        assert all(simplicity(one) < simplicity(number) for one in simpler)
        assert bool(simpler) or simplicity(number) == min(map(simplicity, odd_numbers(dtype)))


class FakeChecks:
    """Checks of an exported model that departs from eager where a function of the inputs, and one of the mode, say."""

    same_in_every_mode = False

    def __init__(self, fails, in_mode=lambda mode: True, raises=lambda array: False):
        self.fails, self.in_mode, self.raises = fails, in_mode, raises

    def check(self, case, mode, runtime, inputs, *, export_inputs=None, strict=False):
        arrays = Call.of(inputs).args
        if any(map(self.raises, arrays)):
            raise OverflowError("cannot convert float infinity to integer")
        divergence = Divergence(Stage.COMPARE, Kind.VALUE, Place.output(0), "finite→finite", "it differs")
        if self.fails(*arrays) and self.in_mode(mode):
            got = (np.zeros(1),)
            return Verdict(case.name, str(mode), runtime, Outcome.DIVERGES, (divergence,), got=got)
        return Verdict(case.name, str(mode), runtime, Outcome.AGREES)


def minimal(specs, inputs, fails, *, mode="dynamo,dynamic=true", modes=None, checks=400, **more):
    case = make_case("planted", torch.nn.Identity, inputs=specs)
    fake = FakeChecks(fails, **more)
    start = Point(Mode.parse(mode), "ort-disabled", tuple(inputs), tuple(inputs))
    verdict = fake.check(case, start.mode, start.runtime, start.inputs)
    selected = None if modes is None else tuple(map(Mode.parse, modes))
    minimiser = Minimiser(fake, case, False, checks=checks, modes=selected)
    return minimiser.run(start, verdict.divergences[0])


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_shrinking_never_loses_a_finding(dtype, data):
    numbers = odd_numbers(dtype)
    size = data.draw(st.sampled_from([1, 2, 3, 300]))
    chosen = data.draw(st.lists(st.sampled_from(range(len(numbers))), min_size=size, max_size=size))
    array = np.array([numbers[place] for place in chosen], dtype=dtype)
    needed = numbers[data.draw(st.sampled_from(chosen))].tobytes()

    def fails(given):
        return any(one.tobytes() == needed for one in np.asarray(given).reshape(-1))

    seen = minimal([f"{dtype}[N]"], [array], fails)
    assert fails(*seen.point.inputs)
    assert not seen.remarks
    assert seen.point.inputs[0].size == 1
    assert str(seen.point.mode) == "dynamo"


def test_a_fault_of_shrinking_keeps_what_was_seen_so_far():
    array = np.array([5, 7, 1e300])
    seen = minimal(["float64[N]"], [array], lambda a: (a > 4).any(), raises=lambda a: a.shape == (1,))
    assert (seen.point.inputs[0] > 4).any()
    (remark,) = seen.remarks
    assert remark.startswith("it may not be minimal: shrinking it failed (OverflowError: cannot convert")
    # The steps after the one that failed were taken.
    assert str(seen.point.mode) == "dynamo"


def test_no_tensor_is_empty_where_one_element_shows_it_as_well():
    nothing = np.zeros((0, 3), np.float32)
    seen = minimal(["float32[N, 3]"], [nothing], lambda a: a.shape[1] == 3)
    assert seen.point.inputs[0].shape == (1, 3)
    seen = minimal(["float32[N]"], [np.ones(5, np.float32)], lambda a: True)
    assert seen.point.inputs[0].tolist() == [0]
    seen = minimal(["float32[N, 3]"], [nothing], lambda a: a.size == 0)
    assert seen.point.inputs[0].shape == (0, 3)


def test_two_tensors_that_share_a_size_get_their_element_together():
    given = [np.zeros((0, 2), np.float32), np.zeros(0, np.int64)]
    seen = minimal(["float32[N, 2]", "int64[N] in 1..4"], given, lambda a, b: len(a) == len(b))
    assert [array.shape for array in seen.point.inputs] == [(1, 2), (1,)]
    assert seen.point.inputs[1].tolist() == [1]


def test_the_simplest_mode_is_one_that_was_selected():
    modes = ["torchscript,opset=9,dynamic=true", "torchscript,opset=9", "torchscript,opset=11"]
    array = [np.ones(1, np.float32)]
    seen = minimal(["float32[N]"], array, lambda a: True, mode=modes[0], modes=modes)
    assert str(seen.point.mode) == "torchscript,opset=11"
    assert seen.remarks == ("dynamo, which is simpler and was not selected, shows it, too",)
    only = lambda mode: mode.exporter == "torchscript" and mode.opset < 12  # noqa: E731
    seen = minimal(["float32[N]"], array, lambda a: True, mode=modes[0], modes=modes[:2], in_mode=only)
    assert str(seen.point.mode) == "torchscript,opset=9"
    assert seen.remarks == ("torchscript,opset=11, which is simpler and was not selected, shows it, too",)
    seen = minimal(["float32[N]"], array, lambda a: True, mode="dynamo", modes=["dynamo"])
    assert not seen.remarks


def test_a_large_mask_is_shrunk_row_by_row():
    mask = np.random.default_rng(0).random((64, 32)) > 0.5
    mask[40] = np.arange(32) < 7
    seen = minimal(
        ["bool[64, 32] mask"],
        [mask],
        lambda a: a[40, :7].all() and not a[40, 7:].any(),
        mode="dynamo",
        checks=600,
    )
    shrunk = seen.point.inputs[0]
    assert shrunk[40].tolist() == [True] * 7 + [False] * 25
    assert np.delete(shrunk, 40, axis=0).all()


def test_large_probabilities_stay_probabilities():
    weights = np.random.default_rng(0).random((64, 32)).astype(np.float32)
    weights /= weights.sum(axis=-1, keepdims=True)
    seen = minimal(
        ["float32[64, 32] probabilities"], [weights], lambda a: 0 < a[3, 5] < 1, mode="dynamo", checks=600
    )
    shrunk = seen.point.inputs[0]
    assert np.allclose(shrunk.sum(axis=-1), 1)
    assert shrunk[3].tolist() == [1 / 32] * 32
    assert np.delete(shrunk, 3, axis=0)[:, 0].tolist() == [1] * 63
