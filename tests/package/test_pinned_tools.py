"""Whoever checks a change, a contributor before the commit or CI after it, has the same versions of the tools."""

import re
from pathlib import Path

_ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())


def _pinned(file):
    return dict(re.findall(r"([\w-]+)==([\w.]+)", (_ROOT / file).read_text(encoding="utf-8")))


def test_pre_commit_has_the_versions_that_ci_has():
    hooks, constraints = _pinned(".pre-commit-config.yaml"), _pinned("constraints.txt")
    shared = hooks.keys() & constraints.keys()
    assert {"ruff", "codespell", "rich"} <= shared
    assert {name: hooks[name] for name in shared} == {name: constraints[name] for name in shared}
