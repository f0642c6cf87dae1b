"""Large tensors are drawn from a few dozen bytes, in little memory, and are what a model would be given."""

import collections
import itertools
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import find, given, seed, settings
from hypothesis import strategies as st

from diffexport.arrays.fillings import FAMILIES, FilledArray
from diffexport.strategies import LARGE_SAMPLE, examples, is_large, is_ordinary, samples, trials
from diffexport.strategies.large_tensors import (
    MOST_PLACED,
    SMALL_TENSOR,
    TENSOR_BYTES,
    decode_sample,
    sample_bytes,
    samples_at_once,
)
from diffexport.values import InputScope, TensorSpec, shapes_of_ranks

QUICK = settings(max_examples=25, database=None, deadline=None)


def drawn(text: str, count: int = 300, constants=(), shape=(64, 128)):
    spec, chance = TensorSpec.parse(text), random.Random(7)
    for _ in range(count):
        data = chance.randbytes(TENSOR_BYTES)
        (array,) = decode_sample(data, [shape], [spec], variant=chance.randrange(64), constants=constants)
        yield array


def test_the_bytes_of_a_sample_do_not_depend_on_its_size():
    assert sample_bytes([(64, 128)]) == sample_bytes([(4096, 4096)]) == sample_bytes([(10**6, 10**6)])
    assert sample_bytes([(4096, 4096)]) < 110
    assert TENSOR_BYTES < 48


def test_every_family_is_reached_and_most_tensors_are_ordinary():
    families, kinds = collections.Counter(), collections.Counter()
    for array in drawn("float32[...]", 600):
        families[array.filling.family] += 1
        odd = int(np.count_nonzero(~np.isfinite(array)))
        kinds["ordinary" if odd == 0 else "few odd" if odd <= MOST_PLACED else "odd everywhere"] += 1
        kinds["placed"] += bool(array.filling.placed)
    assert set(families) == set(FAMILIES)
    assert families["normal"] > families["constant"] > 20
    assert kinds["ordinary"] > 400
    assert kinds["few odd"] > 50
    assert 5 < kinds["odd everywhere"] < kinds["few odd"]
    assert 200 < kinds["placed"] < 400


def test_nan_infinities_extremes_and_constants_are_placed():
    largest = float(np.finfo(np.float32).max)
    placed = {
        str(float(array[index]))
        for array in drawn("float32[...]", 1500, constants=(0.375,))
        for index, _ in array.filling.placed
    }
    assert {"nan", "inf", "-inf", "-0.0", str(largest), "0.375"} <= placed


