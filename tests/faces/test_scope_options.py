"""``--ordinary`` and ``--no-empty``, also configured, and arguments by name, as a person meets them."""

import json

import onnx
import pytest
import torch

SCOPED = """
import torch
from torch.autograd import Function


class Finite(Function):
    @staticmethod
    def forward(ctx, x):
        return torch.where(torch.isfinite(x), x, torch.zeros_like(x))

    @staticmethod
    def symbolic(g, x):
        return g.op("Identity", x)


class Scoped(torch.nn.Module):
    def forward(self, x, mask=None, negative=False):
        x = -x if negative else x
        return torch.where(mask, Finite.apply(x), x)
"""
BY_NAME = ("--input", "float32[B, N]", "--input", "mask=bool[B, N] mask", "--input", "negative=just(True)")


def test_what_is_left_out_is_said_and_not_tried(project, check):
    (project / "scoped.py").write_text(SCOPED)
    all_of_it = check("scoped.py:Scoped", *BY_NAME, "--examples", 20, code=1)
    assert "inputs:" not in all_of_it.out.partition("modes × runtimes")[0]
    assert all_of_it.report["scope"] == {"ordinary": False, "no_empty": False}
    assert {one["kwargs"]["mask"]["reads"] for one in all_of_it.divergences} == {"[[true]]"}
    assert check("scoped.py:Scoped", *BY_NAME, "--examples", 20, "--ordinary", code=0).report["scope"][
        "ordinary"
    ]
    (project / "pyproject.toml").write_text("[tool.diffexport]\nordinary = true\nno_empty = true\n")
    configured = check("scoped.py:Scoped", *BY_NAME, "--examples", 20, code=0)
    assert "inputs: finite ordinary values only, no empty dimension" in configured.out
    assert configured.report["scope"] == {"ordinary": True, "no_empty": True}


def test_a_stored_finding_has_its_names(project, check, cli):
    (project / "scoped.py").write_text(SCOPED)
    check("scoped.py:Scoped", *BY_NAME, "--examples", 20, code=1)
    file = min((project / "found").glob("*.json"))
    stored = json.loads(file.read_text())
    assert stored["specs"] == ["float32[B, N]", "mask=bool[B, N] mask", "negative=just(True)"]
    assert list(stored["kwargs"]) == ["mask"]
    assert "STILL DIVERGES" in cli("replay", file, code=1).out
    script = cli("show", file, code=0).out
    assert "def forward(self, x0, mask):" in script
    assert "self.inner(x0, mask=mask, negative=True)" in script


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compare_feeds_arguments_by_name(project, cli):
    (project / "scoped.py").write_text(SCOPED)

    class Plain(torch.nn.Module):
        def forward(self, x, mask):
            return torch.where(mask, torch.where(torch.isfinite(x), x, torch.zeros_like(x)), x)

    example = (torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool))
    torch.onnx.export(Plain(), example, "plain.onnx", dynamo=False, input_names=["x", "mask"])
    assert [value.name for value in onnx.load("plain.onnx").graph.input] == ["x", "mask"]
    options = ("--runtime", "ort-disabled", "--examples", 5, "--jobs", 0, "--ordinary")
    out = cli("compare", "plain.onnx", "scoped.py:Scoped", *BY_NAME[:4], *options, code=0).out
    assert "inputs: finite ordinary values only" in out


def test_wrong_bounds_and_names_are_one_line(project, cli):
    (project / "scoped.py").write_text(SCOPED)
    for inputs, line in (
        (("float32[B, N]", "maskk=bool[B, N]"), "did you mean 'mask'"),
        (("int64[B] in 0..<S", "mask=bool[B]"), "'S' names no dimension of any input (known: B)"),
        (("float32[100000, 100000]", "mask=bool[B]"), "GiB"),
    ):
        given = [word for text in inputs for word in ("--input", text)]
        ran = cli("run", "scoped.py:Scoped", *given, "--jobs", 0, code=2)
        assert line in ran.err
        assert len(ran.err.splitlines()) == 1
    ran = cli("run", "scoped.py:Scoped", "--input", "float32[0]", "--no-empty", "--jobs", 0, code=2)
    assert "admits empty tensors only" in ran.out
