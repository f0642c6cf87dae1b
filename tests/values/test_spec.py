import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport.errors import UsageError
from diffexport.values.spec import (
    DTYPES,
    Dim,
    TensorSpec,
    admits_all,
    representative_shapes,
    shape_complexity,
    shapes_of_ranks,
)
from diffexport.values.spec_lists import parse_specs

sizes = st.integers(0, 9)
dims = st.one_of(
    st.builds(lambda size: Dim(size, size), sizes),
    st.builds(lambda low, more: Dim(low, low + more), sizes, st.integers(1, 5)),
    st.builds(Dim, low=sizes),
    st.builds(lambda low, name: Dim(low, None, name), sizes, st.sampled_from(["N", "M", "_k2", "batch"])),
)
specs = st.builds(
    TensorSpec,
    dtype=st.sampled_from(DTYPES),
    dims=st.lists(dims, max_size=3).map(tuple),
    leading=st.booleans(),
)


@given(specs)
@settings(database=None, deadline=None)
def test_text_parses_back_to_the_same_spec(spec):
    assert TensorSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("float32", TensorSpec("float32", (), True)),
        ("float32[...]", TensorSpec("float32", (), True)),
        ("float32[]", TensorSpec("float32", (), False)),
        (" int8 [ 3 , * ] ", TensorSpec("int8", (Dim(3, 3), Dim(0, None)), False)),
        ("bool[..., N, >=3]", TensorSpec("bool", (Dim(0, None, "N"), Dim(3, None)), True)),
        ("int64[2..4, N>=2]", TensorSpec("int64", (Dim(2, 4), Dim(2, None, "N")), False)),
        ("float16[>=0, 3..3, 0]", TensorSpec("float16", (Dim(), Dim(3, 3), Dim(0, 0)), False)),
    ],
)
def test_text_form(text, spec):
    assert TensorSpec.parse(text) == spec


def test_written_form_is_canonical():
    assert str(TensorSpec.parse("float32")) == "float32[...]"
    assert str(TensorSpec.parse("int8[>=0,3..3 ,N>=0]")) == "int8[*, 3, N]"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("float31[3]", "did you mean 'float32'"),
        ("complex128", "did you mean 'complex64'"),
        ("float32[4..2]", "4 is more than 2"),
        ("float32[-1]", "'-1' is not a dimension"),
        ("float32[N >=2]", "'N >=2'"),
        ("float32[2..]", "'2..'"),
        ("float32[>=]", "'>='"),
        ("float32[>3]", "'>3'"),
        ("float32[3,]", "'' is not a dimension"),
        ("float32[3, ...]", "'...' is not a dimension"),
        ("float32[..., ...]", "'...' is not a dimension"),
        ("float32[2N]", "'2N'"),
        ("float32(3)", "is not a tensor spec"),
        ("float32[3", "is not a tensor spec"),
        ("", "is not a tensor spec"),
        ("float32[?]", "'?' is not a dimension"),
        ("float32[N??]", "is not a dimension"),
        ("float32[..., ...B]", "'...B' is not a dimension"),
        ("float32[3] in 2..1", "2 is more than 1"),
        ("float32[3] in ..", "are no bounds"),
        ("float32[3] in 3", "are no bounds"),
        ("float32[3] in a..b", "name two dimensions"),
        ("float32[3] in 1b..2", "are no bounds"),
        ("complex64[3] in 0..1", "complex64 has no order"),
    ],
)
def test_invalid_text_is_rejected_naming_what_is_wrong(text, part):
    with pytest.raises(UsageError) as caught:
        TensorSpec.parse(text)
    assert part in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "admitted", "refused"),
    [
        ("float32[]", [()], [(1,)]),
        ("float32[...]", [(), (0,), (2, 3, 4, 5, 6)], []),
        ("float32[3]", [(3,)], [(), (2,), (4,), (3, 3)]),
        ("float32[..., 3]", [(3,), (7, 0, 3)], [(), (3, 2)]),
        ("float32[*, >=2]", [(0, 2), (5, 9)], [(2,), (0, 1), (1, 0, 2)]),
        ("float32[2..4]", [(2,), (4,)], [(1,), (5,)]),
    ],
)
def test_admits(text, admitted, refused):
    spec = TensorSpec.parse(text)
    assert [shape for shape in admitted if not spec.admits(shape)] == []
    assert [shape for shape in refused if spec.admits(shape)] == []


