import importlib
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from diffexport.oracle.comparison import compare, same_bits, show, suspects, value_class
from diffexport.strategies import table
from diffexport.values.place import Place
from diffexport.values.verdict import Kind, Stage

NAN, INF = np.nan, np.inf


def f32(*values):
    return np.array(values, "float32")


def one(eager, got):
    """The only divergence, as (kind, where, signature, element)."""
    found = compare([eager], [got])
    assert len(found) == 1
    assert found[0].stage is Stage.COMPARE
    return found[0].kind.value, found[0].where, found[0].signature, found[0].element


@pytest.mark.parametrize(
    "array",
    [
        f32(1, -0.0, NAN, INF, -INF),
        np.array(NAN),
        np.zeros((0, 3)),
        np.array([True, False]),
        np.array([2**63 - 1]),
        np.array([1 + 2j, complex(NAN, -0.0)], "complex64"),
    ],
)
def test_the_same_agrees(array):
    assert compare([array], [array.copy()]) == []
    # NaNs agree whatever their bits, and keep the comparison from ending at identical bits.
    other_nan = np.array([0xFFC00001], np.uint32).view("float32")
    assert same_bits([array], [array.copy()])
    assert not same_bits([f32(NAN), array], [other_nan, array.copy()])
    assert compare([f32(NAN), array], [other_nan, array.copy()]) == []


@pytest.mark.parametrize(("eager", "got"), [(1, 2), (2, 1), (0, 1), (1, 0)])
def test_number_of_outputs(eager, got):
    (found,) = compare([f32(1)] * eager, [f32(1)] * got)
    assert (found.kind, found.where, found.signature) == (Kind.STRUCTURE, "outputs", "number of outputs")
    assert f"eager returns {eager} outputs, the exported model {got}" in found.message


def test_order_of_outputs():
    a, b, c = f32(1, 2), f32(3, NAN), np.array([1, 2])
    for got in ([b, a, c], [c, a, b], [c, b, a]):
        (found,) = compare([a, b, c], got)
        assert (found.kind, found.where, found.signature) == (Kind.STRUCTURE, "outputs", "order of outputs")


def test_outputs_that_only_partly_occur_elsewhere_are_not_an_order():
    found = compare([f32(1), f32(2)], [f32(2), f32(3)])
    assert [(d.kind, d.where) for d in found] == [(Kind.VALUE, "output[0]"), (Kind.VALUE, "output[1]")]
    # Each of the exported outputs may stand for one of eager's only.
    found = compare([f32(1), f32(2), f32(2)], [f32(2), f32(1), f32(1)])
    assert [d.where for d in found] == ["output[0]", "output[1]", "output[2]"]


@pytest.mark.parametrize(
    ("eager", "got", "signature"),
    [
        (f32(1), np.array([1.0]), "float32→float64"),
        (np.array([True]), np.array([1], "uint8"), "bool→uint8"),
        (np.zeros((0,), "float32"), np.zeros((0,), "float16"), "float32→float16"),
    ],
)
def test_dtype_in_both_directions(eager, got, signature):
    assert one(eager, got) == ("dtype", "output[0]", signature, None)
    back = "→".join(reversed(signature.split("→")))
    assert one(got, eager) == ("dtype", "output[0]", back, None)


@pytest.mark.parametrize(
    ("eager", "got", "signature"),
    [((2,), (3,), "size"), ((), (1,), "rank"), ((0, 3), (3, 0), "size"), ((0,), (0, 1), "rank")],
)
def test_shape_in_both_directions(eager, got, signature):
    assert one(np.zeros(eager), np.zeros(got)) == ("shape", "output[0]", signature, None)
    assert one(np.zeros(got), np.zeros(eager)) == ("shape", "output[0]", signature, None)
    assert f"eager has shape {list(eager)}" in compare([np.zeros(eager)], [np.zeros(got)])[0].message


@pytest.mark.parametrize(
    ("eager", "got", "signature", "element"),
    [
        (f32(1, NAN), f32(1, 2), "NaN lost", (1,)),
        (f32(1, NAN), f32(1, INF), "NaN lost", (1,)),
        (f32(1, 2), f32(1, NAN), "NaN gained", (1,)),
        (np.array(INF), np.array(NAN), "NaN gained", ()),
        (f32(0, NAN, 1), f32(0, 1, NAN), "NaN moved", (1,)),
    ],
)
def test_nan_placement(eager, got, signature, element):
    assert one(eager, got) == ("nan-placement", "output[0]", signature, element)


@pytest.mark.parametrize(
    ("eager", "got", "signature"),
    [
        (INF, -INF, "inf→-inf"),
        (INF, 3.4028235e38, "inf→finite"),
        (-3.4028235e38, -INF, "finite→-inf"),
        (-INF, -0.0, "-inf→-0"),
        (0.0, INF, "finite→inf"),
    ],
)
def test_infinities(eager, got, signature):
    assert one(f32(1, eager), f32(1, got)) == ("infinity", "output[0]", signature, (1,))


