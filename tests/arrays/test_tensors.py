import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport.arrays.array_readings import reads
from diffexport.arrays.number_texts import encode_number, shorten_hex
from diffexport.arrays.tensor_texts import decode_array, encode_array
from diffexport.errors import RegressionFileError

FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64")
DTYPES = (*FLOATS, "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def of_bits(bits, dtype):
    return np.array([bits], f"u{np.dtype(dtype).itemsize}").view(dtype)


@st.composite
def arrays(draw):
    """Arrays of any bits, of rank 0 to 3, and views of them that are not contiguous."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    bits = 1 if dtype == np.bool_ else dtype.itemsize * 8
    # Among them the least subnormal, -0, and for half precision, bfloat16 and a real part a signalling NaN.
    odd = [1, 2 ** (bits - 1), 0x7D00, 0x7FA0, 0x7FA00000]
    element = st.integers(0, 2**bits - 1) | st.sampled_from([number % 2**bits for number in odd])
    count = int(np.prod(shape))
    elements = draw(st.lists(element, min_size=count, max_size=count))
    array = np.array(elements, f"u{dtype.itemsize}").view(dtype).reshape(shape)
    array = np.transpose(array, draw(st.permutations(range(array.ndim))))
    if array.ndim and draw(st.booleans()):
        array = array[..., :: draw(st.integers(1, 2))]
    if draw(st.booleans()):
        array = np.broadcast_to(array, (draw(st.integers(0, 3)), *array.shape))
    return array


def same(one, other):
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(arrays())
@settings(database=None, max_examples=300, deadline=None)
def test_round_trip_through_json_is_exact_to_the_bit_and_keeps_the_strides(array):
    text = json.dumps(encode_array(array), allow_nan=False)
    back = decode_array(json.loads(text))
    assert same(back, array)
    if array.size:
        assert back.strides == array.strides


@given(arrays())
@settings(database=None, deadline=None)
def test_values_may_come_from_a_side_file(array):
    document = encode_array(array, with_values=False)
    assert "values" not in document
    back = decode_array(json.loads(json.dumps(document)), values=np.ascontiguousarray(array).reshape(-1))
    assert same(back, array)


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (
            np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan], "float32"),
            ["0x0p+0", "-0x0p+0", "0x1.8p+0", "-0x1p+1", "inf", "-inf", "nan"],
        ),
        (np.array([0.1, 5e-324], "float64"), ["0x1.999999999999ap-4", "0x0.0000000000001p-1022"]),
        (np.array([2.0**-149], "float32"), ["0x1p-149"]),
        (np.array([65504, 2.0**-24], "float16"), ["0x1.ffcp+15", "0x1p-24"]),
        (np.array([0.1, np.inf, -0.0, 2.0**-133], "bfloat16"), ["0x1.9ap-4", "inf", "-0x0p+0", "0x1p-133"]),
        (of_bits(0x7FC0, "bfloat16"), ["nan"]),
        (of_bits(0xFFA1, "bfloat16"), ["nan:ffa1"]),
        (np.array([complex(1.5, -0.0)], "complex64"), [["0x1.8p+0", "-0x0p+0"]]),
        (of_bits(0x7FA00000_7F800000, "complex64"), [["inf", "nan:7fa00000"]]),
        (np.array(1j), [["0x0p+0", "0x1p+0"]]),
        (np.array([2**64 - 1], "uint64"), [18446744073709551615]),
        (of_bits(0x7FC00001, "float32"), ["nan:7fc00001"]),
        (of_bits(0xFFC00000, "float32"), ["nan:ffc00000"]),
        (of_bits(0x7FA00000, "float32"), ["nan:7fa00000"]),
        (of_bits(0x7E00, "float16"), ["nan"]),
        (of_bits(0xFFF8000000000000, "float64"), ["nan:fff8000000000000"]),
        (np.array([2**63 - 1, -(2**63)]), [9223372036854775807, -9223372036854775808]),
        (np.array([True, False]), [True, False]),
        (np.array([], "int8"), []),
        (np.array(7, "uint8"), [7]),
    ],
)
def test_written_values(array, values):
    document = encode_array(array)
    assert document["values"] == values
    assert [type(value) for value in document["values"]] == [type(value) for value in values]
    assert same(decode_array(document), array)


def test_written_layout():
    base = np.arange(12, dtype="float32").reshape(3, 4)
    document = encode_array(base[:, ::2].T)
    assert document["dtype"] == "float32"
    assert (document["shape"], document["strides"]) == ([2, 3], [2, 4])
    assert [float.fromhex(value) for value in document["values"]] == [0, 4, 8, 2, 6, 10]
    expanded = encode_array(np.broadcast_to(np.float32(3), (2, 2)))
    assert (expanded["strides"], expanded["values"]) == ([0, 0], ["0x1.8p+1"] * 4)


def test_a_column_of_a_large_matrix_reads_back():
    column = np.arange(10_000, dtype="float32").reshape(10, 1000)[:, 0]
    back = decode_array(encode_array(column))
    assert back.tolist() == [0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000]


def test_expanded_elements_share_storage():
    back = decode_array({"dtype": "int8", "shape": [3], "strides": [0], "values": [5, 5, 5]})
    back[0] = 6
    assert back.tolist() == [6, 6, 6]


GOOD = {"dtype": "float32", "shape": [2], "strides": [1], "values": ["0x1p+0", "nan"]}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"dtype": "float31"}, "dtype"),
        ({"dtype": None}, "dtype"),
        ({"dtype": "object"}, "object"),
        ({"dtype": "S4"}, "S4"),
        ({"dtype": "float32,int8"}, "float32,int8"),
        ({"shape": None}, "shape"),
        ({"shape": ["x"]}, "shape"),
        ({"shape": [-2]}, "[-2]"),
        ({"shape": [3]}, "needs 3 values, there are 2"),
        ({"shape": [2, 1]}, "do not go together"),
        ({"shape": [0, 10**30], "strides": [1, 1], "values": []}, "shape"),
        (
            {"dtype": "bfloat16", "values": ["0x1.01p+0", "nan"]},
            "value 0 is '0x1.01p+0': not a bfloat16 value",
        ),
        ({"dtype": "complex64"}, "value 0 is '0x1p+0': expected a list of a real and an imaginary part"),
        ({"dtype": "complex64", "values": [["nan", "nan"], ["nan"]]}, "value 1 is ['nan']: expected a list"),
        (
            {"dtype": "complex64", "values": [["nan", "nan"], ["nan", 1]]},
            "value 1 is ['nan', 1]: expected a hex",
        ),
        ({"dtype": "complex64", "values": [["nan:1", "nan"], []]}, "not the bits of a NaN"),
        ({"strides": [-1]}, "negative"),
        ({"strides": [10**12]}, "span"),
        ({"strides": [0]}, "share storage"),
        ({"values": None}, "values"),
        ({"values": "0x1p0"}, "values"),
        ({"values": ["0x1p+0", 1.5]}, "value 1 is 1.5"),
        ({"values": ["0x1p+0", True]}, "value 1 is True"),
        ({"values": ["0x1p+0", "x"]}, "value 1 is 'x'"),
        ({"values": ["0x1p+200", "nan"]}, "value 0 is '0x1p+200': not a float32 value"),
        ({"values": ["0x1.0000001p+0", "nan"]}, "not a float32 value"),
        ({"values": ["nan:1ffffffff", "nan"]}, "value 0 is 'nan:1ffffffff'"),
        ({"values": ["nan:xyz", "nan"]}, "value 0 is 'nan:xyz'"),
        ({"dtype": "int8", "values": [1, 128]}, "value 1 is 128"),
        ({"dtype": "uint8", "values": [-1, 1]}, "value 0 is -1"),
        ({"dtype": "int8", "values": [1, True]}, "value 1 is True"),
        ({"dtype": "int8", "values": [1, "0x1p+0"]}, "value 1 is '0x1p+0'"),
        ({"dtype": "bool", "values": [True, 1]}, "value 1 is 1"),
    ],
)
def test_nonsense_is_refused_naming_what_is_wrong(changes, part):
    assert decode_array(GOOD).shape == (2,)
    with pytest.raises(RegressionFileError) as caught:
        decode_array({**GOOD, **changes})
    assert part in str(caught.value)


@pytest.mark.parametrize("key", ["dtype", "shape", "strides", "values"])
def test_every_field_but_reads_is_needed(key):
    with pytest.raises(RegressionFileError, match=key):
        decode_array({k: v for k, v in GOOD.items() if k != key})


# Read as hexadecimal the first two would silently be 1.3125 and 16; the last is no NaN but 1.
@pytest.mark.parametrize("text", ["1.5", "10", "nan:3f800000"])
def test_text_that_means_another_number_than_it_says_is_refused(text):
    with pytest.raises(RegressionFileError, match="value 0"):
        decode_array({**GOOD, "values": [text, "nan"]})


@pytest.mark.parametrize("values", [np.zeros(3, "float32"), np.zeros(2, "float64")])
def test_a_side_file_that_does_not_fit_is_refused(values):
    with pytest.raises(RegressionFileError):
        decode_array(GOOD, values=values)


def test_numbers_of_python_are_taken_too():
    assert [encode_number(v) for v in (True, 3, -0.5, float("nan"))] == [True, 3, "-0x1p-1", "nan"]


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("0x1.8000000000000p+1", "0x1.8p+1"),
        ("-0x1.0000000000000p-3", "-0x1p-3"),
        ("0x0.0p+0", "0x0p+0"),
        ("0x1.0000000000001p+10", "0x1.0000000000001p+10"),
    ],
)
def test_shorten_hex(long, short):
    assert shorten_hex(long) == short


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([np.nan, 1, -0.0, 0.1, -np.inf], "float32"), "[nan, 1, -0, 0.1, -inf]"),
        (np.array([[1.5], [2]], "float16"), "[[1.5], [2]]"),
        (
            np.array([np.nan, 1, -0.0, 0.1, -np.inf, 1e10], "bfloat16"),
            "[nan, 1, -0, 0.100098, -inf, 9.99922e+09]",
        ),
        (
            np.array([1 + 2j, complex(-0.0, -0.0), complex(0.1, np.nan)], "complex64"),
            "[1+2j, -0-0j, 0.1+nanj]",
        ),
        (np.array(complex(np.inf, -0.5)), "inf-0.5j"),
        (np.array([True, False]), "[true, false]"),
        (np.array(3), "3"),
        (np.array([1e10, 1e-45], "float32"), "[1e+10, 1e-45]"),
        (np.zeros((2, 0)), "[]"),
    ],
)
def test_what_a_person_reads(array, text):
    assert reads(array) == text


def test_what_a_person_reads_is_cut():
    text = reads(np.arange(10_000.0))
    assert text.startswith("values from 0 to 9999, sha256 ")
    assert len(text) < 200
    long = reads(np.arange(60.0) / 7)
    # Of so few, the one that matters is always there.
    assert long.startswith("[0, 0.14285714285714285, ")
    assert long.endswith(", 8.285714285714286, 8.428571428571429]")
    odd = np.arange(10_000.0).reshape(100, 100)
    odd[3, 4], odd[5, 6] = np.nan, np.inf
    assert reads(odd).startswith("values from 0 to 9999, 1 nan at [3, 4], 1 infinite at [5, 6], sha256 ")
    odd[10:20] = np.nan
    assert ", 1001 nan, 1 infinite at [5, 6], sha256 " in reads(odd)
