import functools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport.errors import UsageError
from diffexport.spec import DTYPES
from diffexport.strategies import decode, ordinary
from diffexport.strategies.values import SAMPLE_BYTES, table

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
REAL = tuple(dtype for dtype in DTYPES if dtype != "complex64")
# First byte of a sample: literal below 112, plain below 176, one special below 216, tied below 240, sorted.
PLAIN, ONE_SPECIAL, TIED, SORTED = range(112, 176), range(176, 216), range(216, 240), range(240, 256)


def sample(*codes, pattern=0, place=0):
    """The bytes of a sample whose elements have these codes, the others 0."""
    data = bytes([pattern, place]) + b"".join(code.to_bytes(2, "big") for code in codes)
    return data + bytes(SAMPLE_BYTES - len(data))


@functools.cache
def random_samples(dtype="float32", size=12, patterns=range(256), count=2000):
    random = np.random.default_rng(20240229)
    patterns = random.choice(patterns, count)
    return [
        decode(bytes([pattern]) + random.bytes(SAMPLE_BYTES - 1), [(size,)], [dtype])[0]
        for pattern in patterns
    ]


def reach(test, **options):
    """In how many of the samples some element passes."""
    with np.errstate(all="ignore"):
        return sum(bool(np.any(test(array))) for array in random_samples(**options))


@pytest.mark.parametrize("dtype", REAL)
def test_code_zero_is_zero_and_the_first_codes_count_up(dtype):
    (array,) = decode(bytes(SAMPLE_BYTES), [(3, 4)], [dtype])
    assert array.dtype == dtype
    assert array.tobytes() == bytes(array.nbytes)
    assert array.shape == (3, 4)
    if dtype != "bool":
        assert decode(sample(*range(16)), [(16,)], [dtype])[0].tolist() == list(range(16))


@pytest.mark.parametrize("dtype", REAL)
def test_table_has_a_value_of_the_dtype_for_every_code_and_cannot_be_written(dtype):
    values, classes = table(dtype)
    assert (values.dtype, values.shape) == (np.dtype(dtype), (65536,))
    assert [high for width in classes.values() for high in width] == list(range(256))
    assert not values.flags.writeable


@pytest.mark.parametrize("dtype", FLOATS)
def test_values_near_zero_are_not_zero(dtype):
    values, classes = table(dtype)
    assert (values.reshape(256, 256)[list(classes["near-zero"])] != 0).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_simpler_values_of_floats_come_first(dtype):
    values = table(dtype)[0].astype("float64")
    info = ml_dtypes.finfo(dtype)
    largest, normal = float(info.max), float(info.smallest_normal)
    magnitude = np.abs(values)
    with np.errstate(invalid="ignore"):
        classes = [
            (values > 0) & (values % 1 == 0),
            values < 0,
            values % 1 == 0.5,
            (values % 0.5 != 0) & np.isfinite(values),
            (magnitude > 20) & (magnitude < 111),
            (magnitude > 200) & np.isfinite(values),
            (magnitude > 0) & (magnitude < 0.9e-4),
            values == np.inf,
            values == -np.inf,
            np.isnan(values),
            (values == 0) & np.signbit(values),
            magnitude == largest,
            magnitude == normal,
            (magnitude > 0) & (magnitude < normal),
        ]
    firsts = [int(np.argmax(mask)) for mask in classes]
    assert all(mask.any() for mask in classes)
    assert firsts[:11] == sorted(firsts[:11])
    # Powers of two may happen upon an extreme number earlier.
    assert min(firsts[11:]) > firsts[4]


@pytest.mark.parametrize("dtype", INTS)
def test_simpler_values_of_integers_come_first(dtype):
    values, info = table(dtype)[0], np.iinfo(dtype)
    assert values[:16].tolist() == list(range(16))
    # 170 of the 256 high bytes stay below 32 in magnitude, and the extremes come last.
    assert np.abs(values[: 170 * 256].astype("int64")).max() < 32
    assert {int(value) for value in values[-4:]} == {info.min, info.min + 1, info.max - 1, info.max}


