from random import Random

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.mode import Mode
from diffexport.spec import admits_all, parse_specs
from diffexport.strategies import modes, samples, trials

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


# Hypothesis cannot move an element to the front, so that a few zeros may stand before it.
@pytest.mark.parametrize("seed", [0, 2])
def test_any_nan_shrinks_to_one_nan_among_few_zeros(seed):
    array = the_array(simplest(trials(ANY), some(np.isnan), seed))
    assert array.size <= 6
    assert np.isnan(array).sum() == 1
    assert (array[~np.isnan(array)] == 0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_value_above_six_shrinks_to_seven(seed):
    array = the_array(simplest(trials(ANY), some(lambda a: a > 6), seed))
    assert array.size <= 6
    assert sorted(array.reshape(-1).tolist()) == [0] * (array.size - 1) + [7]


def test_an_empty_dimension_shrinks_to_an_empty_vector():
    trial = simplest(trials(ANY), lambda trial: any(0 in a.shape for s in trial.samples for a in s))
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


def test_a_larger_block_shrinks_to_just_as_many_as_needed():
    trial = simplest(trials(ANY), lambda trial: len(trial.samples) >= 3)
    assert [sample[0].tolist() for sample in trial.samples] == [0, 0, 0]


@pytest.mark.parametrize(
    ("exporters", "condition", "text"),
    [
        (["dynamo", "torchscript", "dynamo-strict"], lambda mode: True, "dynamo"),
        (["dynamo", "torchscript", "dynamo-strict"], lambda mode: mode.opset >= 18, "dynamo"),
        (["dynamo", "torchscript"], lambda mode: mode.is_torchscript, "torchscript"),
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
    for arrays in (trial.export_inputs, *trial.samples):
        assert [array.dtype.name for array in arrays] == ["float32", "int64", "bool"]
        assert admits_all(SPECS, [array.shape for array in arrays])
        if not dynamic:
            assert [a.shape for a in arrays] == [a.shape for a in trial.export_inputs]
        assert [a.ndim for a in arrays] == [a.ndim for a in trial.export_inputs]
    assert len({tuple(a.shape for a in sample) for sample in trial.samples}) == 1


@given(st.data())
@settings(database=None, deadline=None, max_examples=30)
def test_export_shapes_may_be_given(data):
    trial = data.draw(trials(ANY, export_shapes=[((3, 1),), ((1, 3),)]))
    assert trial.export_inputs[0].shape in {(3, 1), (1, 3)}


@given(samples(SPECS))
@settings(database=None, deadline=None, max_examples=30)
def test_samples_are_the_arrays_alone(arrays):
    assert [array.dtype.name for array in arrays] == ["float32", "int64", "bool"]
    assert admits_all(SPECS, [array.shape for array in arrays])


def test_shapes_to_export_at_are_the_representative_ones():
    seen = set()

    @given(trials(ANY))
    @settings(database=None, deadline=None, max_examples=60, derandomize=True)
    def collect(trial):
        seen.add(trial.export_inputs[0].shape)

    collect()
    assert seen == {(), (1,), (2,), (2, 3), (0,), (2, 0)}


@pytest.mark.parametrize(
    ("strategy", "part"),
    [
        (lambda: trials([]), "specs is empty"),
        (lambda: trials(ANY, max_samples=0), "max_samples=0"),
        (lambda: trials(ANY, export_shapes=[]), "export_shapes is empty"),
        (lambda: samples([]), "specs is empty"),
        (lambda: modes(among=[]), "among is empty"),
        (lambda: modes(exporters=[]), r"exporters=\[\]"),
        (lambda: modes(exporters=["dynamo", "jit"]), r"exporters=\['dynamo', 'jit'\] must be some of dynamo"),
    ],
)
def test_bad_arguments_are_rejected_naming_the_argument(strategy, part):
    with pytest.raises(InvalidArgument, match=part):
        find(strategy(), lambda _: True, settings=settings(database=None, max_examples=5))
