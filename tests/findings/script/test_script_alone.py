"""Standalone scripts show what is stored, run alone, in a process of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standalone import FUNCTIONS, INFINITE, PAIR, floats, regression, run_alone

from diffexport.findings.scripts.script import standalone_script
from diffexport.subjects import catalogue

#: Scripts run in processes of their own.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "mode", "kind", "inputs", "export_inputs", "said"),
    [
        ("clamp", "torchscript", "infinity", INFINITE, None, ["inf", "3.4028235e+38"]),
        ("partial_output", "dynamo", "nan-placement", (floats(0, 0, np.nan),), None, ["[nan  0.  0.]"]),
        ("single_output", FUNCTIONS, "impure-export", PAIR, None, ["before: [0]", "after:  [2]"]),
        ("single_output", FUNCTIONS, "nondeterministic-export", PAIR, None, ["INTERNAL ASSERT FAILED"]),
        ("clamp", "dynamo,opset=14", "opset", PAIR, None, ["opset asked for: 14, of the model: 18"]),
    ],
)
def test_catalogue_divergence_shows(
    name: str, mode: str, kind: str, inputs: Any, export_inputs: Any, said: list[str], tmp_path: Path
) -> None:
    case = catalogue.load(name)
    stored = regression(case, mode, kind, inputs, export_inputs)
    result = run_alone(standalone_script(stored, case), tmp_path)
    assert result.returncode == 1, result.stderr
    assert f"DIVERGES: {stored.kind.meaning}\n" in result.stdout
    for text in said:
        assert text in result.stdout
    assert "Traceback" not in result.stdout


def test_agreeing_input_exits_0(tmp_path: Path) -> None:
    case = catalogue.load("clamp")
    stored = regression(case, "torchscript", "infinity", INFINITE)
    result = run_alone(standalone_script(replace(stored, inputs=(floats(1.5),)), case), tmp_path)
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "agrees"), result.stderr


def test_user_file_with_dynamic_axes_runs_on_another_shape(module: Any, tmp_path: Path) -> None:
    case = module(
        """
        from __future__ import annotations

        import json
        import torch
        from torch import nn

        LOWEST = 0
        UNUSED = json.dumps({})

        def floor(x: torch.Tensor) -> torch.Tensor:
            return x.clamp(min=LOWEST)  # noqa: F821

        class Net(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return floor(x)

        if __name__ == "__main__":
            print(Net())
        """
    )
    inputs = (np.array([[1, np.inf, -1]], np.float32),)
    stored = regression(case, "torchscript,dynamic=true", "infinity", inputs, (np.ones((2, 2), np.float32),))
    text = standalone_script(stored, case)
    assert 'dynamic_axes={"x0": {0: "x0_d0", 1: "x0_d1"}}' in text
    assert "LOWEST = 0\n" in text
    for absent in ("UNUSED", "json", "noqa", "__future__", "print(Net())"):
        assert absent not in text
    result = run_alone(text, tmp_path)
    assert result.returncode == 1, result.stderr
    assert "exported: [[1.0000000e+00 3.4028235e+38 0.0000000e+00]]" in result.stdout


def test_bare_function_with_many_elements(module: Any, tmp_path: Path) -> None:
    case = module(
        """
        import torch

        class Floor(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                return x.clamp(min=0) + y
        """,
        "Floor",
    )
    many = np.linspace(-1, 1, 300, dtype=np.float32).reshape(3, 100)
    many[1, 50] = np.inf
    stored = regression(case, "torchscript", "infinity", (many, np.zeros((3, 100), np.float32)))
    text = standalone_script(stored, case)
    assert "return Floor.apply(x0, x1)" in text
    assert "base64.b64decode" in text
    assert "torch.full((300,), 0.0, dtype=torch.float32).reshape((3, 100))" in text
    assert max(map(len, text.splitlines())) <= 110
    result = run_alone(text, tmp_path)
    assert (result.returncode, result.stderr) == (1, "")
