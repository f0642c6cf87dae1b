"""What the tests of standalone scripts share: regressions to make scripts of, and how to run them."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from diffexport import versions
from diffexport.backends.graphs import inspection as graph
from diffexport.findings.regressions.format import Regression
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases.case import Case
from diffexport.values.mode import Mode
from diffexport.values.place import Place
from diffexport.values.verdict import Kind, Stage

#: A symbolic that does what its Function does, where that returns its input.
HONEST = "return g.op('Identity', x)"
INFINITE = (np.array(np.inf, np.float32),)
PAIR = (np.array([0.5, 1.25], np.float32),)
FUNCTIONS = "torchscript,export_modules_as_functions=true"


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def regression(
    case: Case,
    mode: str,
    kind: str,
    inputs: tuple[Any, ...],
    export_inputs: tuple[Any, ...] | None = None,
    runtime: str = "ort-disabled",
) -> Regression:
    """Walk the pipeline and keep the divergence of the given kind."""
    example = inputs if export_inputs is None else export_inputs
    verdict = Pipeline().check(case, Mode.parse(mode), runtime, inputs, export_inputs=example, strict=True)
    found = {divergence.kind: divergence for divergence in verdict.divergences}
    assert kind in found, verdict
    divergence = found[Kind(kind)]
    return Regression(
        case=case.name,
        target=case.target,
        mode=Mode.parse(mode),
        runtime=runtime,
        stage=divergence.stage,
        kind=divergence.kind,
        place=divergence.place,
        signature=divergence.signature,
        message=divergence.message,
        inputs=inputs,
        export_inputs=example,
        eager=verdict.eager,
        got=verdict.got,
        versions=versions.installed(),
    )


def invented(case: Case, mode: str, kind: Kind, inputs: tuple[Any, ...], **changes: Any) -> Regression:
    """Make up a regression without exporting anything."""
    stage = changes.pop("stage", Stage.COMPARE)
    made = Regression(
        case.name,
        case.target,
        Mode.parse(mode),
        "ort-disabled",
        stage,
        kind,
        Place.parse(changes.pop("where", "output[0]")),
        "",
        "",
        inputs,
        inputs,
    )
    return replace(made, **changes)


def imported(text: str) -> set[str]:
    """Return the packages that a script imports, at any depth."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def run_alone(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a user does who has no diffexport."""
    assert "diffexport" not in imported(text)
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, path.name], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def described(model: bytes) -> Any:
    """Return what an export is, without the source lines that the exporter notes in it."""
    proto = onnx.load_model_from_string(model)
    nodes = [(node.op_type, list(node.input), list(node.output)) for node in proto.graph.node]
    seen = graph.inspect_graph(model, 20)
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor).tobytes() for tensor in proto.graph.initializer
    }
    return nodes, seen.opset, [value.name for value in proto.graph.input], seen.inputs, seen.outputs, weights
