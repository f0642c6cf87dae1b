from random import Random

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.strategies import (
    LAYOUTS,
    MAX_SAMPLES,
    VARIETY,
    arrays,
    blocks,
    lay_out,
    layouts,
    modes,
    samples,
    trials,
)
from diffexport.values import admits_all, parse_specs
from diffexport.values.mode import Mode

ANY = parse_specs(["float32[...]"])
SETTINGS = settings(database=None, max_examples=2000, phases=[Phase.generate, Phase.shrink])
# Drawing a mode is slow, and each of these conditions is met at once.
FOR_MODES = settings(SETTINGS, max_examples=300)


def simplest(strategy, condition, seed=0, configured=SETTINGS):
    return find(strategy, condition, settings=configured, random=Random(seed))


def some(test):
    """A condition on trials: some element of some sample passes."""

    def condition(trial):
        with np.errstate(all="ignore"):
            return any(np.any(test(array)) for sample in trial.samples for array in sample)

    return condition


def the_array(trial):
    (sample,) = trial.samples
    (array,) = sample
    return array


def test_simplest_trial_is_one_zero_of_rank_zero():
    trial = simplest(trials(ANY), lambda trial: True)
    assert the_array(trial).shape == ()
    assert the_array(trial) == 0
    assert trial.export_inputs[0].shape == ()


def two_equal(array):
    values = array[~np.isnan(array)]
    return len(np.unique(values)) < len(values)


def any_array(test):
    return some(lambda array: bool(test(array)))


