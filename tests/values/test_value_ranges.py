"""What a spec says of values: kinds, bounds that follow a dimension, and what is left out of scope."""

import pytest

from diffexport.errors import UsageError
from diffexport.values import (
    InputScope,
    SizeBound,
    TensorSpec,
    admits_all,
    bounded_at,
    parse_specs,
    pinned,
    representative_shapes,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("int64[B] in 1..T", "int64[B] in 1..T"),
        ("int64[B] in 0..<T", "int64[B] in 0..T-1"),
        ("int64[B] in -T..T-1", "int64[B] in -T..T-1"),
        ("int64[B] in 0..<10", "int64[B] in 0..9"),
        ("float32[B, 3, H, W]   image", "float32[B, 3, H, W] image"),
        ("uint8[3] image", "uint8[3] image"),
        ("float32 normal(0,.5)", "float32[...] normal(0, 0.5)"),
        ("int64[B, N] ids in 0..99", "int64[B, N] ids in 0..99"),
        ("int64[B] ids in 0..<V", "int64[B] ids in 0..V-1"),
        ("bool[B, T] mask", "bool[B, T] mask"),
        ("float16[..., N] probabilities", "float16[..., N] probabilities"),
    ],
)
def test_text_parses_back(text, canonical):
    spec = TensorSpec.parse(text)
    assert str(spec) == canonical
    assert TensorSpec.parse(canonical) == spec


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("float32[3] in T..S", "name two dimensions"),
        ("int64[3] in T..0", "T is more than 0"),
        ("int64[3] in T..T-1", "T is more than T-1"),
        ("float32[3] in 0..<1", "is for integers"),
        ("float32[3] imge", "did you mean 'image'"),
        ("int64[3] image", "this is int64"),
        ("int64[3] ids", "how many there are"),
        ("int64[3] ids in 0..", "a first and a last"),
        ("float32[3] normal", "normal(0, 1)"),
        ("float32[3] normal(0, 0)", "more than 0"),
        ("float32[3] normal(nan, 1)", "has to be finite"),
        ("float32[3] image in 0..1", "bounds of their own"),
        ("bool[3] mask(1)", "take no numbers"),
    ],
)
def test_what_cannot_be_is_said(text, part):
    with pytest.raises(UsageError) as caught:
        TensorSpec.parse(text)
    assert part in str(caught.value)


def test_a_bound_that_names_no_dimension_is_said():
    with pytest.raises(UsageError, match=r"'S' names no dimension of any input \(known: B, T\)"):
        parse_specs(["float32[B, T]", "int64[B] in 0..S-1"])
    with pytest.raises(UsageError, match="of which none has a name"):
        parse_specs(["float32[3]", "int64[3] in 0..S-1"])


def test_a_dimension_is_as_large_as_the_bounds_that_name_it_need():
    texts = [str(spec) for spec in parse_specs(["int64[B] in 2..T", "float32[B, T]", "int64[B] in -T..T-1"])]
    assert texts == ["int64[B] in 2..T", "float32[B, T>=2]", "int64[B] in -T..T-1"]
    assert all(shapes[1][1] >= 2 for shapes in representative_shapes(parse_specs(texts), 20))


def test_bounds_are_numbers_at_joint_shapes():
    specs = parse_specs(["int64[B] in 1..T", "float32[B, T]"])
    (lengths, _) = bounded_at(specs, [(2,), (2, 7)])
    assert (lengths.low, lengths.high) == (1, 7)
    (free, _) = pinned(specs, [(2,), (2, 7)], [(0,), (0,)])
    assert (free.low, free.high) == (1, 7)
    (following, _) = pinned(specs, [(2,), (2, 7)], [(0,), (1,)])
    assert following.high == SizeBound("T")


def test_no_empty_dimension_where_none_is_in_scope():
    specs = [
        spec.within(InputScope(no_empty=True)) for spec in parse_specs(["float32[...B, N]", "int8[*, 0..2]"])
    ]
    shapes = representative_shapes(specs, 40)
    assert len(shapes) > 3
    assert all(0 not in shape for joint in shapes for shape in joint)
    assert not admits_all(specs[:1], [(0, 2)])
    assert admits_all([parse_specs(["float32[...B, N]"])[0]], [(0, 2)])
    with pytest.raises(UsageError, match="admits empty tensors only"):
        TensorSpec.parse("float32[3, 0]").within(InputScope(no_empty=True))