# |got - eager| against the tight tolerance, by hand: (dtype, eager, last that agrees, first that does not).
@pytest.mark.parametrize(
    ("dtype", "eager", "inside", "outside"),
    [
        # One eps, 2**-10 and 2**-7, and one step of the smallest numbers.
        ("float16", 1, 1 + 2**-10, 1 + 2**-9),
        (ml_dtypes.bfloat16, 1, 1 + 2**-7, 1 + 2 * 2**-7),
        # Four eps, and 128 steps of the smallest numbers.
        ("float32", 1, 1 + 4 * 2**-23, 1 + 5 * 2**-23),
        ("float32", 0, 128 * 2.0**-149, 129 * 2.0**-149),
        ("float32", 2**20, 2**20 - 0.5, 2**20 - 0.5625),
        ("float64", 1, 1 + 4 * 2**-52, 1 + 5 * 2**-52),
        ("complex64", 1 + 1j, 1 + (1 + 4 * 2**-23) * 1j, 1 + (1 + 5 * 2**-23) * 1j),
        ("complex128", 1j, 1j + 4j * 2**-52, 1j + 5j * 2**-52),
    ],
)
def test_tolerance(dtype, eager, inside, outside):
    arrays = [np.array([value], dtype) for value in (eager, inside, outside)]
    assert compare(arrays[:1], arrays[1:2]) == []
    (found,) = compare(arrays[:1], arrays[2:])
    assert (found.kind, found.signature, found.element) == (Kind.VALUE, "finite→finite", (0,))
    assert found.excess is not None


# Steps of one below 1024 and of one above it, where one eps of 1023 is 0.999; alike at 128 and 127 * 2**-7.
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("float16", 1023, 1024), (ml_dtypes.bfloat16, 127, 128)],
)
def test_tolerance_is_relative_to_eager(dtype, low, high):
    low, high = np.array([low], dtype), np.array([high], dtype)
    assert one(low, high)[0] == "value"
    assert compare([high], [low]) == []


def test_excess_is_in_the_tolerance_of_torch_testing_and_element_the_first():
    eager = np.array([[0.0, 0, 0], [0, 0, 0]])
    got = np.array([[0.0, 0, 0], [0, 3e-7, 5e-7]])
    (found,) = compare([eager], [got])
    assert found.element == (1, 1)
    assert found.excess == pytest.approx(5)
    assert found.message.startswith("output[0][1, 1]: eager 0, exported model 3e-07 (and 1 more)")
    # 32 steps of 2**-23.
    assert compare([f32(1)], [f32(1 + 32 * 2**-23)])[0].message.endswith("; 32 ulp apart")


def test_values_too_far_apart_to_subtract():
    largest = np.finfo("float64").max
    assert one(np.array([largest]), np.array([-largest]))[:3] == ("value", "output[0]", "finite→finite")


@pytest.mark.parametrize(("eager", "signature"), [(0.0, "finite→-0"), (-0.0, "-0→finite")])
def test_sign_of_zero_in_both_directions(eager, signature):
    assert one(f32(1, eager), f32(1, -eager)) == ("sign-of-zero", "output[0]", signature, (1,))
    # Only a zero that became another zero: a tiny number is a value within the tolerance.
    assert compare([f32(eager)], [f32(np.copysign(1e-43, -eager))]) == []


@pytest.mark.parametrize(
    ("eager", "got", "element"),
    [
        (np.array([2**53]), np.array([2**53 + 1]), (0,)),
        (np.array([[1, 2], [3, 4]], "int8"), np.array([[1, 2], [2, 4]], "int8"), (1, 0)),
        (np.array([0, 255], "uint8"), np.array([0, 254], "uint8"), (1,)),
        (np.array([True, False]), np.array([True, True]), (1,)),
        (np.array(3), np.array(4), ()),
    ],
)
def test_integers_and_bools_are_exact(eager, got, element):
    for pair in ((eager, got), (got, eager)):
        assert one(*pair) == ("value", "output[0]", "exact", element)
        assert compare(*([array] for array in pair))[0].excess is None


def test_complex_parts_are_judged_each_on_its_own():
    eager = np.array([1 + 1j, 2], "complex64")
    assert one(eager, np.array([1 + 1j, 3], "complex64")) == (
        "value",
        "output[0].real",
        "finite→finite",
        (1,),
    )
    assert one(eager, np.array([1 - 1j, 2], "complex64"))[1] == "output[0].imag"
    found = compare([eager], [np.array([complex(NAN, INF), 2], "complex64")])
    assert [(d.where, d.kind.value) for d in found] == [
        ("output[0].real", "nan-placement"),
        ("output[0].imag", "infinity"),
    ]


