"""docs/tutorial.md, run exactly as it is written."""

import os
import re
from pathlib import Path

import pytest
from written_steps import Run, do, environment, matches, steps

import diffexport

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("a\n… b\nc", "a\n12\n3 b\nc\n", True),
        ("a\n…\nc", "a\nc", False),
        ("a (1.5)", "a (1x5)", False),
        ("1 passed in …", "2 passed in 3 s", False),
    ],
)
def test_what_is_shown_is_compared(shown, said, same):
    assert matches(shown, said) is same


def test_the_tutorial_runs_as_it_is_written(tmp_path):
    reader = environment(os.environ, Path(diffexport.__file__).parents[1])
    told = steps(PAGE.read_text(encoding="utf-8"))
    for step in told:
        do(step, tmp_path, reader)
    assert sum(isinstance(step, Run) for step in told) == 3


def test_the_tables_of_the_tutorial_are_valid_configuration(tmp_path):
    from diffexport import config

    text = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S))
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    loaded = config.load(tmp_path / "pyproject.toml")
    assert [entry.id for entry in loaded.known] == ["rounds-halves-to-even"]
    assert [str(entry.modes) for entry in loaded.exclude] == ["dynamo-strict"]
