"""Fillings: the same bits everywhere, sent in few bytes, read by people."""

import pickle

import numpy as np
import pytest

from diffexport.arrays.array_readings import array_digest, described, reads
from diffexport.arrays.fillings import CHUNK, FAMILIES, FilledArray, Filling, as_number, decoded_numbers, fill
from diffexport.arrays.found_fillings import differing, found_filling
from diffexport.arrays.inputs import as_call, as_plain
from diffexport.processes.pickling import dumps, loads

NAN, ZERO, ONE, TWO = "nan", "0x0p+0", "0x1p+0", "0x1p+1"
SHAPE = (2, 300)

#: What is made of a filling is never to change: stored findings are made of it again.
PINNED = {
    ("constant", "float32", (TWO,)): "031b50f42281f5bd",
    ("repeated", "float32", (ZERO, ONE, NAN)): "495d2669a8f6f5ac",
    ("ramp", "float32", (ONE, TWO, 7)): "56953e0a0c1a09c8",
    ("ramp", "int8", (-3, 2, 40)): "c46265e4f6563bf3",
    ("uniform", "float32", (ZERO, TWO)): "aae5b96573b37d4f",
    ("uniform", "float16", (ZERO, TWO)): "91da37ddebd71e53",
    ("uniform", "bfloat16", (ZERO, TWO)): "6a18522c912f172a",
    ("uniform", "int64", (-(2**63), 2**63 - 1)): "b42c1bdd12d67b69",
    ("uniform", "uint8", (3, 9)): "36c3f5a6e3b4673e",
    ("normal", "float32", (ZERO, ONE)): "84a9b45973a1b9b1",
    ("normal", "float64", (ONE, TWO)): "b71d75093c5c8596",
    ("normal", "complex64", (ZERO, ONE)): "c2a354fd4f8bb1a8",
    ("among", "float32", (ZERO, ONE, NAN)): "1faa62cc01193cbc",
    ("among", "bool", (False, True)): "f6b98ef2c7b2a6ea",
    ("sorted", "float32", (ZERO, ONE, TWO)): "ee19ff85c8fbc99e",
    ("sparse", "float32", (8, ZERO, ONE, TWO)): "33c8a89426be9635",
}


@pytest.mark.parametrize("pinned", PINNED.items(), ids=lambda pinned: f"{pinned[0][0]} {pinned[0][1]}")
def test_a_filling_makes_the_same_bits_for_ever(pinned):
    (family, dtype, numbers), digest = pinned
    assert array_digest(fill(Filling(dtype, SHAPE, family, numbers, seed=17))) == digest


def test_every_family_is_pinned():
    assert {family for family, _, _ in PINNED} == set(FAMILIES)


@pytest.mark.parametrize("pinned", PINNED, ids=lambda pinned: f"{pinned[0]} {pinned[1]}")
def test_chunks_do_not_show(pinned):
    family, dtype, numbers = pinned
    if family == "sorted":
        numbers = numbers[:1]  # how long its runs are depends on the size
    shape = (3, CHUNK)
    whole, part = (fill(Filling(dtype, size, family, numbers, seed=5)) for size in (shape, (CHUNK + 7,)))
    assert whole.reshape(-1)[: CHUNK + 7].tobytes() == part.tobytes()


def test_values_are_what_the_family_says():
    def values(family, *numbers, dtype="float64", size=100_000):
        return np.array(fill(Filling(dtype, (size,), family, tuple(map(as_number, numbers)), seed=3)))

    assert values("ramp", 1.0, 0.5, 3, size=5).tolist() == [1, 1.5, 2, 1, 1.5]
    assert values("repeated", 1.0, 2.0, size=5).tolist() == [1, 2, 1, 2, 1]
    assert values("sorted", 1.0, 2.0, size=5).tolist() == [1, 1, 1, 2, 2]
    uniform = values("uniform", -1.0, 3.0)
    assert -1 <= uniform.min() < -0.99
    assert 2.99 < uniform.max() <= 3
    normal = values("normal", 5.0, 2.0)
    assert abs(normal.mean() - 5) < 0.05
    assert abs(normal.std() - 2) < 0.05
    sparse = values("sparse", 16, 0.0, 7.0)
    assert abs(np.count_nonzero(sparse) - 100_000 / 16) < 500
    assert set(values("uniform", 3, 5, dtype="int8").tolist()) == {3, 4, 5}
    assert set(values("among", 1.0, 4.0).tolist()) == {1.0, 4.0}


def test_a_filled_array_is_sent_in_few_bytes_and_whatever_is_made_of_it_as_itself():
    filling = Filling("float32", (64, 64), "normal", (ZERO, ONE), 3, (((1, 2), NAN),))
    array = fill(filling)
    for data, back in ((pickle.dumps(array), pickle.loads), (dumps({"x": array}), lambda d: loads(d)["x"])):
        assert len(data) < 500
        again = back(data)
        assert again.tobytes() == array.tobytes()
        assert again.filling == filling
    assert np.isnan(array[1, 2])
    for other in (array[:3], array + 1, array.reshape(-1), array.copy(), array.T):
        assert getattr(other, "filling", None) is None
        assert pickle.loads(pickle.dumps(other)).tobytes() == other.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_a_model_gets_a_tensor_of_its_own_of_a_filled_array():
    array = fill(Filling("float32", (4,), "constant", (ONE,)))
    (tensor,) = as_call((array,)).args
    tensor += 1
    assert array.tolist() == [1, 1, 1, 1]


