"""Packages that add runtimes and exporters, installed for one test."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from diffexport.values import EXPORTER_REGISTRY, RUNTIME_REGISTRY

PLUGIN = Path(__file__).parent / "plugin"


def write_package(folder, name, modules, **groups):
    """Put a package where Python finds it, with the entry points of each group as a dict."""
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)
    information = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, entry_points in groups.items():
        lines += [f"[diffexport.{group}]", *(f"{key} = {value}" for key, value in entry_points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def installed_plugin(tmp_path_factory):
    """The folder that the package in ``plugin`` is installed into, by pip where its build backend is there."""
    target = tmp_path_factory.mktemp("site")
    if find_spec("hatchling") is not None:
        source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("source") / "plugin")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
        ]
        done = subprocess.run([*pip, "--target", target, source], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return target
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    shutil.copytree(PLUGIN / "src", target, dirs_exist_ok=True)
    groups = {name.removeprefix("diffexport."): group for name, group in project["entry-points"].items()}
    write_package(target, project["name"], {}, **groups)
    return target


@pytest.fixture
def plugin_environment(installed_plugin):
    """The environment of a process in which the package is installed."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(installed_plugin), os.environ.get("PYTHONPATH")))),
    }


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package that is installed in this process until the test ends; see [write_package][]."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    def write(name, modules=None, **groups):
        write_package(folder, name, modules or {}, **groups)
        for registry in (RUNTIME_REGISTRY, EXPORTER_REGISTRY):
            registry.forget()

    yield write
    monkeypatch.undo()
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) and str(folder) in sys.modules[module].__file__:
            del sys.modules[module]
    for registry in (RUNTIME_REGISTRY, EXPORTER_REGISTRY):
        registry.forget()


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run the command line in this process; returns exit code, output, errors."""
    from diffexport.faces.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["diffexport", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code or 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run
