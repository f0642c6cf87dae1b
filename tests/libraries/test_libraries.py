"""Autograd Functions of popular packages, with what is known of each; docs/findings.md has the divergences.

The packages are pinned in the extra ``libraries``. The cheapest of them are installed with the tests; the rest by
``tox -e libraries``, where nothing may be missing.
"""

import os
import tomllib
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import diffexport
from diffexport.subjects.cases import known
from diffexport.subjects.targets.resolving import resolve
from diffexport.tools.scan.variants import DEFAULT_MODES, DEFAULT_RUNTIMES, RULES_OF_A_SCAN
from diffexport.values.mode import EXPORTERS

HERE = Path(__file__).parent
FUNCTIONS = tomllib.loads((HERE / "functions.toml").read_text(encoding="utf-8"))["function"]
KNOWN = known.load_known(HERE / "known.toml")
#: Set by ``tox -e libraries``.
EVERY = "DIFFEXPORT_LIBRARIES"
PINNED = dict(
    requirement.split("==")
    for requirement in tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]["optional-dependencies"]["libraries"]
)


def need(package):
    try:
        have = version(package)
    except PackageNotFoundError:
        if os.environ.get(EVERY):
            raise
        pytest.skip(f"{package} is not installed; tox -e libraries has it")
    if have != PINNED[package]:
        pytest.skip(f"{package} {have} is installed, and {PINNED[package]} is what is known of")


@pytest.mark.parametrize("entry", FUNCTIONS, ids=[entry["target"] for entry in FUNCTIONS])
def test_diverges_only_as_is_known(entry, monkeypatch):
    need(entry["package"])
    monkeypatch.chdir(HERE.parents[1])
    case = resolve(entry["target"], inputs=entry["inputs"])
    case = replace(case, rules=(*case.rules, *RULES_OF_A_SCAN))
    result = diffexport.check(
        case,
        modes=DEFAULT_MODES,
        runtimes=DEFAULT_RUNTIMES,
        examples=5,
        known=[one for one in KNOWN if one.id in entry.get("known", ())],
        save=HERE / "regressions",
    )
    result.raise_for_findings()
    verdicts = {event.mode: {row.verdict for row in event.rows} for event in result.modes}
    exported = [name for name in EXPORTERS if not verdicts[name] & {"refused", "untested"}]
    assert exported == sorted(entry["exports"])


def test_every_entry_is_about_a_function_that_is_tested():
    named = {
        (own, entry["target"].partition(":")[2]) for entry in FUNCTIONS for own in entry.get("known", ())
    }
    assert named == {(one.id, name) for one in KNOWN for name in one.cases}
    assert {entry["package"] for entry in FUNCTIONS} <= PINNED.keys()
    stored = {path.name for path in (HERE / "regressions").glob("*.json")}
    assert {one.regression for one in KNOWN} == stored
