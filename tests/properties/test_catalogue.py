"""Every case of the catalogue agrees with eager, in every mode, for every input; or as it is known not to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport import assert_agrees
from diffexport.explore.settings import Settings
from diffexport.strategies import modes, trials
from diffexport.subjects import catalogue
from diffexport.values.matrix import default_matrix
from diffexport.values.mode import EXPORTERS, Mode
from diffexport.values.spec import representative_shapes

# Under pytest-xdist one process does a case as a whole, so that what it exported is not exported again.
CASES = [
    pytest.param(case, id=case.name, marks=pytest.mark.xdist_group(case.name))
    for case in catalogue.every(catalogue.MAIN_JOB)
]


def agrees(case, mode, trial):
    for inputs in trial.samples:
        assert_agrees(case, mode, inputs, export_inputs=trial.export_inputs)


@pytest.mark.parametrize("case", CASES)
def test_agrees_in_every_mode(case, diffexport_mode):
    """Deterministic coverage: each mode of the matrix is exported and run, with a few inputs each."""
    limit = 4 if diffexport_mode.description.is_cheap else 1
    shapes = representative_shapes(case.inputs, limit)

    @settings(max_examples=min(4, settings().max_examples))
    @given(trials(case.inputs, dynamic=diffexport_mode.dynamic, export_shapes=shapes))
    def check(trial):
        agrees(case, diffexport_mode, trial)

    check()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("exporter", EXPORTERS)
@given(data=st.data())
def test_agrees_for_mode_and_input_drawn_together(case, exporter, data):
    """Joint drawing: a failure shrinks to the simplest mode and the smallest input at once.

    Over TorchScript any of its thousands of modes is drawn, at a few milliseconds each; the other exporters
    take a fifth of a second, so that theirs come from the matrix and meet exports that are remembered.
    """
    if exporter == "torchscript":
        mode = data.draw(modes(exporters=[exporter]), label="mode")
        shapes = representative_shapes(case.inputs, 8)
    else:
        mode = data.draw(modes(among=default_matrix(exporter)), label="mode")
        shapes = representative_shapes(case.inputs, 1)
    trial = data.draw(trials(case.inputs, dynamic=mode.dynamic, export_shapes=shapes), label="trial")
    agrees(case, mode, trial)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("exporter", EXPORTERS)
@given(data=st.data())
def test_agrees_for_shapes_of_every_kind(case, exporter, dynamic, data):
    """In the plain modes every representative shape is exported at: 0-d, empty, size one, three dimensions."""
    shapes = representative_shapes(case.inputs, 8 if exporter == "torchscript" else 6)
    trial = data.draw(trials(case.inputs, dynamic=dynamic, export_shapes=shapes), label="trial")
    agrees(case, Mode(exporter, dynamic=dynamic), trial)


def test_settings_of_a_run_draw_blocks():
    """The runner and these properties draw from the same strategy; a block holds several samples."""
    assert Settings().block > 1