@pytest.mark.parametrize(
    ("text", "tried"),
    [
        ("*", (1, 2, 3, 4, 5, 0)),
        ("N", (1, 2, 3, 4, 5, 0)),
        (">=1", (1, 2, 3, 4, 5)),
        (">=3", (3, 4, 5, 6, 7)),
        ("2..4", (2, 3, 4)),
        ("0..2", (1, 2, 0)),
        ("N<=3", (1, 2, 3, 0)),
        ("N<=512", (1, 2, 3, 4, 5, 512, 0)),
        ("2<=N<=512", (2, 3, 4, 5, 6, 512)),
        ("3", (3,)),
        ("0", (0,)),
    ],
)
def test_sizes_to_try_simplest_first(text, tried):
    assert Dim.parse(text).sizes() == tried


@given(dims)
@settings(database=None, deadline=None)
def test_every_size_to_try_is_admitted(dim):
    assert dim.sizes()
    assert all(dim.admits(size) for size in dim.sizes())


def test_shared_names_have_one_size():
    pair = parse_specs(["float32[..., N, K]", "int64[K, N]"])
    assert admits_all(pair, [(9, 2, 3), (3, 2)])
    assert not admits_all(pair, [(2, 3), (2, 3)])
    assert not admits_all(pair, [(2, 3)])
    square = parse_specs(["float32[N, N]"])
    assert admits_all(square, [(4, 4)])
    assert not admits_all(square, [(4, 5)])


def test_shapes_take_indices_into_the_sizes():
    two = parse_specs(["float32[*, N]", "float32[N>=3, 0..1]"])
    # Last dimension first. The name has its strictest minimum, 3; index 1 of (3..7), of (1..5, 0); 2 wraps in (1, 0).
    assert shapes_of_ranks(two, (2, 2), iter([1, 1, 2])) == ((2, 4), (4, 1))
    one = parse_specs(["float32[..., 2..3]"])
    assert shapes_of_ranks(one, (3,), iter([0, 5, 2])) == ((3, 0, 2),)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("float32[N?, 3]", TensorSpec("float32", (Dim(0, None, "N", True), Dim(3, 3)), False)),
        ("float32[N?>=2]", TensorSpec("float32", (Dim(2, None, "N", True),), False)),
        ("float32[...B, 3]", TensorSpec("float32", (Dim(3, 3),), True, "B")),
        ("float32[...B?]", TensorSpec("float32", (), True, "B", True)),
        ("int64[3] in 0..9", TensorSpec("int64", (Dim(3, 3),), False, low=0, high=9)),
        ("float32 in -1.5..", TensorSpec("float32", (), True, low=-1.5)),
        ("float32[N] in ..1e-3", TensorSpec("float32", (Dim(0, None, "N"),), False, high=1e-3)),
    ],
)
def test_text_form_of_groups_and_bounds(text, spec):
    assert TensorSpec.parse(text) == spec
    assert TensorSpec.parse(str(spec)) == spec


def test_inputs_of_one_lead_share_their_dimensions():
    specs = parse_specs(["float32[...B, 3]", "float32[...B]"])
    for joint in representative_shapes(specs, 20):
        assert joint[0][:-1] == joint[1]
    assert not admits_all(specs, [(2, 3), (3,)])
    assert not admits_all(specs, [(2, 4, 3), (4,)])
    assert admits_all(specs, [(2, 4, 3), (2, 4)])


def test_inputs_that_broadcast():
    specs = parse_specs(["float32[...B?]", "float32[...B?]"])
    joints = representative_shapes(specs, 60)
    for one, other in joints:
        assert admits_all(specs, (one, other))
        np.broadcast_shapes(one, other)
    assert any(len(one) != len(other) for one, other in joints)
    assert not admits_all(specs, [(2, 3), (2,)])
    assert admits_all(specs, [(2, 3), (2, 1)])
    whole = parse_specs(["float32[...B]", "float32[...B?]"])
    assert not admits_all(whole, [(3,), (2, 3)])
    assert admits_all(whole, [(2, 3), (3,)])


