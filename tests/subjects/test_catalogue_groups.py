"""Groups of the catalogue: what they are made of, where they may be named, and the table that documents them."""

import re
from pathlib import Path

import pytest

from diffexport.errors import TargetError, UnknownNameError
from diffexport.subjects import catalogue
from diffexport.subjects.targets.resolving import resolve

DOCUMENT = Path(__file__).parents[2] / "docs" / "catalogue.md"
SEEDS = (
    "single_output",
    "multi_output",
    "partial_output",
    "nested_autograd",
    "aten_unsupported",
    "inline_and_symbolic",
    "inline_with_scoped_tracing",
    "clamp",
)


def test_the_main_job_is_the_eight_seed_models():
    assert catalogue.expand([catalogue.MAIN_JOB]) == SEEDS


def test_groups_stand_for_their_cases_in_order_and_once():
    both = catalogue.expand(["clamp", "patterns", "seeds", "models.py:Model", "unchanged_input"])
    patterns = catalogue.expand(["patterns"])
    seeds = tuple(name for name in SEEDS if name != "clamp")
    assert both == ("clamp", *patterns, *seeds, "models.py:Model")
    assert "unchanged_input" in patterns


def test_all_is_every_group():
    assert catalogue.expand(["all"]) == tuple(catalogue.ENTRIES)
    assert {entry.group for entry in catalogue.ENTRIES.values()} == catalogue.GROUPS.keys()


def test_no_case_has_the_name_of_a_group():
    assert not catalogue.ENTRIES.keys() & set(catalogue.names_of_groups())


@pytest.mark.parametrize(
    ("name", "nearest"), [("ptterns", "patterns"), ("unchnged_input", "unchanged_input")]
)
def test_an_unknown_name_suggests_cases_and_groups(name, nearest):
    with pytest.raises(UnknownNameError, match=f"unknown case {name!r} .*did you mean {nearest!r}"):
        resolve(name)


def test_a_group_is_not_a_case():
    with pytest.raises(TargetError, match="'issues' is a group of cases, and one case is wanted here"):
        resolve("issues")
    with pytest.raises(UnknownNameError, match="unknown group 'clamp'"):
        next(catalogue.every("clamp"))


def test_every_entry_is_a_case_of_its_name():
    for name, entry in catalogue.ENTRIES.items():
        case = catalogue.load(name)
        assert (case.name, case.target, case.summary) == (name, name, entry.summary)
        assert len(case.inputs) == len(entry.inputs)


def tables():
    """Return the rows of each table in the document, by its heading."""
    found = {}
    for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.M | re.S):
        rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
        if rows:
            found[heading] = [[cell.strip() for cell in row] for row in rows if "---" not in row[0]][1:]
    return found


def test_the_document_names_every_case_and_no_other():
    named = [re.findall(r"`(\w+)`", row[1]) for rows in tables().values() for row in rows]
    assert all(named)
    assert sorted(name for names in named for name in names) == sorted(catalogue.ENTRIES)


def test_the_document_puts_each_case_with_its_group():
    groups = [("seeds", "upstream"), ("issues",), ("patterns",)]
    for (heading, rows), group in zip(tables().items(), groups, strict=True):
        for row in rows:
            for name in re.findall(r"`(\w+)`", row[1]):
                assert catalogue.ENTRIES[name].group in group, (heading, name)


def test_every_row_issue_and_pattern_to_be_covered_is():
    upstream, issues, patterns = tables().values()
    assert len(upstream) == 18
    numbers = {number for row in issues for number in re.findall(r"\d{5,6}", row[0])}
    cited = {number for e in catalogue.ENTRIES.values() for number in re.findall(r"\d{5,6}", e.origin)}
    assert (
        numbers
        == cited
        == {"61813", "65853", "76684", "85027", "90263", "105454", "113652", "146035", "132134"}
    )
    assert len(patterns) >= 10
