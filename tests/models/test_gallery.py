"""Real models, each under a small budget, on finite ordinary values; docs/findings.md has what they showed.

The cheapest are in every run of the tests, the rest in ``tox -e models``, where nothing may be missing.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gallery_entries import GALLERY, HERE, KNOWN, REGRESSIONS, ROOT

import diffexport
from diffexport.values import Mode, ModePattern

#: Set by ``tox -e models``.
EVERY = "DIFFEXPORT_MODELS"
RUNTIMES = ("ort-disabled", "ort-all", "reference")

pytestmark = pytest.mark.slow


def need(entry):
    if not entry.cheap and not os.environ.get(EVERY):
        pytest.skip("tox -e models has it")
    if entry.needs and not os.environ.get(EVERY):
        pytest.importorskip(entry.needs)


def expected(entry, text):
    mode = Mode.parse(text)
    if any(ModePattern.parse(one["modes"]).matches(mode) for one in entry.refuses):
        return {"refused"}
    return {"agrees", "known"}


@pytest.mark.parametrize("entry", GALLERY, ids=[entry.name for entry in GALLERY])
@pytest.mark.filterwarnings("default")
def test_diverges_only_as_is_known(entry, monkeypatch):
    need(entry)
    monkeypatch.chdir(ROOT)
    result = diffexport.check(
        entry.case(),
        modes=entry.modes,
        runtimes=RUNTIMES,
        rounds=1,
        ordinary=True,
        no_empty=True,
        save=REGRESSIONS,
    )
    result.raise_for_findings()
    left_out = [ModePattern.parse(one["modes"]) for one in entry.excludes]
    tested = [mode for mode in entry.modes if not any(one.matches(Mode.parse(mode)) for one in left_out)]
    verdicts = {event.mode: {str(row.verdict) for row in event.rows} for event in result.modes}
    assert set(verdicts) == set(tested)
    assert {mode: seen for mode, seen in verdicts.items() if not seen <= expected(entry, mode)} == {}


def test_every_entry_and_every_regression_is_about_a_model_of_the_gallery():
    named = [(own, entry.attribute) for entry in GALLERY for own in entry.known]
    assert sorted(named) == sorted((one.id, name) for one in KNOWN for name in one.cases)
    assert {one.regression for one in KNOWN} == {path.name for path in REGRESSIONS.glob("*.json")}


def test_the_gallery_is_what_is_promised():
    with_functions = [entry for entry in GALLERY if entry.functions]
    assert len(with_functions) >= 8
    assert sum(entry.cheap for entry in GALLERY) == 5
    for entry in with_functions:
        source = (HERE / "gallery" / entry.file).read_text(encoding="utf-8")
        missing = [name for name in entry.functions if f"{name}.apply(" not in source]
        # torch's own, which its checkpoint applies.
        assert missing in ([], ["CheckpointFunction"])
