import numpy as np
import pytest
from hypothesis.errors import InvalidArgument

from diffexport.arrays import dtypes
from diffexport.strategies import table
from diffexport.strategies.tables import CONSTANTS, PLAIN, SEPARATORS, VARIANTS, classes
from diffexport.values.spec import DTYPES

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")


def everything(dtype):
    return np.concatenate([table(dtype, variant=n)[:SEPARATORS] for n in range(VARIANTS)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_codes_count_up_from_zero(dtype):
    values = table(dtype)
    assert values.dtype == dtypes.part_dtype(np.dtype(dtype))
    assert values.shape == (256,)
    if dtype != "bool":
        assert values[:16].astype(float).tolist() == list(range(16))
    assert not values.flags.writeable


def test_false_and_true_alternate():
    assert table("bool").tolist() == [False, True] * 128


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, "complex64"])
def test_classes_cover_the_codes_below_the_separators(dtype):
    codes = [code for codes in classes(dtype).values() for code in codes]
    assert codes == list(range(SEPARATORS))
    assert not table(dtype)[SEPARATORS:].any()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("variant", [0, 1, 17, VARIANTS - 1])
def test_plain_floats_are_ordinary_numbers(dtype, variant):
    plain = table(dtype, variant=variant)[:PLAIN].astype(np.float64)
    assert np.isfinite(plain).all()
    assert np.abs(plain).max() <= 16
    assert ((np.abs(plain) > 1e-4) | (plain == 0)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_low_bits_of_a_plain_code_are_magnitude_and_sign(dtype):
    # What clearing high bits leads to is an integer about as large, of the same sign.
    values = table(dtype, variant=5)
    ordinary = classes(dtype)["ordinary"]
    for code in ordinary:
        value = float(values[code])
        assert abs(abs(value) - code % 16) < 1.0, code
        assert (value < 0) == bool(code >> 4 & 1)


def test_the_simplest_variant_has_short_decimals():
    for value in table("float64")[:PLAIN]:
        assert len(repr(float(value)).lstrip("-")) <= 5


def test_variants_differ_in_what_is_odd_or_ordinary_only():
    one, other = table("float32", variant=1), table("float32", variant=2)
    assert one[:64].tolist() == other[:64].tolist()
    assert one[64:128].tolist() != other[64:128].tolist()
    assert len(np.unique(everything("float32"))) > 4000


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_kind_of_float_has_codes(dtype):
    info = dtypes.finfo(np.dtype(dtype))
    values = everything(dtype)
    numbers = values.astype(np.float64)
    largest, normal = float(info.max), float(info.smallest_normal)
    magnitude = np.abs(numbers)
    with np.errstate(invalid="ignore"):
        reached = {
            "nan": np.isnan(numbers),
            "inf": numbers == np.inf,
            "-inf": numbers == -np.inf,
            "-0": (numbers == 0) & np.signbit(numbers),
            "largest": numbers == largest,
            "-largest": numbers == -largest,
            "normal": numbers == normal,
            "subnormal": (magnitude > 0) & (magnitude < normal),
            "tiniest": magnitude == float(info.smallest_subnormal),
            "half": numbers % 1 == 0.5,
            "saturating": (magnitude >= 80) & (magnitude <= 110),
            "just above one": (numbers > 1) & (numbers < 1 + 10 * float(info.eps)),
            "just below one": (numbers < 1) & (numbers > 1 - 10 * float(info.eps)),
            "near zero": (magnitude < 1e-2) & (magnitude >= normal),
        }
    assert [name for name, mask in reached.items() if not mask.any()] == []


@pytest.mark.parametrize("border", [2**24, 2**24 - 1, 2**31, 2**31 - 1, 2**31 + 1, 2**53, 2**53 - 1])
def test_borders_of_integers_are_reached_in_float64(border):
    values = everything("float64")
    assert (values == border).any()
    assert (values == -border).any()


def test_the_neighbours_of_borders_are_those_of_the_dtype():
    values = everything("float32")
    for value in (2**24 - 1, 2**24, 2**24 + 2, 2**31 - 128, 2.0**31):
        assert (values == np.float32(value)).any(), value


@pytest.mark.parametrize("dtype", INTS)
def test_integers_reach_their_extremes_and_powers_of_two(dtype):
    info = np.iinfo(dtype)
    values = everything(dtype)
    for value in (info.min, info.max, info.min + 1, info.max - 1, 31, 32, 33):
        assert (values == value).any(), value
    assert (values < 0).any() == (info.min < 0)
    assert values[0] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_constants_and_their_neighbours_have_codes(dtype):
    kind = np.dtype(dtype).type
    values = table(dtype, constants=(3.0, -0.3))[classes(dtype)["constant"]]
    assert len(values) == CONSTANTS
    for constant in (3.0, -0.3):
        here = kind(constant)
        for wanted in (here, np.nextafter(here, kind(np.inf)), np.nextafter(here, kind(-np.inf))):
            assert (values == wanted).any(), wanted


def test_more_constants_than_codes_are_spread_over_the_variants():
    constants = tuple(float(100 + n) for n in range(40))
    seen = set()
    for variant in range(VARIANTS):
        seen.update(
            table("float32", variant=variant, constants=constants)[classes("float32")["constant"]].tolist()
        )
    assert set(constants) <= seen


def test_integer_constants_keep_to_their_dtype():
    values = table("int8", constants=(100.0, 127.0, 1e9, 0.5))[classes("int8")["constant"]]
    assert {99, 100, 101, 126, 127} <= set(values.tolist())


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
def test_bounds_hold_and_are_reached(dtype):
    values = table(dtype, low=0, high=9).astype(np.float64)
    assert values.min() == 0
    assert values.max() == 9
    assert values[:10].tolist() == list(range(10))


def test_one_bound_leaves_the_other_side_open():
    values = table("float32", low=0.5)
    assert values.min() == 0.5
    assert values.max() == np.inf
    assert not np.isnan(values).any()


def test_narrow_bounds_give_values_between():
    values = table("float32", low=1000.25, high=1000.75)
    assert values[0] == 1000.25
    assert values.max() == 1000.75
    assert len(np.unique(values)) > 20


@pytest.mark.parametrize(
    ("how", "part"),
    [
        ({"dtype": "float31"}, "dtype='float31'.*did you mean 'float32'"),
        ({"dtype": "float32", "variant": VARIANTS}, "variant=64"),
        ({"dtype": "float32", "low": 2, "high": 1}, "low=2 is more than high=1"),
        ({"dtype": "int8", "low": 0.2, "high": 0.8}, "no int8 lies between"),
        ({"dtype": "uint8", "low": 256}, "no uint8 lies between"),
    ],
)
def test_bad_arguments_are_rejected(how, part):
    with pytest.raises(InvalidArgument, match=part):
        table(**how)
