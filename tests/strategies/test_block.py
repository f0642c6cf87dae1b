import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.strategies import FLAVOURS, decode_block, examples, ordinary
from diffexport.strategies.block import ARRANGEMENTS, CODED, block_bytes
from diffexport.strategies.tables import PLAIN, SEPARATORS, classes, table
from diffexport.values import DTYPES, TensorSpec, parse_specs

FLOAT = parse_specs(["float32[...]"])
NAN = classes("float32")["nan"][0]


def separator(name):
    """The first separator of an arrangement."""
    code = SEPARATORS
    for arrangement, width in ARRANGEMENTS:
        if arrangement == name:
            return code
        code += width
    raise AssertionError(name)


def one(data, shape=(3,), specs=FLOAT, **how):
    (sample,) = decode_block(bytes(data), [shape] * len(specs), specs, **how)
    return sample[0].tolist()


def test_no_bytes_are_one_sample_of_zeros():
    assert one([]) == [0, 0, 0]
    assert one([], shape=()) == 0


def test_the_first_byte_is_the_last_element():
    assert one([3, 2, 1]) == [1, 2, 3]
    assert one([NAN])[:2] == [0, 0]
    assert np.isnan(one([NAN])[2])


def test_a_separator_begins_a_sample():
    data = [1, 2, 3, separator("literal"), 4, 5, 6]
    assert [s[0].tolist() for s in decode_block(bytes(data), [(3,)], FLOAT)] == [[3, 2, 1], [6, 5, 4]]


def test_a_sample_reads_through_separators_which_are_zeros_there():
    data = [1, separator("literal"), 3, 4, 5]
    assert [s[0].tolist() for s in decode_block(bytes(data), [(3,)], FLOAT)] == [[3, 0, 1], [5, 4, 3]]


def test_a_leading_separator_makes_no_empty_sample():
    data = [separator("sorted"), 1, 5, 3]
    assert [s[0].tolist() for s in decode_block(bytes(data), [(3,)], FLOAT)] == [[1, 3, 5]]


def test_samples_that_the_bytes_do_not_fill_are_dropped_but_the_first():
    data = [1, 2, 3, separator("literal"), 4]
    assert len(decode_block(bytes(data), [(3,)], FLOAT)) == 1


def test_empty_tensors_make_one_sample():
    data = bytes([separator("literal")] * 20)
    assert [s[0].shape for s in decode_block(data, [(0, 3)], FLOAT)] == [(0, 3)]


@pytest.mark.parametrize(
    ("arrangement", "data", "expected"),
    [
        ("constant", [7, 1, 2], [7, 7, 7]),
        ("sorted", [1, 9, 4], [1, 4, 9]),
        ("plain", [1, PLAIN + 2, 3], [3, 2, 1]),
        ("tied", [3, 5, 6], [6, 6, 6]),
        ("tied", [4, 5, 6], [6, 5, 6]),
    ],
)
def test_arrangements(arrangement, data, expected):
    assert one([separator(arrangement), *data]) == expected


def test_one_odd_element_among_plain_ones():
    places = set()
    for second in range(16):
        values = one([separator("one-odd"), NAN, second, 3, 1], shape=(4,))
        odd = [n for n, value in enumerate(values) if not np.isfinite(value) or abs(value) > 16]
        assert len(odd) <= 1
        places.update(odd)
    assert places == {0, 1, 2, 3}


@functools.cache
def random_block(dtype="float32", size=9, seed=20240229):
    data = np.random.default_rng(seed).bytes(block_bytes(400))
    return [sample[0] for sample in decode_block(data, [(size,)], [TensorSpec(dtype)], variant=3)]


def test_random_bytes_hold_about_as_many_samples_as_wanted():
    assert 300 <= len(random_block()) <= 500


@pytest.mark.parametrize(
    ("name", "test", "least"),
    [
        ("all plain", lambda a: np.isfinite(a).all() and np.abs(a).max() <= 16, 0.15),
        ("nan", lambda a: np.isnan(a).any(), 0.07),
        ("inf", lambda a: np.isinf(a).any(), 0.10),
        ("one odd", lambda a: (~np.isfinite(a)).sum() == 1, 0.10),
        ("tied", lambda a: len(np.unique(a)) <= 3, 0.04),
        ("constant", lambda a: len(np.unique(a)) == 1, 0.02),
        ("sorted", lambda a: (np.diff(a) >= 0).all(), 0.05),
        ("distinct", lambda a: len(np.unique(a)) == len(a), 0.10),
        ("-0", lambda a: ((a == 0) & np.signbit(a)).any(), 0.05),
    ],
)
def test_share_of_samples(name, test, least):
    with np.errstate(all="ignore"):
        share = np.mean([bool(test(array)) for array in random_block()])
    assert share >= least, (name, share)


