"""Fixtures for the tests of standalone scripts."""

from __future__ import annotations

import runpy
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from diffexport.pytorch.purity import Snapshot
from diffexport.subjects.cases.case import Case
from diffexport.subjects.targets import resolving as target


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Run a script's definitions in this process; its ``main`` and ``export`` can then be called."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "target", None)

    def load(text: str) -> dict[str, Any]:
        path = tmp_path / "here.py"
        path.write_text(text, encoding="utf-8")
        return runpy.run_path(str(path))

    before = Snapshot.take(torch.nn.Module(), ())
    yield load
    before.restore_globals()


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str, str], Case]:
    """Write a module and return the case that a target in it names."""

    def write(source: str, name: str = "Net") -> Case:
        path = tmp_path / f"models{len(list(tmp_path.glob('models*.py')))}.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return target.resolve(f"{path}:{name}")

    return write