# What a person would write down for each of these; every seed has to get there.
PLANTED = {
    "any NaN": ("float32[...]", some(np.isnan), [np.nan]),
    "any NaN, at least one dimension": ("float32[..., >=1]", some(np.isnan), [[np.nan]]),
    "a NaN in the last place": (
        "float32[..., >=3]",
        any_array(lambda a: a.size and np.isnan(a.reshape(-1)[-1])),
        [[0, 0, np.nan]],
    ),
    "an infinity": ("float32[...]", some(np.isinf), [np.inf, -np.inf]),
    "minus infinity": ("float32[...]", some(lambda a: a == -np.inf), [-np.inf]),
    "a negative zero": ("float32[...]", some(lambda a: (a == 0) & np.signbit(a)), [-0.0]),
    "a value above six": ("float32[...]", some(lambda a: a > 6), [7, np.inf]),
    "a value above six, finite": ("float32[...]", some(lambda a: np.isfinite(a) & (a > 6)), [7]),
    "an integer above six": ("int64[...]", some(lambda a: a > 6), [7]),
    "a negative value": ("float32[...]", some(lambda a: np.isfinite(a) & (a < 0)), [-1, -0.5]),
    "a last dimension of at least four": (
        "float32[...]",
        any_array(lambda a: a.ndim and a.shape[-1] >= 4),
        [[0, 0, 0, 0]],
    ),
    "two equal elements": ("float32[...]", any_array(two_equal), [[0, 0]]),
    "an empty dimension": ("float32[...]", any_array(lambda a: a.size == 0), [[]]),
    "two dimensions": ("float32[...]", any_array(lambda a: a.ndim == 2), [[[0]]]),
    "true": ("bool[...]", some(lambda a: a), [True]),
    "an integer extreme": ("int8[...]", some(lambda a: a == -128), [-128]),
    "half-way between integers": (
        "float32[...]",
        some(lambda a: a % 1 == 0.5),
        [x + 0.5 for x in range(-4, 4)],
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("planted", PLANTED)
def test_planted_failures_shrink_to_what_a_person_would_write(planted, seed):
    spec, condition, minima = PLANTED[planted]
    found = the_array(simplest(trials([spec], dynamic=True, max_samples=16), condition, seed))
    shown = [repr(np.array(minimum, dtype=found.dtype).tolist()) for minimum in minima]
    assert repr(found.tolist()) in shown


def test_an_empty_dimension_of_static_axes_shrinks_to_an_empty_vector():
    trial = simplest(trials(ANY), lambda trial: trial.samples[0][0].size == 0)
    assert the_array(trial).shape == trial.export_inputs[0].shape == (0,)


def test_a_run_shape_unlike_the_export_shape_shrinks_to_short_vectors():
    def differs(trial):
        return any(array.shape != trial.export_inputs[0].shape for (array,) in trial.samples)

    trial = simplest(trials(ANY, dynamic=True), differs)
    array = the_array(trial)
    assert sorted([trial.export_inputs[0].shape, array.shape]) == [(1,), (2,)]
    assert not array.any()


def test_an_empty_run_shape_shrinks_to_a_vector():
    trial = simplest(trials(ANY, dynamic=True), lambda trial: trial.samples[0][0].size == 0)
    assert the_array(trial).shape == (0,)
    assert len(trial.export_inputs[0].shape) == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_larger_block_shrinks_to_just_as_many_as_needed(seed):
    trial = simplest(trials(ANY, max_samples=64), lambda trial: len(trial.samples) >= 3, seed)
    assert [sample[0].tolist() for sample in trial.samples] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_the_failing_sample_of_a_block_remains(seed):
    # 64 samples, of which one in some hundred has two infinities of different signs.
    def opposite(array):
        return (array == np.inf).any() and (array == -np.inf).any()

    array = the_array(simplest(trials(["float32[5]"], max_samples=64), any_array(opposite), seed))
    assert sorted(array.tolist()) == [-np.inf, 0, 0, 0, np.inf]


def test_a_condition_on_two_inputs_shrinks_both():
    specs = ["float32[N]", "float32[N]"]
    trial = simplest(
        trials(specs, dynamic=True, max_samples=16),
        lambda trial: any(np.isnan(x).any() and (y == np.inf).any() for x, y in trial.samples),
    )
    ((one, other),) = trial.samples
    assert one.shape == other.shape
    assert one.size <= 5
    assert sorted(map(str, one.tolist())) == ["0.0"] * (one.size - 1) + ["nan"]
    assert sorted(other.tolist()) == [0] * (one.size - 1) + [np.inf]


def test_other_arguments_are_drawn_by_their_own_strategies():
    strategy = trials(["float32[2]", st.integers(1, 9), st.none()], dynamic=True)
    trial = simplest(strategy, lambda trial: trial.samples[0][1] > 3)
    assert trial.samples[0][1] == trial.export_inputs[1] == 4
    assert trial.samples[0][2] is None
    assert trial.samples[0][0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("exporters", "condition", "text"),
    [
        (["dynamo", "torchscript", "dynamo-strict"], lambda mode: True, "dynamo"),
        (["dynamo", "torchscript", "dynamo-strict"], lambda mode: mode.opset >= 18, "dynamo"),
        (["dynamo", "torchscript"], lambda mode: mode.exporter == "torchscript", "torchscript"),
        (["dynamo", "dynamo-strict"], lambda mode: mode.opset >= 21, "dynamo,opset=21"),
        (["dynamo-strict", "dynamo"], lambda mode: mode.exporter == "dynamo-strict", "dynamo-strict"),
        (
            ["dynamo", "dynamo-strict"],
            lambda mode: mode.keep_initializers_as_inputs and not mode.optimize,
            "dynamo,keep_initializers_as_inputs=true,optimize=false",
        ),
        (["torchscript"], lambda mode: mode.training != "EVAL", "torchscript,training=PRESERVE"),
    ],
)
def test_modes_shrink_to_the_defaults_of_the_simplest_exporter(exporters, condition, text):
    assert str(simplest(modes(exporters=exporters), condition, configured=FOR_MODES)) == text


# Shrinking goes towards the lowest opset, the first one drawn, not towards 17, the nearest to the default.
def test_a_low_opset_shrinks_to_that_option_alone():
    mode = simplest(modes(exporters=["dynamo"]), lambda mode: mode.opset < 18)
    assert mode == Mode("dynamo", opset=mode.opset)
    assert mode.opset < 18


def test_modes_among_some_shrink_to_the_simplest_of_them():
    among = [Mode.parse(t) for t in ("torchscript", "dynamo,opset=25", "dynamo-strict", "dynamo,opset=19")]
    assert str(simplest(modes(among=among), lambda mode: True, configured=FOR_MODES)) == "dynamo,opset=19"
    assert (
        str(simplest(modes(among=among), lambda mode: mode.opset == 20, configured=FOR_MODES))
        == "dynamo-strict"
    )


@given(modes(exporters=["torchscript"]))
@settings(database=None, deadline=None, max_examples=50)
def test_modes_of_one_exporter(mode):
    assert mode.exporter == "torchscript"
    assert mode.opset >= 15 or not mode.export_modules_as_functions


SPECS = parse_specs(["float32[..., N, >=2]", "int64[N]", "bool[]"])


@given(st.data(), st.booleans())
@settings(database=None, deadline=None)
def test_trials_suit_the_specs(data, dynamic):
    trial = data.draw(trials(SPECS, dynamic=dynamic, max_samples=3))
    assert 1 <= len(trial.samples) <= 3
    for drawn in (trial.export_inputs, *trial.samples):
        assert [array.dtype.name for array in drawn] == ["float32", "int64", "bool"]
        assert admits_all(SPECS, [array.shape for array in drawn])
        if not dynamic:
            assert [a.shape for a in drawn] == [a.shape for a in trial.export_inputs]
        assert [a.ndim for a in drawn] == [a.ndim for a in trial.export_inputs]
    assert len({tuple(a.shape for a in sample) for sample in trial.samples}) == 1


@given(st.data())
@settings(database=None, deadline=None, max_examples=30)
def test_export_shapes_may_be_given(data):
    trial = data.draw(trials(ANY, export_shapes=[((3, 1),), ((1, 3),)]))
    assert trial.export_inputs[0].shape in {(3, 1), (1, 3)}


@given(samples(SPECS))
@settings(database=None, deadline=None, max_examples=30)
def test_samples_are_the_arrays_alone(drawn):
    assert [array.dtype.name for array in drawn] == ["float32", "int64", "bool"]
    assert admits_all(SPECS, [array.shape for array in drawn])


@given(blocks(["float32[..., 3]"], max_samples=32))
@settings(database=None, deadline=None, max_examples=30)
def test_blocks_are_samples_of_one_shape(block):
    assert 1 <= len(block) <= 32
    assert len({sample[0].shape for sample in block}) == 1


@given(arrays("int64[4] in 0..9"))
@settings(database=None, deadline=None, max_examples=30)
def test_arrays_are_single(array):
    assert array.shape == (4,)
    assert ((array >= 0) & (array <= 9)).all()


def test_shapes_to_export_at_are_the_representative_ones():
    seen = set()

    @given(trials(ANY))
    @settings(database=None, deadline=None, max_examples=200, derandomize=True)
    def collect(trial):
        seen.add(trial.export_inputs[0].shape)

    collect()
    assert seen == {(), (1,), (2,), (2, 3), (0,), (2, 0)}


@pytest.mark.parametrize(
    ("strategy", "part"),
    [
        (lambda: trials([]), "inputs is empty"),
        (lambda: trials("float32[3]"), r"write \['float32\[3\]'\]"),
        (lambda: trials([3]), "3 is neither a tensor spec nor a Hypothesis strategy"),
        (lambda: trials(["float31[3]"]), "did you mean 'float32'"),
        (lambda: trials(["float32[3] in 2..1"]), "2 is more than 1"),
        (lambda: trials(ANY, max_samples=0), "max_samples=0"),
        (lambda: trials(ANY, max_samples=MAX_SAMPLES + 1), "max_samples=513"),
        (lambda: trials(ANY, export_shapes=[]), "export_shapes is empty"),
        (lambda: trials(ANY, export_shapes=[((3,), (2,))]), "export_shapes.*does not suit"),
        (lambda: trials(["float32[3]"], export_shapes=[((2,),)]), "export_shapes.*does not suit"),
        (lambda: trials(ANY, layouts=[]), "layouts="),
        (lambda: trials(ANY, layouts=["transpose"]), "layouts=.*transposed"),
        (lambda: trials(ANY, variety=[("odd", "contiguous", False)]), "variety="),
        (lambda: samples([]), "inputs is empty"),
        (lambda: arrays("float32[N"), "is not a tensor spec"),
        (lambda: layouts(among=[]), "among is empty"),
        (lambda: layouts(among=["stepwise"]), "did you mean 'stepped'"),
        (lambda: modes(among=[]), "among is empty"),
        (lambda: modes(exporters=[]), r"exporters=\[\]"),
        (lambda: modes(exporters=["dynamo", "jit"]), r"exporters=\['dynamo', 'jit'\] must be some of dynamo"),
    ],
)
def test_bad_arguments_are_rejected_naming_the_argument(strategy, part):
    with pytest.raises(InvalidArgument, match=part):
        find(strategy(), lambda _: True, settings=settings(database=None, max_examples=5))


# Layouts and what goes with them.


def collected(strategy, examples=150):
    found = []

    @given(strategy)
    @settings(database=None, deadline=None, max_examples=examples, derandomize=True)
    def collect(drawn):
        found.append(drawn)

    collect()
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 3, 4), (2, 0, 3)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool"])
def test_a_layout_keeps_shape_and_values(layout, shape, dtype):
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 7).astype(dtype)
    tensor = lay_out(array, layout)
    assert tuple(tensor.shape) == shape
    values = tensor.to(dtype=__import__("torch").float64).numpy()
    if layout == "expanded" and shape and shape[0] > 1:
        assert tensor.stride(0) == 0
        array = np.broadcast_to(array[:1], shape)
    assert np.array_equal(values, array.astype(np.float64))