def test_bfloat16_has_its_own_limits():
    values, classes = table("bfloat16")
    rows = values.reshape(256, 256).astype("float64")
    assert np.abs(rows[list(classes["largest"])]).max() == 2.0**127 * (2 - 2**-7)
    assert np.abs(rows[list(classes["smallest-normal"])]).max() == 2.0**-126
    subnormal = np.abs(rows[list(classes["subnormal"])])
    assert (subnormal.min(), subnormal.max()) == (2.0**-133, 2.0**-127)
    assert {1 - 2**-8, 1 + 2**-7} <= set(rows[list(classes["near-one"])].reshape(-1).tolist())


def test_a_complex_element_has_a_code_for_each_part():
    (array,) = decode(sample(1, 2, 3, 4), [(2,)], ["complex64"])
    assert array.tolist() == [1 + 2j, 3 + 4j]
    assert table("complex64")[0].tobytes() == table("float32")[0].tobytes()
    after = decode(sample(1, 2, 3), [(), ()], ["complex64", "float32"])[1]
    assert after == 3
    assert decode(bytes(SAMPLE_BYTES), [(3,)], ["complex64"])[0].tobytes() == bytes(24)


@pytest.mark.parametrize("test", [np.isnan, np.isinf, lambda a: a == 0])
@pytest.mark.parametrize("part", [np.real, np.imag])
def test_both_parts_of_complex_numbers_are_special(part, test):
    assert reach(lambda a: test(part(a)), dtype="complex64") >= 200


def test_ordinary_complex_inputs_have_distinct_parts():
    (array,) = ordinary([(4,)], ["complex64"])
    assert (array.real != array.imag).all()
    assert (array != 0).all()


def test_false_comes_before_true():
    assert table("bool")[0].tolist() == [False] * 32768 + [True] * 32768


@pytest.mark.parametrize(
    ("name", "test", "least"),
    [
        ("nan", np.isnan, 200),
        ("inf", lambda a: a == np.inf, 200),
        ("-inf", lambda a: a == -np.inf, 150),
        ("0", lambda a: (a == 0) & ~np.signbit(a), 200),
        ("-0", lambda a: (a == 0) & np.signbit(a), 100),
        ("subnormal", lambda a: (a != 0) & (abs(a) < 2.0**-126), 50),
        ("smallest subnormal", lambda a: abs(a) == 2.0**-149, 2),
        ("largest", lambda a: a == np.finfo("float32").max, 20),
        ("smallest normal", lambda a: abs(a) == 2.0**-126, 20),
        ("large power of two", lambda a: (abs(a) > 16) & (np.frexp(a)[0] == 0.5) & np.isfinite(a), 100),
        ("small power of two", lambda a: (abs(a) < 0.01) & (np.abs(np.frexp(a)[0]) == 0.5), 100),
        ("half", lambda a: a % 1 == 0.5, 300),
        ("2**24", lambda a: abs(a) == 2**24, 5),
        ("2**24 - 1", lambda a: abs(a) == 2**24 - 1, 2),
        ("2**31", lambda a: abs(a) == 2.0**31, 5),
        ("80 to 110", lambda a: (abs(a) >= 80) & (abs(a) <= 110), 100),
        ("near zero", lambda a: (abs(a) > 1e-10) & (abs(a) < 1e-3), 200),
        ("near one", lambda a: (a != 1) & (abs(a - 1) < 1e-6), 50),
        ("negative integer", lambda a: (a < 0) & (a % 1 == 0) & (a >= -16), 500),
    ],
)
def test_every_class_of_floats_is_reached(name, test, least):
    assert reach(test) >= least, name


