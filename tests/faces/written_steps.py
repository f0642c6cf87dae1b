"""Pages that tell a reader what to do, as steps that a test can do."""

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

#: A file to save, a change to make in a file, or a block of the console.
_STEP = re.compile(
    r"Save this as\s`(?P<name>[\w./]+)`:\n\n```\w+\n(?P<text>.*?)```"
    r"|In `(?P<file>[\w./]+)`:\n\n```diff\n(?P<change>.*?)```"
    r"|```console\n(?P<said>.*?)```",
    re.S,
)
INSTALL = "python -m pip install ."


@dataclass(frozen=True)
class Save:
    """A file is saved."""

    name: str
    text: str


@dataclass(frozen=True)
class Edit:
    """Lines of a file are changed: a diff without line numbers, ``@@`` between places."""

    name: str
    change: str


@dataclass(frozen=True)
class Run:
    """A command is run and prints something, where ``…`` stands for anything."""

    command: str
    shown: str


def steps(page):
    """Return what a page, or a part of one, tells the reader to do, in its order."""
    every = []
    for match in _STEP.finditer(page):
        if match["name"]:
            every.append(Save(match["name"], match["text"]))
        elif match["file"]:
            every.append(Edit(match["file"], match["change"]))
        else:
            for part in re.split(r"^\$ ", match["said"], flags=re.M)[1:]:
                command, _, shown = part.partition("\n")
                every.append(Run(command, shown))
    return every


def matches(shown, said):
    """Return whether ``said`` is what the page shows, where ``…`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, said.strip(), re.S) is not None


def edit(file, change):
    """Make a change in a file; each place must be there exactly once."""
    text = file.read_text(encoding="utf-8")
    for place in re.split(r"^@@\n", change, flags=re.M):
        lines = [(line[:1] or " ", line[1:]) for line in place.splitlines()]
        before = "".join(f"{line}\n" for sign, line in lines if sign != "+")
        after = "".join(f"{line}\n" for sign, line in lines if sign != "-")
        assert text.count(before) == 1, f"{file.name} has this {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")


def install(folder):
    """Do what pip does for a package of loose modules: leave its name and entry points where Python looks."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    information = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entry_points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entry_points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")


def do(step, folder, environment):
    """Do one step in a folder; what a command prints must be what the page shows."""
    if isinstance(step, Save):
        (folder / step.name).write_text(step.text, encoding="utf-8")
    elif isinstance(step, Edit):
        edit(folder / step.name, step.change)
    elif step.command == INSTALL:
        install(folder)
    else:
        ran = subprocess.run(
            step.command,
            shell=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert matches(step.shown, ran.stdout), (
            f"$ {step.command}\n{ran.stdout}{ran.stderr}\n--- is not\n{step.shown}"
        )


def environment(base, *folders):
    """Return the environment of a reader: the folders are on Python's path, its commands are those of this Python."""
    bare = {
        name: value
        for name, value in base.items()
        if name not in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "DIFFEXPORT_PROFILE")
    }
    here = str(Path(sys.executable).parent)
    return {
        **bare,
        "PATH": f"{here}:{base['PATH']}",
        "PYTHONPATH": ":".join(map(str, folders)),
        "COLUMNS": "80",
    }