def test_layouts_are_what_they_are_called():
    array = np.arange(24, dtype="float32").reshape(2, 3, 4)
    assert lay_out(array, "contiguous").is_contiguous()
    assert lay_out(array, "transposed").stride() == (12, 1, 3)
    assert lay_out(array, "stepped").stride() == (24, 8, 2)
    assert lay_out(array, "offset").storage_offset() == 3
    assert lay_out(array, "channels-last").stride() == (12, 1, 3)
    assert lay_out(array, "expanded").stride() == (0, 4, 1)
    image = np.zeros((2, 3, 4, 5), dtype="float32")
    assert lay_out(image, "channels-last").stride() == (60, 1, 15, 3)


def test_only_floating_tensors_require_gradients():
    assert lay_out(np.zeros(2, "float32"), "contiguous", requires_grad=True).requires_grad
    assert not lay_out(np.zeros(2, "int64"), "contiguous", requires_grad=True).requires_grad


def test_trials_reach_every_layout_gradients_and_the_same_tensor_twice():
    specs = ["float32[2, 3, 4]", "float32[2, 3, 4]"]
    drawn = collected(trials(specs, layouts=LAYOUTS, requires_grad=True, same=True), 400)
    tensors = [t.samples[0][0] for t in drawn if not isinstance(t.samples[0][0], np.ndarray)]
    strides = {tensor.stride() for tensor in tensors}
    assert {(12, 4, 1), (12, 1, 3), (24, 8, 2), (0, 4, 1)} <= strides
    assert {tensor.storage_offset() for tensor in tensors} == {0, 3}
    assert {tensor.requires_grad for tensor in tensors} == {True, False}
    assert {t.samples[0][0] is t.samples[0][1] for t in drawn} == {True, False}
    assert any(isinstance(t.samples[0][0], np.ndarray) for t in drawn)