def test_what_is_kept_of_a_finding_is_few_bytes_where_it_can_be():
    large = np.zeros((100, 100), np.float32)
    large[3, 4] = np.inf
    (kept,) = as_plain((large,))
    assert isinstance(kept, FilledArray)
    assert kept.tobytes() == large.tobytes()
    noise = np.random.default_rng(0).normal(size=(100, 100))
    assert as_plain((noise,))[0] is noise


def test_backgrounds_are_found_in_values():
    array = np.full((3, 50, 50), -0.0, np.float32)
    array.view(np.uint32)[1, 2, 3] = 0x7FC00001
    array[2, 0, 0] = 0.0
    found = found_filling(array, 16)
    assert found.numbers == ("-0x0p+0",)
    assert found.placed == (((1, 2, 3), "nan:7fc00001"), ((2, 0, 0), ZERO))
    assert fill(found).tobytes() == array.tobytes()
    assert found_filling(array, 1) is None
    assert found_filling(np.arange(300.0), 16) is None
    cycle = np.resize(np.array([1, 2, 3], np.int16), (7, 100))
    assert found_filling(cycle, 16).numbers == (1, 2, 3)
    cycle[6, 99] += 1
    assert found_filling(cycle, 16) is None
    assert differing(array, np.float32(-0.0), 5).tolist() == [2500 + 103, 5000]
    assert differing(array, np.float32(-0.0), 1) is None


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "complex64", "complex128", "uint64", "bool", "int8"]
)
def test_backgrounds_are_found_in_every_dtype(dtype):
    array = np.zeros((20, 30), np.dtype(dtype))
    array[4, 5] = 1
    found = found_filling(array, 16)
    assert fill(found).tobytes() == array.tobytes()
    assert len(found.placed) == 1


def test_large_arrays_read_as_what_they_hold():
    image = np.zeros((1, 3, 224, 224), np.float32)
    assert described(image) == "zeros float32[1, 3, 224, 224]"
    image[0, 2, 17, 4] = np.nan
    assert described(image) == "zeros float32[1, 3, 224, 224] but [0, 2, 17, 4] = nan"
    assert reads(image) == "zeros but [0, 2, 17, 4] = nan"
    assert described(np.ones((9, 9), np.int64)) == "ones int64[9, 9]"
    assert described(np.full((9, 9), 3.5)) == "full of 3.5 float64[9, 9]"
    assert described(np.full((9, 9), -0.0)) == "full of -0 float64[9, 9]"
    normal = Filling("float32", (64, 64), "normal", (ZERO, ONE), 17, (((0, 1), "inf"),))
    assert described(fill(normal)) == "normal(mean 0, deviation 1, seed 17) float32[64, 64] but [0, 1] = inf"
    assert described(np.array(fill(normal))).startswith("values from -3.")
    assert ", 1 infinite at [0, 1], sha256 " in described(np.array(fill(normal)))
    assert described(np.arange(200) % 2 == 0) == "repeated(true, false) bool[200]"
    assert "..." not in described(np.arange(100))


def test_medium_arrays_read_as_values_where_those_are_short():
    assert reads(np.zeros((2, 3))) == "[[0, 0, 0], [0, 0, 0]]"
    assert reads(np.zeros(64)).count("0") == 64
    long = np.full((6, 6), 0.123456789)
    long[5, 5] = 2
    assert reads(long) == "full of 0.123456789 but [5, 5] = 2"


@pytest.mark.parametrize(
    ("family", "numbers", "said"),
    [
        ("normally", (ZERO,), "unknown family"),
        ("uniform", (ZERO,), "uniform has 2 numbers, not 1"),
        ("constant", (ZERO, ONE), "constant has one number"),
        ("constant", (), "numbers, not 0"),
        ("repeated", (ZERO,) * 300, "numbers, not 300"),
        ("ramp", (ZERO, ONE, 0), "counts no elements"),
        ("ramp", (ZERO, ONE, ONE), "counts no elements"),
        ("sparse", (True, ZERO, ONE), "counts no elements"),
        ("sparse", (2, ZERO), "sparse has 3 numbers"),
        ("constant", (1.5,), "hexadecimal"),
    ],
)
def test_what_does_not_fit_together_fills_nothing(family, numbers, said):
    with pytest.raises(ValueError, match=said):
        fill(Filling("float32", (2, 3), family, numbers))


def test_an_element_that_is_not_there_is_not_placed():
    for index in ((0, 3), (-1, 0), (0,)):
        with pytest.raises(ValueError, match="there is no element"):
            fill(Filling("float32", (2, 3), "constant", (ZERO,), 0, ((index, ONE),)))
    with pytest.raises(ValueError, match="64 bits"):
        fill(Filling("float32", (2, 3), "among", (ZERO,), -1))


def test_numbers_are_of_the_type_that_is_computed_with():
    assert decoded_numbers(Filling("complex64", (2,), "uniform", (ZERO, ONE)))[1].dtype == np.float64
    assert decoded_numbers(Filling("complex64", (2,), "constant", ((ZERO, ONE),))) == [1j]


def test_an_empty_tensor_differs_from_no_value_anywhere():
    assert differing(np.zeros((2, 0), np.float32), np.float32(1), 5).tolist() == []
