"""The recipes of CONTRIBUTING.md, each done as it is written in a copy of the source."""

import os
import re
import shutil
from pathlib import Path

import pytest
from written_steps import Edit, Run, Save, do, edit, environment, steps

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (Add .*?)\n(.*?)(?=^### |\Z)", PAGE, re.M | re.S))
#: What a recipe may change or run.
COPIED = ("src", "docs", "tests/oracle", "tests/subjects", "tests/regressions", "tests/conftest.py")


@pytest.fixture
def copy(tmp_path):
    """A copy of the source, without pyproject.toml, so that a recipe may save its own."""
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (tmp_path / "pyproject.toml").write_text("")
    return tmp_path


def test_there_are_four_recipes_with_commands():
    assert list(RECIPES) == [
        "Add a runtime",
        "Add an exporter",
        "Add an operator rule",
        "Add a case of the catalogue",
    ]
    for recipe in RECIPES.values():
        kinds = [type(step) for step in steps(recipe)]
        assert Run in kinds
        assert Save in kinds or Edit in kinds
        assert "Places to touch: those" in recipe or "Places to touch: the module" in recipe


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works_as_it_is_written(recipe, copy):
    reader = environment(os.environ, copy, copy / "src")
    for step in steps(RECIPES[recipe]):
        do(step, copy, reader)


def test_every_place_named_is_there():
    linked = re.findall(r"\]\(([\w./]+)\)", PAGE)
    named = re.findall(r"`((?:src|tests|docs|benchmarks)/[\w./]*)`", PAGE)
    assert len(linked) > 6
    assert [place for place in (*linked, *named) if not (ROOT / place).exists()] == []


def test_a_change_of_lines_that_are_not_there_fails(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("a\nb\nc\n")
    edit(file, " b\n+d\n")
    assert file.read_text() == "a\nb\nd\nc\n"
    with pytest.raises(AssertionError, match="has this 0 times"):
        edit(file, " b\n+d\n c\n")