def test_trials_reach_every_variety_of_examples():
    drawn = collected(trials(["float32[2, 3, 4]"], variety=VARIETY), 600)
    examples = [t.export_inputs[0] for t in drawn]
    arrays = {repr(a.reshape(-1)[:5].tolist()) for a in examples if isinstance(a, np.ndarray)}
    assert len(arrays) == 5
    tensors = [a for a in examples if not isinstance(a, np.ndarray)]
    assert len({(t.stride(), t.storage_offset(), t.requires_grad) for t in tensors}) >= 5


def test_without_asking_there_are_only_arrays():
    for trial in collected(trials(ANY, dynamic=True), 100):
        assert all(isinstance(value, np.ndarray) for value in (*trial.export_inputs, *trial.samples[0]))


def test_run_shapes_are_drawn_apart_from_export_shapes():
    drawn = collected(trials(["float32[..., >=1]"], dynamic=True), 400)
    pairs = [(t.export_inputs[0].shape, t.samples[0][0].shape) for t in drawn]
    assert any(one == other for one, other in pairs)
    assert any(0 in run and 0 not in export for export, run in pairs)
    assert any(1 in run and 1 not in export for export, run in pairs)
    assert any(np.prod(run) > np.prod(export) for export, run in pairs)
    assert any((len(run) > 1 and 0 in run[1:-1]) or (len(run) > 2 and 0 in run[:-1]) for _, run in pairs)
    assert {run[-1] for _, run in pairs} >= {1, 2, 3, 4, 5}


def test_constants_are_drawn_often():
    drawn = collected(trials(["float32[8]"], constants=[6.25]), 100)
    values = np.concatenate([sample[0] for trial in drawn for sample in trial.samples])
    assert (values == 6.25).mean() > 0.001
    assert (values == np.nextafter(np.float32(6.25), np.float32(9))).any()


def test_broadcasting_inputs_broadcast():
    seen = set()
    for trial in collected(trials(["float32[...B?]", "float32[...B?]"], dynamic=True), 300):
        one, other = (array.shape for array in trial.samples[0])
        np.broadcast_shapes(one, other)
        seen.add(
            "same"
            if one == other
            else "fewer"
            if len(one) < len(other)
            else "more"
            if len(one) > len(other)
            else "1"
        )
    assert seen == {"same", "fewer", "more", "1"}