def test_nan_speaks_before_infinity_before_value_before_zero():
    eager, got = f32(NAN, INF, 1, 0), f32(0, 5, 2, -0.0)
    kinds = ["nan-placement", "infinity", "value", "sign-of-zero"]
    for first in range(4):
        (found,) = compare([eager[first:]], [got[first:]])
        assert found.kind.value == kinds[first]
        assert found.element == (0,)
        rest = ", ".join(kinds[first + 1 :])
        assert found.message.endswith(f"; also differs in {rest}") == bool(rest)
        assert ("also differs" in found.message) == bool(rest)


def test_each_output_is_judged_in_order():
    found = compare([f32(1), f32(2), f32(0)], [f32(1), f32(NAN), np.array([0])])
    assert [(d.where, d.kind.value) for d in found] == [
        ("output[1]", "nan-placement"),
        ("output[2]", "dtype"),
    ]


def test_what_is_close_or_nan_twice_is_no_part_of_a_difference():
    close = np.nextafter(np.float32(1), np.float32(2))
    other_nan = np.array([0x7FC00001], np.uint32).view("float32")[0]
    (found,) = compare([f32(NAN, 1, 2, 4)], [np.float32([other_nan, close, 2.5, 4])])
    assert (found.kind, found.signature, found.element) == ("value", "finite→finite", (2,))
    assert found.excess == pytest.approx(0.5 / (1e-5 + 1.3e-6 * 2))
    assert "more" not in found.message


def test_a_zero_of_either_sign_is_a_finite_value():
    (found,) = compare([f32(-0.5, 0.25)], [f32(-0.0, 0)])
    assert (found.kind, found.signature) == ("value", "finite→finite")


def test_a_brief_comparison_says_the_same_without_a_message():
    for eager, got in ((f32(1, 2, NAN), f32(1, 3, 0)), (np.arange(3), np.arange(1, 4))):
        (found,), (brief,) = compare([eager], [got]), compare([eager], [got], brief=True)
        assert found.message
        assert brief == replace(found, message="")


def test_a_signalling_nan_is_compared_without_a_warning():
    signalling = np.array([0x7FA00000], np.uint32).view("float32")
    assert one(signalling, f32(1))[:3] == ("nan-placement", "output[0]", "NaN lost")


def test_value_class_and_show():
    classes = ["nan", "inf", "-inf", "-0", "finite", "finite"]
    assert [value_class(np.float32(v)) for v in (NAN, INF, -INF, -0.0, 0.0, 1e-45)] == classes
    values = [
        np.float32(-0.0),
        np.float32(0.1),
        np.float32(1e-45),
        np.float32(1234567),
        np.int64(3),
        np.bool_(True),
    ]
    assert [show(v) for v in values] == ["-0", "0.1", "1e-45", "1234567", "3", "True"]


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (-65504, "-65500"), (6e-8, "6e-08")])
def test_show_of_half_precision(value, text):
    assert show(np.float16(value)) == text


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_short_judgement_is_the_long_one(dtype):
    compare_module = importlib.import_module("diffexport.oracle.comparison")
    random = np.random.default_rng(0)
    values = np.concatenate([table(dtype, variant=n) for n in range(64)])
    for number in range(600):
        shape = [(), (0,), (1,), (5,), (2, 3)][number % 5]
        eager = np.asarray(values[random.integers(0, len(values), shape)])
        with np.errstate(all="ignore"):
            near = eager * (1 + random.choice([-1e-3, 1e-3, 4.7e-7, 1e-7, 1e-8], shape))
            other = np.where(
                random.random(shape) < 0.1, values[random.integers(0, len(values), shape)], eager
            )
            ways = (near, eager + random.choice([0, 1e-5, -9e-6, 1e-7], shape), other, 0 - eager)
            got = np.asarray(ways[number // 5 % len(ways)]).astype(dtype)
        long = compare_module._compare_floats(Place.output(0), eager, got, False)
        assert compare([eager], [got]) == long, (eager, got)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool", "complex64"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_who_is_no_suspect_agrees(dtype, shape):
    random = np.random.default_rng(1)
    values = np.concatenate([table(dtype, variant=n) for n in range(64)]).astype(dtype)
    eager = [
        [np.asarray(values[random.integers(0, len(values), shape)]) for _ in range(2)] for _ in range(40)
    ]
    got = [[array.copy() for array in outputs] for outputs in eager]
    got[3][0] = np.full(shape, 3, dtype)
    got[7][1] = np.where(eager[7][1] == 0, -eager[7][1] if dtype != "bool" else ~eager[7][1], eager[7][1])
    got[9][1] = np.zeros(shape, dtype)
    found = suspects(eager, got)
    disagreeing = {n for n in range(40) if compare(eager[n], got[n])}
    assert disagreeing <= set(found)
    assert dtype == "complex64" or disagreeing == set(found)


@pytest.mark.parametrize("got", [None, (), (f32(1), f32(1)), (f32(1, 2),), (np.ones(1),), (f32(2),)])
def test_a_sample_of_other_types_is_suspect(got):
    assert 1 in suspects([(f32(1),)] * 3, [(f32(1),), got, (f32(1),)])