@pytest.mark.parametrize("neighbour", [2**24 - 1, 2**24 + 1, 2**31 - 1, 2**31 + 1, 2**53 - 1])
def test_neighbours_of_large_powers_of_two_are_reached_in_float64(neighbour):
    assert reach(lambda a: abs(a) == neighbour, dtype="float64") >= 2


def test_the_float32_just_below_two_to_the_31_is_reached():
    assert reach(lambda a: abs(a) == 2**31 - 128) >= 1


@pytest.mark.parametrize("dtype", INTS)
def test_every_class_of_integers_is_reached(dtype):
    info = np.iinfo(dtype)
    for value in (0, 1, info.min, info.max, 32, 31):
        assert reach(lambda a, value=value: a == value, dtype=dtype) >= 5
    assert reach(lambda a: a < 0, dtype=dtype) >= (500 if info.min < 0 else 0)


def test_one_special_among_plain_values_is_not_always_first():
    places = set()
    for array in random_samples(size=5, patterns=ONE_SPECIAL, count=500):
        odd = np.flatnonzero(~np.isfinite(array))
        assert len(odd) <= 1
        if len(odd):
            assert np.abs(np.delete(array, odd)).max() <= 16
            places.add(int(odd[0]))
    assert places == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("patterns", [PLAIN, TIED, SORTED])
def test_plain_values_are_ordinary(patterns):
    for array in random_samples(size=9, patterns=patterns, count=300):
        assert np.isfinite(array).all()
        assert np.abs(array).max() <= 16


def test_tied_samples_have_up_to_three_values():
    distinct = [len(np.unique(array)) for array in random_samples(size=9, patterns=TIED, count=300)]
    assert set(distinct) == {1, 2, 3}
    assert decode(sample(1, 2, 3, 4, pattern=216, place=1), [(5,)], ["float32"])[0].tolist() == [
        1,
        2,
        1,
        2,
        1,
    ]


def test_sorted_samples_ascend():
    assert all((np.diff(array) >= 0).all() for array in random_samples(size=9, patterns=SORTED, count=300))
    assert decode(sample(3, 1, 2, pattern=255), [(3,)], ["int8"])[0].tolist() == [1, 2, 3]


def test_inputs_take_their_codes_one_after_the_other_and_large_tensors_repeat_them():
    first, second = decode(sample(1, 2, 3, 4, 5), [(2,), (3,)], ["float32", "int64"])
    assert (first.tolist(), second.tolist()) == ([1, 2], [3, 4, 5])
    (large,) = decode(sample(*[7] * 32), [(9, 9)], ["float32"])
    assert large.tolist() == [[7] * 9] * 9


@given(
    st.binary(min_size=SAMPLE_BYTES, max_size=SAMPLE_BYTES),
    st.lists(
        st.tuples(st.lists(st.integers(0, 4), max_size=3).map(tuple), st.sampled_from(DTYPES)), max_size=3
    ),
)
@settings(database=None, deadline=None)
def test_any_bytes_give_arrays_of_the_shapes_and_dtypes(data, wanted):
    shapes, dtypes = [shape for shape, _ in wanted], [dtype for _, dtype in wanted]
    for arrays in (decode(data, shapes, dtypes), ordinary(shapes, dtypes)):
        assert [(array.shape, array.dtype.name) for array in arrays] == wanted


def test_ordinary_inputs_are_finite_and_differ_between_arguments():
    one, other = ordinary([(2, 3), (2, 3)], ["float32", "float32"])
    assert np.isfinite(one).all()
    assert len(np.unique(one)) == 6
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("make", [table, lambda dtype: decode(bytes(SAMPLE_BYTES), [(1,)], [dtype])])
@pytest.mark.parametrize(
    ("dtype", "part"), [("float31", "did you mean 'float32'"), ("complex32", "did you mean 'complex64'")]
)
def test_unknown_dtypes_are_rejected(make, dtype, part):
    with pytest.raises(UsageError, match=part) as caught:
        make(dtype)
    assert repr(dtype) in str(caught.value)
