"""docs/tutorial.md, run exactly as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import diffexport

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
#: A file that the reader is told to save, or a block of the console.
STEP = re.compile(
    r"Save this as\s`(?P<name>[\w.]+)`:\n\n```\w+\n(?P<text>.*?)```|```console\n(?P<said>.*?)```", re.S
)


def steps():
    """Return (file name, text) and ("$", command, output) in the order of the page."""
    found = []
    for match in STEP.finditer(PAGE.read_text(encoding="utf-8")):
        if match["name"]:
            found.append((match["name"], match["text"]))
            continue
        for part in re.split(r"^\$ ", match["said"], flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append(("$", command, output))
    return found


def matches(shown, said):
    """Return whether ``said`` is what the page shows, where ``…`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, said.strip(), re.S) is not None


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
    source = Path(diffexport.__file__).parents[1]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONPATH": str(source),
        "COLUMNS": "80",
    }
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "DIFFEXPORT_PROFILE"):
        environment.pop(name, None)
    commands = 0
    for step in steps():
        if step[0] != "$":
            (tmp_path / step[0]).write_text(step[1], encoding="utf-8")
            continue
        _, command, shown = step
        ran = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert matches(shown, ran.stdout), f"$ {command}\n{ran.stdout}{ran.stderr}\n--- is not\n{shown}"
        commands += 1
    assert commands == 3


def test_the_tables_of_the_tutorial_are_valid_configuration(tmp_path):
    from diffexport import config

    text = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S))
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    loaded = config.load(tmp_path / "pyproject.toml")
    assert [entry.id for entry in loaded.known] == ["rounds-halves-to-even"]
    assert [str(entry.modes) for entry in loaded.exclude] == ["dynamo-strict"]
