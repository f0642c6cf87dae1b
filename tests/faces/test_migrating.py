"""docs/migrating.md: every option of PyTorch's run_model_test has a row, every row an example, and the examples run."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
PREAMBLE = re.search(r"```python\n(.*?)```", PAGE.partition("\n### ")[0], re.S)[1]
SECTIONS = {
    title: "".join(re.findall(r"```python\n(.*?)```", text, re.S))
    for title, text in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", PAGE, re.S | re.M)
}
ROWS = [name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.M) for name in re.findall(r"`(\w+)`", row)]


def test_every_option_of_upstream_has_a_row():
    import dataclasses
    import inspect

    from torch.onnx._internal.torchscript_exporter import verification

    options = {one.name for one in dataclasses.fields(verification.VerificationOptions)}
    taken = {*inspect.signature(verification.verify).parameters, *options, "script"} - {"options"}
    assert taken == set(ROWS)


def test_every_row_has_an_example():
    assert set(ROWS) == set(SECTIONS)
    assert all("assert" in example for example in SECTIONS.values())


@pytest.mark.parametrize("option", SECTIONS)
def test_the_example_runs(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # A module of its own: what is scripted needs a file to be read from.
    (tmp_path / f"migrating_{option}.py").write_text(PREAMBLE + SECTIONS[option], encoding="utf-8")
    importlib.import_module(f"migrating_{option}")
