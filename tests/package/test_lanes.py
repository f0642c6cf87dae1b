"""Every test is in one of the two environments of tox that run tests by default, and in no more than one."""

import configparser
from pathlib import Path

import pytest

_ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())


@pytest.fixture(scope="module")
def tox():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(_ROOT / "tox.ini", encoding="utf-8")
    return parser


def _folders(text):
    return text.replace("\\", " ").split()


def test_each_folder_of_tests_is_run_once(tox):
    listed = [folder for key in ("wings", "others") for folder in _folders(tox["folders"][key])]
    there = {
        f"tests/{file.relative_to(_ROOT / 'tests').parts[0]}" for file in _ROOT.glob("tests/*/**/test_*.py")
    }
    assert sorted(listed) == sorted(there | {"tests/regressions"})
    assert not list(_ROOT.glob("tests/test_*.py"))


def test_the_two_lists_are_what_runs_by_default(tox):
    default = set(tox["tox"]["envlist"].replace(",", " ").split())
    assert {"py311", "coverage"} <= default
    assert "{[folders]others}" in tox["testenv"]["commands"]
    assert "{[folders]wings}" in tox["testenv:coverage"]["commands"]


def test_the_readme_of_the_tests_names_each_folder(tox):
    table = (_ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    for folder in (*_folders(tox["folders"]["wings"]), *_folders(tox["folders"]["others"])):
        assert f"`{folder.removeprefix('tests/')}/`" in table
