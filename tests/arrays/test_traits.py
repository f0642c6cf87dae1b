import ml_dtypes  # noqa: F401 - makes numpy know bfloat16
import numpy as np
import pytest

from diffexport.arrays.input_traits import check_trait, trait_holds
from diffexport.errors import UsageError

F32 = np.float32
C64 = "complex64"
SIGNALLING = np.array([0x7FA00000], np.uint32).view(F32)


def floats(*values, dtype="float32"):
    return np.array(values, dtype)


@pytest.mark.parametrize(
    ("trait", "having", "lacking"),
    [
        (
            "nan",
            [floats(0, np.nan), floats(0, np.nan, dtype="bfloat16"), floats(complex(0, np.nan), dtype=C64)],
            [
                floats(0, np.inf),
                np.array([1]),
                floats(),
                floats(np.inf, dtype="bfloat16"),
                floats(1j, dtype=C64),
            ],
        ),
        (
            "inf",
            [
                floats(np.inf),
                floats(1, -np.inf, dtype="float16"),
                floats(-np.inf, dtype="bfloat16"),
                floats(complex(np.nan, np.inf), dtype=C64),
            ],
            [floats(np.nan, 1), np.array([1]), floats(np.nan, dtype="bfloat16"), floats(np.nan, dtype=C64)],
        ),
        (
            "subnormal",
            [
                floats(1e-40),
                floats(-1e-40),
                floats(1e-5, dtype="float16"),
                floats(1e-310, dtype="float64"),
                floats(2.0**-127, dtype="bfloat16"),
                floats(complex(1, 1e-40), dtype=C64),
            ],
            # The smallest normal numbers, zero, and a number subnormal in another dtype only.
            [
                floats(2.0**-126, 0, np.nan, np.inf),
                floats(2.0**-14, dtype="float16"),
                floats(1e-5),
                floats(2.0**-126, 1e-5, dtype="bfloat16"),
                floats(1e-30j, dtype=C64),
                np.array([0]),
            ],
        ),
        (
            "negative-zero",
            [floats(1, -0.0), floats(-0.0, dtype="bfloat16"), floats(complex(1, -0.0), dtype=C64)],
            [
                floats(0.0, -1.0, np.nan),
                np.array([0]),
                np.array([False]),
                floats(0.0, -1, dtype="bfloat16"),
                floats(0, -1, dtype=C64),
            ],
        ),
        ("empty", [floats(), np.zeros((2, 0))], [np.zeros(()), np.zeros((1, 1))]),
        ("empty-not-first", [np.zeros((2, 0)), np.zeros((0, 0))], [np.zeros((0, 2)), floats(), np.zeros(())]),
        ("scalar", [np.zeros(())], [np.zeros(1), floats()]),
        ("size-one", [np.zeros(1), np.zeros((0, 1))], [np.zeros(()), np.zeros((2, 0))]),
        (
            "abs:80..110",
            [
                floats(80),
                floats(-110),
                np.array([0, -88]),
                floats(-90, dtype="bfloat16"),
                floats(60 - 80j, dtype=C64),
            ],
            [
                floats(79.9, 110.1, np.inf, np.nan),
                floats(),
                floats(79, dtype="bfloat16"),
                floats(79j, dtype=C64),
            ],
        ),
        ("abs:0..0", [floats(-0.0), np.array([False])], [floats(1e-40)]),
        ("abs:1e300..inf", [floats(1e301, dtype="float64")], [floats(np.inf)]),
    ],
)
def test_traits(trait, having, lacking):
    assert [array for array in having if not trait_holds(trait, [array], [])] == []
    assert [array for array in lacking if trait_holds(trait, [array], [])] == []


def test_one_tensor_with_the_trait_is_enough():
    assert trait_holds("nan", [floats(1), np.array([1]), floats(np.nan)], [])
    assert not trait_holds("nan", [], [floats(np.nan)])


def test_export_prefix_speaks_of_the_export_inputs():
    assert trait_holds("export:nan", [floats(1)], [floats(np.nan)])
    assert not trait_holds("export:nan", [floats(np.nan)], [floats(1)])
    assert trait_holds("export:abs:2..3", [], [floats(-2.5)])


@pytest.mark.parametrize("trait", ["nan", "abs:1..2"])
@pytest.mark.parametrize("array", [SIGNALLING, np.array([0x7FA0], np.uint16).view("bfloat16")])
def test_a_signalling_nan_is_looked_at_without_a_warning(trait, array):
    assert trait_holds(trait, [array], []) is (trait == "nan")


@pytest.mark.parametrize(
    ("trait", "part"),
    [
        ("nann", "did you mean 'nan'?"),
        ("export:scaler", "did you mean 'scalar'?"),
        ("abs", "unknown input trait 'abs'"),
        ("abs:1", "abs:LO..HI"),
        ("abs:1..x", "abs:LO..HI"),
        ("abs:2..1", "LO not above HI"),
        ("abs:nan..1", "abs:LO..HI"),
        ("", "unknown input trait ''"),
    ],
)
def test_unknown_traits_are_rejected(trait, part):
    for attempt in (lambda: check_trait(["nan", trait]), lambda: trait_holds(trait, [], [])):
        with pytest.raises(UsageError) as caught:
            attempt()
        assert part in str(caught.value)


def test_check_accepts_every_documented_trait():
    plain = [
        "nan",
        "inf",
        "subnormal",
        "negative-zero",
        "abs:1..2",
        "empty",
        "empty-not-first",
        "scalar",
        "size-one",
    ]
    check_trait([*plain, *(f"export:{trait}" for trait in plain)])