def test_elements_are_placed_anywhere():
    places = [index for array in drawn("float32[...]", 600) for index, _ in array.filling.placed]
    assert {row // 16 for row, _ in places} == set(range(4))
    assert {column // 16 for _, column in places} == set(range(8))


@pytest.mark.parametrize(
    "text",
    [
        "int64 in 0..99",
        "uint8",
        "int8 in -5..5",
        "bool",
        "float16 in 0..1",
        "float32 in ..-2",
        "bfloat16 in 0..0.9",
        "float64 in 1e300..",
        "uint64",
        "int32 in 7..7",
        "complex64",
        "float32 in 0.1..0.1000001",
    ],
)
def test_dtypes_and_bounds_are_kept(text):
    spec = TensorSpec.parse(text)
    for array in drawn(text, 150):
        assert array.dtype.name == spec.dtype
        if spec.low is not None or spec.high is not None:
            numbers = np.array(array).astype(np.float64)
            assert (spec.low is None) or (numbers >= spec.low).all()
            assert (spec.high is None) or (numbers <= spec.high).all()


@pytest.mark.parametrize(
    "text",
    [
        "float32[64, 128] normal(5, 2)",
        "float32[64, 128] image",
        "uint8[64, 128] image",
        "bool[64, 128] mask",
        "float32[64, 128] mask",
        "float16[64, 128] probability",
        "float32[64, 128] probabilities",
        "int64[64, 128] ids in 0..999",
    ],
)
def test_kinds_of_values_are_kept(text):
    spec = TensorSpec.parse(text)
    low, high = spec.range_at()
    for array in drawn(text, 60):
        numbers = np.array(array).astype(np.float64)
        assert (numbers >= low).all()
        assert (numbers <= high).all()
        if spec.kind.name == "mask":
            assert set(np.unique(numbers)) <= {0, 1}
        if spec.kind.name == "image":
            steps = numbers * (1 if spec.dtype == "uint8" else 255)
            assert np.abs(steps - np.round(steps)).max() < 1e-4
        if spec.kind.name == "probabilities":
            assert np.allclose(numbers.sum(axis=-1), 1)


@pytest.mark.parametrize(
    "text", ["float32[64, 128]", "float32[64, 128] in 0..1", "int32[64, 128]", "float16[64, 128]"]
)
def test_where_only_ordinary_values_are_in_scope_there_are_no_others(text):
    spec = TensorSpec.parse(text).within(InputScope(ordinary=True))
    chance = random.Random(3)
    for _ in range(150):
        data = chance.randbytes(TENSOR_BYTES)
        (array,) = decode_sample(data, [(64, 128)], [spec], variant=chance.randrange(64), constants=(0.5,))
        assert is_ordinary(np.array(array)).all()


def test_a_bound_that_names_a_dimension_is_that_of_the_shapes():
    specs = [TensorSpec.parse("float32[N, 128]"), TensorSpec.parse("int64[64, 128] in 0..<N")]
    chance = random.Random(3)
    for _ in range(60):
        data = chance.randbytes(2 * TENSOR_BYTES)
        _, index = decode_sample(data, [(7, 128), (64, 128)], specs, variant=0, constants=())
        assert 0 <= index.min() <= index.max() < 7


def test_the_simplest_sample_is_zeros():
    spec = TensorSpec.parse("float32[64, 128]")
    (array,) = decode_sample(b"", [(64, 128)], [spec], variant=0, constants=())
    assert (array.filling.family, array.filling.placed, np.count_nonzero(array)) == ("constant", (), 0)
    (array,) = decode_sample(b"\1" * 3, [(64, 128)], [spec], variant=0, constants=())
    assert np.count_nonzero(array) == 0


def test_hypothesis_shrinks_a_large_tensor_to_zeros_and_what_is_needed():
    simplest = find(
        samples(["float32[64, 128]"]), lambda sample: bool(np.isnan(sample[0]).any()), settings=QUICK_FIND
    )[0]
    filling = simplest.filling
    assert filling.family in ("constant", "among")
    assert len(filling.placed) <= 2


QUICK_FIND = settings(max_examples=300, database=None, deadline=None)


def test_small_tensors_beside_a_large_one_are_drawn_as_small_ones_are():
    shapes, specs = (
        [(64, 128), (3,)],
        [TensorSpec.parse("float32[64, 128]"), TensorSpec.parse("int64[3] in 0..9")],
    )
    assert 3 <= SMALL_TENSOR < 64 * 128
    data = bytes(TENSOR_BYTES) + bytes([4, 5, 6])
    large, small = decode_sample(data, shapes, specs, variant=0, constants=())
    assert isinstance(large, FilledArray)
    assert type(small) is np.ndarray
    assert small.tolist() == [6, 5, 4]
    swapped = decode_sample(data, shapes[::-1], specs[::-1], variant=0, constants=())
    assert [array.shape for array in swapped] == [(3,), (64, 128)]


@QUICK
@given(trials(["float32[N>=1, 3, 64, 64]", "float32[3]"], dynamic=True, max_samples=64))
def test_trials_of_large_tensors_hold_few_samples(trial):
    assert 1 <= len(trial.samples) <= 8
    assert trial.large is not None
    for image, small in trial.samples:
        assert isinstance(image, FilledArray)
        assert image.shape[1:] == (3, 64, 64)
        assert small.shape == (3,)


def test_a_batch_of_large_tensors_has_several_sizes():
    sizes = set()

    @seed(3)
    @QUICK
    @given(trials(["float32[N>=1, 3, 64, 64]"], dynamic=True))
    def draw(trial):
        sizes.update(image.shape[0] for (image,) in trial.samples)

    draw()
    assert {1, 2} <= sizes <= {1, 2, 3, 4}


def test_what_a_large_trial_was_drawn_from_says_which_it_is():
    seen = {}

    @seed(5)
    @QUICK
    @given(trials(["float32[64, 128]"], max_samples=2))
    def draw(trial):
        content = b"".join(array.tobytes() for sample in trial.samples for array in sample)
        assert seen.setdefault(trial.large, content) == content

    draw()
    assert len(seen) > 10


def test_trials_of_small_tensors_are_not_large():
    assert not is_large([(LARGE_SAMPLE,)])
    assert is_large([(LARGE_SAMPLE,), ()])
    trial = find(trials(["float32[3]"]), lambda _: True, settings=QUICK)
    assert trial.large is None


def test_one_sample_is_drawn_where_several_would_be_too_much():
    assert samples_at_once([(4096, 4096)], 64) == 1
    assert samples_at_once([(512, 512)], 64) == 4
    assert samples_at_once([(64, 128)], 64) == 8
    assert samples_at_once([(64, 128)], 3) == 3


def test_drawing_64_mib_takes_little_more():
    strategy = trials(["float32[4096, 4096]"], max_samples=64)
    peaks = []

    @seed(1)
    @settings(max_examples=4, database=None, deadline=None)
    @given(strategy)
    def draw(trial):
        peaks.append(tracemalloc.get_traced_memory()[1])

    tracemalloc.start()
    try:
        draw()
    finally:
        tracemalloc.stop()
    # The sample, and the example to export with.
    assert max(peaks) < (2 * 64 + 16) << 20


def test_a_large_example_repeats_the_values_of_a_small_one():
    specs = [TensorSpec.parse("float32[*]"), TensorSpec.parse("int64[*] in 0..4")]
    large = examples([(10_000,), (10_000,)], specs)
    small = examples([(100,), (100,)], specs)
    for mine, other in zip(large, small, strict=True):
        assert isinstance(mine, FilledArray)
        assert mine[:100].tobytes() == other.tobytes()
        assert mine.dtype == other.dtype


@given(st.lists(st.integers(0, 255), min_size=2, max_size=2))
def test_without_larger_sizes_every_byte_chooses_as_before(chosen):
    specs = [TensorSpec.parse("float32[N, M>=2]")]
    plain = shapes_of_ranks(specs, [2], itertools.cycle(chosen))
    assert plain == shapes_of_ranks(specs, [2], itertools.cycle(chosen), larger=())
    if max(chosen) < 192:
        assert plain == shapes_of_ranks(specs, [2], itertools.cycle(chosen), larger=(10, 11))


def test_larger_sizes_are_chosen_by_a_quarter_of_the_bytes_within_the_cap():
    def sizes(text, larger=(9, 10, 11), most=512):
        specs = [TensorSpec.parse(text)]
        return [
            shapes_of_ranks(specs, [1], iter([byte]), larger=larger, most=most)[0][0] for byte in range(256)
        ]

    assert sum(size > 8 for size in sizes("float32[N]")) == 64
    assert set(sizes("float32[N]")) == {0, 1, 2, 3, 4, 5, 9, 10, 11}
    assert set(sizes("float32[2..4]")) == {2, 3, 4}
    assert set(sizes("float32[N]", larger=(2000,))) == {0, 1, 2, 3, 4, 5}
    assert 2000 in sizes("float32[N]", larger=(2000,), most=4096)
    assert set(sizes("float32[7]")) == {7}


def test_larger_sizes_are_drawn_in_trials():
    seen = set()

    @seed(2)
    @settings(max_examples=60, database=None, deadline=None)
    @given(trials(["float32[N, M]"], dynamic=True, sizes=(9, 10, 11)))
    def draw(trial):
        seen.update(trial.samples[0][0].shape)

    draw()
    assert {9, 10, 11} <= seen