def test_a_named_dimension_that_broadcasts_is_one_or_the_size():
    specs = parse_specs(["float32[N]", "float32[N?]"])
    assert admits_all(specs, [(4,), (1,)])
    assert admits_all(specs, [(4,), (4,)])
    assert not admits_all(specs, [(4,), (2,)])
    shapes = {shapes_of_ranks(specs, (1, 1), iter([3, n]))[1] for n in range(5)}
    assert shapes == {(4,), (1,)}


def test_ranks():
    assert TensorSpec.parse("float32[3, *]").ranks() == (2,)
    assert TensorSpec.parse("float32[..., 3]").ranks() == (1, 2, 3, 4)


def test_the_first_representative_shapes_are_the_documented_ones():
    shapes = representative_shapes(parse_specs(["float32[...]"]), 6)
    assert set(shapes) == {((),), ((1,),), ((2,),), ((2, 3),), ((0,),), ((2, 0),)}
    # Simplest first: none empty before empty, then by elements and rank.
    assert shapes[:4] == (((),), ((1,),), ((2,),), ((2, 3),))


def test_representative_shapes_go_on_to_rank_three_and_stop_at_the_limit():
    any_shape = parse_specs(["float32[...]"])
    assert 3 in {len(joint[0]) for joint in representative_shapes(any_shape, 64)}
    assert len(representative_shapes(any_shape, 3)) == 3
    assert representative_shapes(any_shape, 0) == ()


@given(st.lists(specs, min_size=1, max_size=3), st.binary(min_size=16, max_size=16))
@settings(database=None, deadline=None)
def test_generated_joint_shapes_are_admitted(several, choice):
    for joint in representative_shapes(several, 8):
        assert admits_all(several, joint)
    ranks = [spec.ranks()[choice[0] % len(spec.ranks())] for spec in several]
    joint = shapes_of_ranks(several, ranks, itertools.cycle(choice))
    assert [len(shape) for shape in joint] == ranks
    assert admits_all(several, joint)


def test_generated_tensors_stay_small_where_only_trailing_dimensions_are_large():
    specs = parse_specs(["float32[..., 224]"])
    # 2 * 224 would be admitted and within the 512 elements the module promises at most.
    largest = max(math.prod(joint[0]) for joint in representative_shapes(specs, 64))
    assert largest <= 512


def test_shape_complexity_orders_joint_shapes():
    ordered = [((),), ((1,),), ((2,),), ((1, 2),), ((2, 1),), ((3,),), ((0,),), ((1, 0),)]
    assert sorted(ordered[4:] + ordered[:4], key=shape_complexity) == ordered


def test_parse_specs_leaves_parsed_ones_and_rejects_bad_ones():
    spec = TensorSpec.parse("int8[3]")
    assert parse_specs([spec, "bool[]"]) == (spec, TensorSpec("bool", (), False))
    with pytest.raises(UsageError, match="float31"):
        parse_specs([spec, "float31"])


@pytest.mark.parametrize(
    "text", ["float32[N<=512]", "int64[2<=N<=9, N?<=9]", "float32[...<=1, 4]", "bool[...B?<=2]"]
)
def test_upper_bounds_of_names_and_leads_are_read_back(text):
    assert str(TensorSpec.parse(text)) == text


def test_a_name_keeps_to_the_strictest_bounds_wherever_it_stands():
    specs = parse_specs(["float32[N<=7]", "float32[3<=N, N<=20]"])
    seen = {shapes_of_ranks(specs, (1, 2), itertools.repeat(n)) for n in range(20)}
    assert {shapes[0][0] for shapes in seen} == {3, 4, 5, 6, 7}
    assert not admits_all(specs, [(8,), (8, 8)])
    with pytest.raises(UsageError, match="'N' has no size that suits all inputs: 8 is more than 7"):
        parse_specs(["float32[N<=7]", "float32[N>=8]"])


def test_a_lead_has_as_many_dimensions_as_it_may():
    spec = TensorSpec.parse("float32[...<=1, 4]")
    assert (spec.ranks(), spec.admits((4,)), spec.admits((2, 4)), spec.admits((2, 2, 4))) == (
        (1, 2),
        True,
        True,
        False,
    )
    together = parse_specs(["float32[...B, 4]", "float32[...B<=1]"])
    assert shapes_of_ranks(together, (3, 0), itertools.repeat(1)) == ((2, 4), (2,))
