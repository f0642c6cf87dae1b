"""Values of the kinds that a spec names, in bounds that follow dimensions, and in scope."""

import numpy as np
import pytest
from hypothesis import given, settings

from diffexport.strategies import VARIETY, arranged_rows, decode_block, examples, table, trials
from diffexport.strategies.tables import VARIANTS
from diffexport.values import ALL_INPUTS, InputScope, TensorSpec, ValueKind, parse_specs

QUICK = settings(database=None, deadline=None, max_examples=100)
MIXED = (
    "int64[B] in 1..T",
    "float32[B, T]",
    "int64[B] in -T..T-1",
    "bool[B, T] mask",
    "float32[B, T] probabilities",
    "int64[B, 2] ids in 0..<T",
    "float32[2, 2] normal(1, 2)",
    "float16[3, W] image",
    "float32[3] probability",
)


@given(trials(MIXED, dynamic=True, variety=VARIETY[:5], same=True))
@QUICK
def test_every_draw_is_what_the_specs_say(trial):
    for lengths, data, index, mask, rows, ids, normal, image, chance in (*trial.samples, trial.export_inputs):
        size = data.shape[1]
        assert ((lengths >= 1) & (lengths <= size)).all()
        assert ((index >= -size) & (index < size)).all()
        assert mask.dtype == np.bool_
        assert (rows >= 0).all()
        assert np.allclose(rows.sum(axis=-1), 1)
        assert ((ids >= 0) & (ids < size)).all()
        assert ((normal >= -7) & (normal <= 9)).all()
        assert ((image >= 0) & (image <= 1)).all()
        assert ((chance >= 0) & (chance <= 1)).all()


def _drawn(text, shape, samples=200):
    data = np.random.default_rng(0).bytes(samples * 40)
    return np.stack(
        [sample[0] for sample in decode_block(data, [shape], [TensorSpec.parse(text)], limit=samples)]
    )


def test_a_mask_has_rows_of_every_sort():
    rows = {tuple(row) for row in _drawn("bool[2, 4] mask", (2, 4)).reshape(-1, 4).astype(int)}
    assert {
        (0, 0, 0, 0),
        (1, 1, 1, 1),
        (1, 0, 0, 0),
        (1, 1, 1, 0),
        (0, 0, 0, 1),
        (0, 1, 1, 1),
        (1, 0, 1, 0),
    } <= rows


def test_a_mask_of_integers_is_0_and_1():
    drawn = _drawn("int64[2, 4] mask", (2, 4))
    assert drawn.dtype == np.int64
    assert set(np.unique(drawn)) == {0, 1}


def test_ids_reach_all_over_their_bounds():
    drawn = _drawn("int64[4] ids in 0..30000", (4,))
    assert drawn.max() > 29000
    assert np.count_nonzero(drawn > 1000) > drawn.size // 3
    assert {0, 30000} <= set(drawn.reshape(-1))
    assert set(np.unique(_drawn("int64[4] ids in 0..99", (4,), 500))) == set(range(100))


def test_normal_values_have_their_mean_and_deviation():
    values = np.concatenate(
        [table("float64", variant=v, low=-7.0, high=9.0, kind=ValueKind("normal", (1, 2))) for v in range(8)]
    )
    assert abs(values.mean() - 1) < 0.05
    assert abs(values.std() - 2) < 0.05


def test_pixels_are_multiples_and_reach_both_ends():
    pixels = table("float32", low=0.0, high=1.0, kind=ValueKind("image")) * 255
    assert np.allclose(pixels, np.round(pixels), atol=1e-3)
    assert {0, 255} <= set(np.round(pixels))


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "complex64", "int64", "uint8", "bool"]
)
def test_ordinary_tables_have_ordinary_values_only(dtype):
    for variant in range(0, VARIANTS, 7):
        values = table(dtype, variant=variant, constants=(1e7, 0.3), ordinary=True).astype(np.float64)
        sizes = np.abs(values)
        assert (sizes <= 1e4).all()
        assert ((sizes >= 1e-4) | (values == 0)).all()
        assert not np.signbit(values[values == 0]).any()


def test_without_a_scope_the_tables_are_as_they_were():
    spec = TensorSpec.parse("float32[4]")
    assert spec.within(ALL_INPUTS) == spec
    drawn = _drawn("float32[4]", (4,))
    assert np.isnan(drawn).any()
    assert np.isinf(drawn).any()


def test_an_ordinary_example_is_not_extreme():
    spec = TensorSpec.parse("float32[7]")
    assert np.isnan(examples([(7,)], [spec], "extreme")[0]).any()
    assert np.isfinite(examples([(7,)], [spec.within(InputScope(ordinary=True))], "extreme")[0]).all()


def test_bounds_beyond_ordinary_values_still_hold():
    (spec,) = parse_specs(["float32[4] in 1e6..1e8"])
    data = np.random.default_rng(0).bytes(400)
    for (array,) in decode_block(data, [(4,)], [spec.within(InputScope(ordinary=True))], limit=9):
        assert ((array >= 1e6) & (array <= 1e8)).all()


@pytest.mark.parametrize("dtype", ["bool", "int64", "float32"])
def test_rows_of_a_mask_may_be_longer_than_a_byte_counts(dtype):
    spec = TensorSpec.parse(f"{dtype}[1, 2049] mask")
    values = np.zeros((4, 2049), np.dtype(dtype))
    codes = np.random.default_rng(0).integers(0, 256, values.shape, dtype=np.uint8)
    arranged = arranged_rows(values, spec, codes)
    assert set(np.unique(arranged).tolist()) <= {0, 1}