def test_inputs_take_their_bytes_in_turns_from_the_end():
    specs = parse_specs(["float32[2]", "int64[3]"])
    ((first, second),) = decode_block(bytes([1, 2, 3, 4, 5]), [(2,), (3,)], specs)
    assert (first.tolist(), second.tolist()) == ([3, 1], [5, 4, 2])


def test_capped_codes():
    assert one([3, 9, NAN], cap=5) == [5, 5, 3]


def test_complex_numbers_have_two_bytes_the_imaginary_part_first():
    ((array,),) = decode_block(bytes([4, 3, 2, 1]), [(2,)], parse_specs(["complex64[2]"]))
    assert array.tolist() == [1 + 2j, 3 + 4j]


def test_large_tensors_repeat_what_has_a_byte_of_its_own():
    ((array,),) = decode_block(bytes(range(1, CODED + 1)), [(10, 10)], FLOAT)
    flat = array.reshape(-1)[::-1]
    assert flat[:CODED].tolist() == table("float32")[1 : CODED + 1].tolist()
    assert flat[CODED:].tolist() == flat[: 100 - CODED].tolist()


def test_samples_own_their_memory():
    data = np.random.default_rng(0).bytes(200)
    for (array,) in decode_block(data, [(2, 2)], FLOAT):
        assert array.base is None
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_the_limit_holds():
    data = np.random.default_rng(0).bytes(400)
    assert len(decode_block(data, [(2,)], FLOAT, limit=5)) == 5
    with pytest.raises(InvalidArgument, match="limit=0"):
        decode_block(data, [(2,)], FLOAT, limit=0)


def test_bounds_of_a_spec_hold():
    data = np.random.default_rng(1).bytes(400)
    for (array,) in decode_block(data, [(7,)], parse_specs(["int64[...] in -3..4"]), variant=9):
        assert array.min() >= -3
        assert array.max() <= 4


@given(
    st.binary(max_size=120),
    st.lists(
        st.tuples(st.lists(st.integers(0, 4), max_size=3).map(tuple), st.sampled_from(DTYPES)),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(FLAVOURS),
)
@settings(database=None, deadline=None)
def test_any_bytes_give_arrays_of_the_shapes_and_dtypes(data, wanted, flavour):
    shapes = [shape for shape, _ in wanted]
    specs = [TensorSpec(dtype) for _, dtype in wanted]
    for arrays in (*decode_block(data, shapes, specs), examples(shapes, specs, flavour)):
        assert [(array.shape, array.dtype.name) for array in arrays] == wanted


def test_ordinary_examples_are_finite_and_differ_between_arguments():
    first, second = ordinary([(2, 3), (2, 3)], ["float32", "float32"])
    assert np.isfinite(first).all()
    assert len(np.unique(first)) == 6
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("flavour", "test"),
    [
        ("zeros", lambda a: not a.any()),
        ("ones", lambda a: (a == 1).all()),
        ("negative", lambda a: (a < 0).all()),
        ("extreme", lambda a: np.isnan(a).any() and np.isinf(a).any()),
    ],
)
def test_flavours_of_examples(flavour, test):
    (array,) = examples([(3, 4)], FLOAT, flavour)
    assert test(array)


def test_examples_keep_to_the_bounds():
    (array,) = examples([(3, 4)], parse_specs(["int64[...] in 2..5"]))
    assert (array.min(), array.max()) == (2, 5)


def test_an_unknown_flavour_is_rejected():
    with pytest.raises(InvalidArgument, match=r"flavour='zeroes'.*did you mean 'zeros'"):
        examples([(1,)], FLOAT, "zeroes")


def test_the_odd_element_is_odd_from_the_middle_of_the_plain_codes_on():
    values = one([separator("one-odd"), PLAIN // 2, 0, 0], shape=(3,))
    odd = table("float32")[PLAIN + PLAIN // 2]
    assert values == [0, 0, odd]


def test_a_separator_within_a_plain_sample_is_zero():
    data = [separator("plain"), 1, separator("literal"), 3]
    assert one(data) == [3, 0, 1]
