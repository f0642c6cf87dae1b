"""Standalone scripts: they show what is stored, without diffexport."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import strategies as st

from diffexport import catalogue, exporters, graph, target, versions
from diffexport.bridge import to_array
from diffexport.call import Call
from diffexport.case import Case, make_case
from diffexport.errors import UnknownNameError
from diffexport.exporters.purity import Snapshot
from diffexport.inputs import as_call, dynamic_axes
from diffexport.mode import Mode
from diffexport.regressions.arguments import is_tensor
from diffexport.regressions.format import Regression
from diffexport.regressions.script import standalone_script
from diffexport.road import Road
from diffexport.verdict import Kind, Stage

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
    """Walk the road and keep the divergence of the given kind."""
    example = inputs if export_inputs is None else export_inputs
    verdict = Road().check(case, Mode.parse(mode), runtime, inputs, export_inputs=example, strict=True)
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
        where=divergence.where,
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
        "output[0]",
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


# Run alone, in a process of their own.


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


# Every kind, judged in this process.

LIAR = """
    import torch

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return {eager}

        @staticmethod
        def symbolic(g, x):
            {symbolic}

    class Net(torch.nn.Module):
        def forward(self, x):
            return Op.apply(x)
"""
HONEST = "return g.op('Identity', x)"


@pytest.mark.parametrize(
    ("kind", "symbolic", "x"),
    [
        ("value", "return g.op('Neg', x)", floats(1, 2)),
        ("dtype", "return g.op('Cast', x, to_i=11)", floats(1, 2)),
        ("shape", "return g.op('Flatten', x)", floats(1, 2)),
        ("sign-of-zero", "return g.op('Neg', x)", floats(0, 0)),
        ("nan-placement", "return g.op('Sqrt', x)", floats(1, -1)),
        ("infinity", "return g.op('Neg', x)", floats(0, np.inf)),
        ("load-error", "return g.op('NoSuchOperator', x)", floats(1, 2)),
        ("checker-error", "return g.op('NoSuchOperator', x)", floats(1, 2)),
        ("run-error", "return g.op('Reshape', x, g.op('Constant', value_t=torch.tensor([7])))", floats(1, 2)),
        ("export-error", "raise ValueError('no such thing')", floats(1, 2)),
    ],
)
def test_kind_is_judged(kind: str, symbolic: str, x: Any, module: Any, here: Any) -> None:
    case = module(LIAR.format(eager="x.clone()", symbolic=symbolic))
    stored = regression(case, "torchscript", kind, (x,))
    assert here(standalone_script(stored, case))["main"]() is True
    honest = module(LIAR.format(eager="x.clone()", symbolic=HONEST))
    assert here(standalone_script(stored, honest))["main"]() is False


@pytest.mark.parametrize(
    ("kind", "symbolic", "runtime"),
    [
        ("value", "return g.op('Cast', g.op('Sign', g.op('Cast', x, to_i=1)), to_i=16)", "ort-disabled"),
        ("value", "return g.op('Neg', x)", "reference"),
        ("dtype", "return g.op('Cast', x, to_i=1)", "ort-all"),
        ("shape", "return g.op('Unsqueeze', x, g.op('Constant', value_t=torch.tensor([0])))", "ort-disabled"),
        ("infinity", "return g.op('Cast', g.op('Sign', g.op('Cast', x, to_i=1)), to_i=16)", "ort-disabled"),
        ("load-error", "return g.op('Abs', x)", "ort-disabled"),
        (
            "run-error",
            "return g.op('Reshape', x, g.op('Constant', value_t=torch.tensor([7])))",
            "ort-disabled",
        ),
    ],
)
def test_kind_is_judged_in_bfloat16(kind: str, symbolic: str, runtime: str, module: Any, here: Any) -> None:
    x = np.array([2, -3] if kind != "infinity" else [2, np.inf], "bfloat16")
    case = module(LIAR.format(eager="x.clone()", symbolic=symbolic))
    stored = regression(case, "torchscript", kind, (x,), runtime=runtime)
    assert here(standalone_script(stored, case))["main"]() is True
    honest = module(LIAR.format(eager="x.clone()", symbolic=HONEST))
    assert here(standalone_script(stored, honest))["main"]() is False


COMPLEX = """
    import torch

    class Net(torch.nn.Module):
        def forward(self, x):
            return {exported} if torch.compiler.is_exporting() else {eager}
"""


@pytest.mark.parametrize(
    ("kind", "exported", "where"),
    [
        ("value", "x.conj()", "output[0].imag"),
        ("value", "x + 1", "output[0].real"),
        ("dtype", "x.real", "output[0]"),
        ("shape", "x[:1]", "output[0]"),
    ],
)
def test_kind_is_judged_in_complex(kind: str, exported: str, where: str, module: Any, here: Any) -> None:
    case = module(COMPLEX.format(exported=exported, eager="x * 1"))
    stored = regression(case, "dynamo", kind, (np.array([1 + 2j, 3 - 1j], "complex64"),))
    assert stored.where == where
    assert here(standalone_script(stored, case))["main"]() is True
    honest = module(COMPLEX.format(exported="x * 1", eager="x * 1"))
    assert here(standalone_script(stored, honest))["main"]() is False


@pytest.mark.parametrize("runtime", ["reference", "ort-all"])
def test_runtime_is_the_stored_one(runtime: str, module: Any, here: Any) -> None:
    case = module(LIAR.format(eager="x.clone()", symbolic="return g.op('Neg', x)"))
    text = standalone_script(regression(case, "torchscript", "value", PAIR, runtime=runtime), case)
    assert ("ReferenceEvaluator" in text, "ORT_ENABLE_ALL" in text) == (
        runtime == "reference",
        runtime == "ort-all",
    )
    assert here(text)["main"]() is True


@pytest.mark.parametrize(
    ("outputs", "signature"),
    [
        ("g.op('Neg', x), g.op('Identity', x)", "order of outputs"),
        ("g.op('Identity', x), g.op('Neg', x)", ""),
    ],
)
def test_order_of_outputs_is_judged(outputs: str, signature: str, module: Any, here: Any) -> None:
    case = module(LIAR.format(eager="x.clone(), x.neg()", symbolic=f"return {outputs}"))
    if signature:
        stored = regression(case, "torchscript", "structure", PAIR)
        assert stored.signature == signature
    else:
        stored = invented(
            case, "torchscript", Kind.STRUCTURE, PAIR, where="outputs", signature="order of outputs"
        )
    assert here(standalone_script(stored, case))["main"]() is bool(signature)


def test_graph_contract_counts_node_kinds(here: Any) -> None:
    def stored(kinds: tuple[str, ...]) -> tuple[Regression, Case]:
        case = make_case(
            "single",
            catalogue.load("single_output").build,
            inputs=["float32[...]"],
            contract={"torchscript": kinds},
        )
        wanted = {"stage": Stage.CONVERT, "where": "graph", "signature": f"missing {kinds[0]}"}
        return invented(case, "torchscript", Kind.GRAPH_CONTRACT, PAIR, **wanted), case

    assert here(standalone_script(*stored(("Exp", "Exp"))))["main"]() is True
    assert here(standalone_script(*stored(("Add", "Add"))))["main"]() is False


def test_unexpected_success_of_export_and_of_load(here: Any, module: Any) -> None:
    fine = catalogue.load("clamp")
    broken = module(LIAR.format(eager="x.clone()", symbolic="return g.op('NoSuchOperator', x)"))
    kind = Kind.UNEXPECTED_SUCCESS
    for stage, case, diverges in (
        (Stage.CONVERT, fine, True),
        (Stage.CONVERT, broken, True),
        (Stage.LOAD, fine, True),
        (Stage.LOAD, broken, False),
    ):
        stored = invented(case, "torchscript", kind, PAIR, stage=stage, where="model")
        assert here(standalone_script(stored, case))["main"]() is diverges


@pytest.mark.parametrize(
    ("signature", "step"),
    [
        ("forward hooks", "self.register_forward_hook(lambda *_: None)"),
        ("training flag", "self.eval()"),
        ("parameter or buffer total", "self.total += 1"),
        ("attribute seen", "self.seen = 1"),
        ("torch's random state", "torch.rand(1)"),
        ("Python's random state", "random.random()"),
        ("input x0", "x.mul_(2)"),
        ("number of threads", "torch.set_num_threads(torch.get_num_threads() + 1)"),
    ],
)
def test_impure_export_is_seen(signature: str, step: str, module: Any, here: Any) -> None:
    source = """
        import random
        import torch

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("total", torch.zeros(1))

            def forward(self, x):
                {step}
                return x + 1
    """
    changes = {"stage": Stage.CONVERT, "where": "model", "signature": signature}
    threads = torch.get_num_threads()
    try:
        for line, diverges in ((step, True), ("pass", False)):
            case = module(source.format(step=line))
            stored = invented(case, "torchscript,training=PRESERVE", Kind.IMPURE_EXPORT, PAIR, **changes)
            assert here(standalone_script(stored, case))["main"]() is diverges
    finally:
        torch.set_num_threads(threads)


def test_stale_globals_name_the_field(here: Any) -> None:
    case = catalogue.load("clamp")
    changes = {"stage": Stage.CONVERT, "where": "model", "signature": "GLOBALS.training_mode"}
    text = standalone_script(invented(case, "torchscript", Kind.STALE_GLOBALS, PAIR, **changes), case)
    assert "_globals import GLOBALS\n" in text
    main = here(text)["main"]
    holder = main.__globals__["GLOBALS"]
    holder.training_mode = torch.onnx.TrainingMode.TRAINING
    assert main() is True
    assert main() is False


@pytest.mark.parametrize(
    ("declared", "computed", "diverges"),
    [
        ([2], [2], False),
        ([5], [2], True),
        (["n"], [2], False),
        (["x0_d0"], [2], False),
        (["x0_d0"], [3], True),
        ([2, 1], [2], True),
        ([""], [2], False),
    ],
)
def test_declared_type_is_judged(declared: Any, computed: Any, diverges: bool, here: Any) -> None:
    case = catalogue.load("clamp")
    stored = invented(case, "torchscript", Kind.DECLARED_TYPE, PAIR, stage=Stage.CHECK)
    main = here(standalone_script(stored, case))["main"]
    sliced = onnx.helper.make_node("Expand" if computed == [2] else "Pad", ["x0", "to"], ["y"])
    to = onnx.numpy_helper.from_array(np.array([2] if computed == [2] else [0, 1]), "to")
    graph = onnx.helper.make_graph(
        [sliced],
        "main",
        [onnx.helper.make_tensor_value_info("x0", 1, ["x0_d0"])],
        [onnx.helper.make_tensor_value_info("y", 1, declared)],
        [to],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    main.__globals__["export"] = lambda *_: made.SerializeToString()
    assert main() is diverges


def test_unknown_inputs_are_judged(here: Any, module: Any) -> None:
    case = module(
        """
        import torch

        class Net(torch.nn.Module):
            def forward(self, x, y):
                return x + y
        """
    )
    stored = invented(
        case,
        "torchscript",
        Kind.STRUCTURE,
        PAIR * 2,
        stage=Stage.RUN,
        where="inputs",
        signature="unknown inputs",
    )
    main = here(standalone_script(stored, case))["main"]
    assert main() is False
    export = main.__globals__["export"]
    main.__globals__["export"] = lambda *args: export(*args).replace(b"x1", b"y1")
    assert main() is True


def test_crash_only_runs(here: Any) -> None:
    case = catalogue.load("clamp")
    for stage in (Stage.CONVERT, Stage.RUN):
        text = standalone_script(invented(case, "torchscript", Kind.CRASH, INFINITE, stage=stage), case)
        assert "if it dies or hangs, that is it" in " ".join(text.replace("#", "").split())
        assert ("load(" in text) is (stage is Stage.RUN)
        assert here(text)["main"]() is False


# The export has the mode's options.

WEIGHTS = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.LayerNorm(3)
            self.scale = torch.nn.Parameter(torch.arange(3.0) * torch.ones(1))

        def forward(self, x, nothing, pair):
            x = torch.relu(x + pair[0] * pair[1].sum()) @ torch.ones(3, 3).t() * self.scale
            return self.inner(x)
"""
NO_WEIGHTS = """
    import torch

    class Net(torch.nn.Module):
        def forward(self, x, nothing, pair):
            return torch.relu(x + pair[0]) + 2 - pair[1]
"""


@pytest.mark.parametrize(
    "mode",
    [
        "torchscript,opset=11,dynamic=true,do_constant_folding=false",
        "torchscript,keep_initializers_as_inputs=true,training=TRAINING",
        "torchscript,training=PRESERVE,scoped=true",
        "torchscript,operator_export_type=ONNX_FALLTHROUGH,autograd_inlining=false",
        "torchscript,opset=16,export_modules_as_functions=true",
        "dynamo,dynamic=true,optimize=false",
        "dynamo,opset=21,keep_initializers_as_inputs=true",
        "dynamo-strict,dynamic=true",
        "dynamo-strict,keep_initializers_as_inputs=true,optimize=false",
    ],
)
def test_export_is_the_one_of_the_mode(mode: str, module: Any, here: Any) -> None:
    case = module(NO_WEIGHTS if "dynamic" in mode else WEIGHTS)
    args = (np.ones((1, 3), np.float32), None, (np.ones((1, 3), np.float32), np.ones((1, 3), np.float32)))
    stored = invented(case, mode, Kind.OPSET, args, stage=Stage.CONVERT)
    text = standalone_script(stored, case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        got = here(text)["export"](case.build(), as_call(args).args)
        wanted = exporters.export(case.build(), as_call(args), Mode.parse(mode))
    assert wanted.model is not None, wanted.failure
    if mode.startswith("torchscript"):
        assert got == wanted.model
    assert described(got) == described(wanted.model)


def described(model: bytes) -> Any:
    """Return what an export is, without the source lines that the exporter notes in it."""
    proto = onnx.load_model_from_string(model)
    nodes = [(node.op_type, list(node.input), list(node.output)) for node in proto.graph.node]
    seen = graph.inspect(model, 20)
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor).tobytes() for tensor in proto.graph.initializer
    }
    return nodes, seen.opset, [value.name for value in proto.graph.input], seen.inputs, seen.outputs, weights


MATRIX = np.ones((2, 3), np.float32)
LINEAR = """
    import torch

    class Net(torch.nn.Linear):
        def __init__(self):
            super().__init__(3, 2)
"""
VARIADIC = """
    import torch

    class Net(torch.nn.Module):
        def forward(self, x, *rest):
            return x.clamp(min=0) + rest[0] * rest[1]
"""
SWITCHED = """
    import torch

    class Net(torch.nn.Module):
        def forward(self, x, negated, y):
            return y - x if negated else y + x
"""


@pytest.mark.parametrize(
    ("exporter", "written"),
    [
        ("torchscript", 'dynamic_axes={"x0": {0: "N"}}'),
        ("dynamo", "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)"),
        ("dynamo-strict", "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)"),
    ],
)
def test_only_free_axes_are_dynamic(exporter: str, written: str, module: Any, here: Any) -> None:
    case = target.resolve(module(LINEAR).target, inputs=["float32[N, 3]"])
    args = (MATRIX,)
    text = standalone_script(invented(case, f"{exporter},dynamic=true", Kind.VALUE, args), case)
    assert written in text
    script = here(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = onnx.load_model_from_string(script["export"](case.build(), as_call(args).args))
    sizes = exported.graph.input[0].type.tensor_type.shape.dim
    assert [(bool(size.dim_param), size.dim_value) for size in sizes] == [(True, 0), (False, 3)]
    assert exporter != "torchscript" or sizes[0].dim_param == "N"
    assert script["main"]() is False


def test_case_without_specs_has_every_axis_dynamic(module: Any) -> None:
    case = replace(module(LINEAR), inputs=(), strategy=object())
    args = (MATRIX,)
    text = standalone_script(invented(case, "torchscript,dynamic=true", Kind.VALUE, args), case)
    assert 'dynamic_axes={"x0": {0: "x0_d0", 1: "x0_d1"}}' in text
    text = standalone_script(invented(case, "dynamo,dynamic=true", Kind.VALUE, args), case)
    assert "dynamic_shapes=(dict.fromkeys([0, 1], torch.export.Dim.DYNAMIC),)" in text


@pytest.mark.parametrize("mode", ["torchscript,dynamic=true", "dynamo,dynamic=true"])
@pytest.mark.parametrize(
    ("source", "specs", "args"),
    [
        (VARIADIC, ["float32[N, 3]", "float32[3]", "float32[*, 3]"], (MATRIX, floats(1, 2, 3), MATRIX)),
        (SWITCHED, ["float32[N, 3]", "float32[N, 3]"], (MATRIX, True, MATRIX)),
    ],
    ids=["variadic", "switched"],
)
def test_dynamic_export_is_the_one_of_the_tool(
    mode: str, source: str, specs: list[str], args: Any, module: Any, here: Any
) -> None:
    case = target.resolve(module(source).target, inputs=specs)
    entries = iter(case.inputs)
    case = replace(case, inputs=tuple(next(entries) if is_tensor(arg) else st.just(arg) for arg in args))
    script = here(standalone_script(invented(case, mode, Kind.VALUE, args), case))
    axes = dynamic_axes(case, as_call(args))
    assert axes is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = script["export"](case.build(), as_call(args).args)
        wanted = exporters.export(case.build(), as_call(args), Mode.parse(mode), dynamic=axes)
    assert wanted.model is not None, wanted.failure
    assert described(got) == described(wanted.model)
    assert script["main"]() is False


def test_options_at_their_default_are_left_out() -> None:
    case = catalogue.load("clamp")
    text = standalone_script(invented(case, "torchscript", Kind.INFINITY, INFINITE), case)
    call = text[text.index("torch.onnx.export(") : text.index("return buffer")]
    assert "opset_version=20," in call
    for name in (
        "do_constant_folding",
        "training",
        "keep_initializers",
        "operator_export_type",
        "dynamic_axes",
    ):
        assert name not in call


def test_scoped_tracing_is_set_and_put_back() -> None:
    case = catalogue.load("clamp")
    text = standalone_script(invented(case, "torchscript,scoped=true", Kind.INFINITY, INFINITE), case)
    call = text.index("torch.onnx.export(")
    assert text.index("_trace_module_map = {part:") < call < text.index("_trace_module_map = None")


def test_failed_capture_is_not_tried_again_strictly() -> None:
    case = catalogue.load("clamp")
    stored = invented(case, "dynamo", Kind.EXPORT_ERROR, PAIR, stage=Stage.CAPTURE)
    assert "strict=False" in standalone_script(stored, case)
    assert "strict=" not in standalone_script(replace(stored, stage=Stage.CONVERT), case)


@pytest.mark.parametrize(
    ("mode", "call"),
    [
        ("torchscript", "deepcopy(model).eval()("),
        ("torchscript,training=TRAINING", "deepcopy(model).train()("),
        ("torchscript,training=PRESERVE", "deepcopy(model)("),
        ("dynamo", "deepcopy(model)("),
    ],
)
def test_eager_runs_in_the_mode_of_the_export(mode: str, call: str) -> None:
    case = catalogue.load("clamp")
    assert call in standalone_script(invented(case, mode, Kind.INFINITY, INFINITE), case)


# Inputs.

PAYLOAD = np.array([0x7FC00001, 0x3F800000], np.uint32).view(np.float32)


@pytest.mark.parametrize(
    "array",
    [
        np.array(-0.0, np.float32),
        floats(0.1, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3.4028235e38),
        np.array([0.1, 1 / 3], np.float64),
        np.array([[0.1, 65504]], np.float16),
        np.array([[-(2**63), 2**63 - 1]]),
        np.array([], np.float32).reshape(0, 3),
        np.array([True, False]),
        np.array(7, np.uint8),
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2],
        np.broadcast_to(floats(1.5), (2, 3)),
        np.arange(300, dtype=np.int64).reshape(3, 100).T,
        np.full((2, 200), np.nan, np.float32),
        np.linspace(0, 1, 100, dtype=np.float32),
        PAYLOAD,
        PAYLOAD[0],
        np.array([0.1, -0.0, np.inf, np.nan], "bfloat16"),
        np.array(1.5, "bfloat16"),
        np.arange(6).astype("bfloat16").reshape(2, 3).T,
        np.array([0x7FA1, 0xFFC0], np.uint16).view("bfloat16"),
        np.full((2, 200), 3, "bfloat16"),
        np.array([complex(0.1, -0.0), complex(np.nan, -np.inf)], "complex64"),
        np.array(1 - 2j, "complex64"),
        np.arange(6).astype("complex64").reshape(2, 3).T,
        PAYLOAD.view("complex64"),
        np.full((2, 200), complex(0, np.nan), "complex64"),
        np.arange(300).astype("complex64"),
        np.array([60000], np.uint16),
        np.array([2**32 - 1], np.uint32),
        np.array([2**64 - 1], np.uint64),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_tensor_is_exact(array: Any) -> None:
    case = catalogue.load("clamp")
    text = standalone_script(invented(case, "torchscript", Kind.CRASH, (np.asarray(array),)), case)
    (wanted,) = as_call((np.asarray(array),)).args
    (got,) = given_inputs(text)
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    assert got.numel() == 0 or got.stride() == wanted.stride()
    assert to_array(got).tobytes() == to_array(wanted).tobytes()
    assert max(map(len, text.splitlines())) <= 110


def given_inputs(text: str) -> Any:
    """Return the value of ``inputs`` in a script."""
    statement = next(
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "inputs"
    )
    scope: dict[str, Any] = {}
    exec("import base64, zlib, torch\n" + ast.unparse(statement), scope)
    return scope["inputs"]


def test_other_arguments_are_literals() -> None:
    case = catalogue.load("clamp")
    args = (None, True, -3, 0.1, float("inf"), 'a "quoted" \n text', (1, [floats(1)]), [], ())
    text = standalone_script(invented(case, "torchscript", Kind.CRASH, args), case)
    got = given_inputs(text)
    assert got[:6] == args[:6]
    assert got[6][0] == 1
    assert torch.equal(got[6][1][0], torch.tensor([1.0]))
    assert got[7:] == ([], ())
    leaves = ["constant0", "constant1", "constant2", "constant3", "constant4", "x0"]
    assert f"input_names={leaves}".replace("'", '"') in text
    dynamo = standalone_script(invented(case, "dynamo", Kind.CRASH, args), case)
    assert 'input_names=["x0"]' in dynamo


KEYWORDS = """
    import torch

    class Net(torch.nn.Module):
        def forward(self, a, b, options=None, scale=2.0):
            return a + 10 * b + 100 * options["q"][0] * scale
"""


@pytest.mark.parametrize(
    "mode", ["torchscript,dynamic=true", "dynamo", "dynamo,dynamic=true", "dynamo-strict,dynamic=true"]
)
def test_keywords_are_exported_as_by_the_tool(mode: str, module: Any, here: Any) -> None:
    case = replace(module(KEYWORDS), inputs=(), strategy=object())
    same = floats(1, 2, 3)
    call = Call((same,), {"options": {"q": [floats(4, 5, 6)], "n": None}, "b": same})
    text = standalone_script(invented(case, mode, Kind.CRASH, call), case)  # type: ignore[arg-type]
    given = as_call(call)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = here(text)["export"](case.build(), given.args, given.kwargs)
        wanted = exporters.export(case.build(), given, Mode.parse(mode))
    assert wanted.model is not None, wanted.failure
    assert described(got) == described(wanted.model)
    assert here(text)["main"]() is False
    assert "same0 = " in text


MIXED = """
    import torch

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def symbolic(g, x):
            {symbolic}

    class Net(torch.nn.Module):
        def forward(self, a, options=None, scale=2.0):
            return Op.apply(options["x"]), a * scale
"""


def test_keywords_of_bfloat16_are_judged(module: Any, here: Any) -> None:
    lie = "return g.op('Cast', g.op('Sign', g.op('Cast', x, to_i=1)), to_i=16)"
    case = replace(module(MIXED.format(symbolic=lie)), inputs=(), strategy=object())
    x = torch.tensor([9, 2, -3], dtype=torch.bfloat16)[1:].requires_grad_()
    call = Call((floats(1, 2),), {"scale": 0.5, "options": {"x": x}})
    stored = regression(case, "torchscript", "value", call)  # type: ignore[arg-type]
    text = standalone_script(stored, case)
    assert "run_in_values(session, feeds)" in text
    assert "constants = {" in text
    assert here(text)["main"]() is True
    honest = replace(module(MIXED.format(symbolic=HONEST)), inputs=(), strategy=object())
    assert here(standalone_script(stored, honest))["main"]() is False


def test_keywords_of_complex_are_judged(module: Any, here: Any) -> None:
    source = """
        import torch

        class Net(torch.nn.Module):
            def forward(self, a, options=None, scale=2.0):
                return {"one": options["x"][0] + 0, "other": EXPORTED if torch.compiler.is_exporting() else a * scale}
    """
    case = replace(module(source.replace("EXPORTED", "a.conj() * scale")), inputs=(), strategy=object())
    a = torch.tensor([5, 1 + 2j, 3 - 1j], dtype=torch.complex64)[1:]
    call = Call((a,), {"scale": 0.5, "options": {"x": [a]}})
    stored = regression(case, "dynamo", "value", call)  # type: ignore[arg-type]
    assert stored.where == "output[1].imag"
    assert "same0 = " in standalone_script(stored, case)
    assert here(standalone_script(stored, case))["main"]() is True
    honest = replace(module(source.replace("EXPORTED", "a * scale")), inputs=(), strategy=object())
    assert here(standalone_script(stored, honest))["main"]() is False


def test_a_last_dict_stays_positional(module: Any, here: Any) -> None:
    source = """
        import torch

        class Net(torch.nn.Module):
            def forward(self, a, options):
                return a + options["q"]
    """
    case = module(source)
    text = standalone_script(invented(case, "torchscript", Kind.CRASH, (PAIR[0], {"q": PAIR[0]})), case)
    assert "(*args, {})" in text
    assert here(text)["main"]() is False


def test_gradient_offset_and_dicts_are_literals() -> None:
    placed = torch.arange(12.0)[3:].reshape(3, 3).t().requires_grad_()
    case = catalogue.load("clamp")
    args = (placed, torch.tensor(5.0).expand(2)[1:], {"k": (1, None), 2: floats(1)})
    text = standalone_script(invented(case, "torchscript", Kind.CRASH, args), case)
    got = given_inputs(text)
    assert (got[0].storage_offset(), got[0].stride(), got[0].requires_grad) == (3, (1, 3), True)
    assert got[0].tolist() == placed.tolist()
    assert got[1].tolist() == [5.0]
    assert (got[2]["k"], got[2][2].tolist()) == ((1, None), [1.0])


def test_equal_export_inputs_are_written_once() -> None:
    case = catalogue.load("clamp")
    stored = invented(case, "torchscript", Kind.INFINITY, INFINITE)
    assert "example" not in standalone_script(stored, case)
    other = standalone_script(replace(stored, export_inputs=PAIR), case)
    assert "export(model, example)" in other
    assert "[0.5, 1.25]" in other


def test_what_is_not_run_has_no_run_inputs() -> None:
    case = catalogue.load("clamp")
    stored = invented(case, "dynamo", Kind.OPSET, INFINITE, stage=Stage.CONVERT, export_inputs=PAIR)
    text = standalone_script(stored, case)
    assert "[0.5, 1.25]" in text
    assert 'float("inf")' not in text
    assert "onnxruntime." not in text
    assert "ort-disabled" not in text


# The header.


def test_header_says_what_and_how() -> None:
    case = catalogue.load("clamp")
    stored = invented(
        case,
        "torchscript,opset=13",
        Kind.INFINITY,
        INFINITE,
        message="one \x1b[31mred\x1b[0m line\nimport os\r" + "\n." * 40,
        versions={"torch": "9.9", "hypothesis": "1"},
    )
    text = standalone_script(stored, case)
    header = text[: text.index("\n\n")].splitlines()
    assert all(line.startswith("#") for line in header)
    assert "# clamp: infinity (infinities stand in other places or have another sign)" in header
    assert "# one red line" in header
    assert "# import os" in header
    assert "# Exported as torchscript,opset=13, run on ort-disabled" in header
    assert "# Seen with torch 9.9" in header
    assert len(header) < 25
    assert "DIVERGES" in text
    assert "exits 0" in " ".join(header)


def test_unknown_runtime_is_refused() -> None:
    case = catalogue.load("clamp")
    stored = invented(case, "torchscript", Kind.INFINITY, INFINITE, runtime="ort-al")
    with pytest.raises(UnknownNameError, match="ort-al"):
        standalone_script(stored, case)


@pytest.mark.parametrize(
    "changes",
    [
        {"where": 'output[0]"; import os #'},
        {"signature": "GLOBALS.x; import os", "kind": Kind.STALE_GLOBALS},
        {"signature": "attribute '] or [__import__('os')] #", "kind": Kind.IMPURE_EXPORT},
        {"signature": 'missing "; import os', "kind": Kind.GRAPH_CONTRACT},
        {"target": "evil; import os:Net"},
        {"target": "models.py:Net; import os"},
        {"message": "harmless\nimport os\x0cimport os\u2028import os\x85import os"},
        {"versions": {"torch": "1\nimport os"}},
        {"case": "clamp\nimport os"},
    ],
    ids=str,
)
def test_stored_text_is_never_code(changes: dict[str, Any]) -> None:
    case = make_case("clamp", lambda: catalogue.load("clamp").build(), inputs=["float32[...]"])
    stored = replace(invented(case, "torchscript", Kind.VALUE, PAIR), **changes)
    text = standalone_script(stored, case)
    assert "os" not in imported(text)
    calls = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and node.id == "__import__"
    ]
    assert not calls


# The model's source.


def script_of(case: Case) -> str:
    text = standalone_script(invented(case, "torchscript", Kind.INFINITY, INFINITE), case)
    compile(text, "script", "exec")
    return text


def test_closure_follows_bases_annotations_decorators_and_changes(module: Any, here: Any) -> None:
    case = module(
        '''
        from __future__ import annotations

        import functools
        import torch
        from dataclasses import dataclass, field
        from typing import TYPE_CHECKING, Any

        if TYPE_CHECKING:
            from collections.abc import Sequence

        try:
            import no_such_module as fast
        except ImportError:
            fast = None

        SIZES: tuple[int, ...] = (1, 2)
        SIZES += (3,)
        LIMIT = min(SIZES)
        other = 5

        def traced(function):
            """Doc."""
            @functools.wraps(function)
            def inner(*args):
                other = function(*args)
                return other
            return inner

        @dataclass
        class Options:
            low: float = 0
            steps: list[Later] = field(default_factory=list)

        class Later:
            pass

        class Base(torch.nn.Module):
            pass

        class Unrelated(Base):
            pass

        class Net(Base):
            @traced
            def forward(self, x: torch.Tensor, sizes: Sequence[int] = SIZES) -> torch.Tensor:
                assert fast is None
                return x.clamp(min=Options().low) * self.scale * LIMIT

        Net.scale = 1
        Unrelated.scale = 2
        print("not part of it")
        '''
    )
    text = script_of(case)
    for part in (
        "from __future__ import annotations\n",
        "try:\n    import no_such",
        "@dataclass\nclass Options",
    ):
        assert part in text
    for part in ("SIZES += (3,)", "Net.scale = 1\n", "if TYPE_CHECKING:\n    from coll", "class Later"):
        assert part in text
    for part in ("Unrelated", "not part of it", "other = 5", "import Any"):
        assert part not in text
    assert text.index("class Base") < text.index("class Net") < text.index("Net.scale")
    assert here(text)["main"]() is True


def test_only_the_names_in_use_are_imported() -> None:
    text = script_of(catalogue.load("clamp"))
    assert "from typing import Any\n" in text
    assert "make_case" not in text
    assert "ENTRIES" not in text
    assert "class TopThree" not in text
    assert "type: ignore" not in text
    assert imported(text) == {"copy", "io", "sys", "warnings", "typing", "numpy", "onnxruntime", "torch"}


def test_factory_instance_and_reexport(module: Any, here: Any) -> None:
    source = """
        import torch

        class Net(torch.nn.Module):
            def forward(self, x):
                return x.clamp(min=0)

        def make():
            return Net()

        instance = make()
        Alias = Net
    """
    for name, made in (("make", "make()"), ("instance", "instance"), ("Alias", "Net()")):
        text = script_of(module(source, name))
        assert f"    model = {made}\n" in text
        assert here(text)["main"]() is True


def test_registration_by_diffexport_is_left_out(module: Any, here: Any) -> None:
    case = module(
        """
        import torch
        from diffexport.versions import functools as registry

        class Net(torch.nn.Module):
            def forward(self, x):
                return x.clamp(min=0)

        @registry.cache
        def make():
            return Net()
        """,
        "make",
    )
    text = script_of(case)
    assert "registry" not in text
    assert "could not be copied" not in text
    assert here(text)["main"]() is True


def test_relative_and_star_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Any) -> None:
    package = tmp_path / "package_for_script"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "ops.py").write_text("def floor(x):\n    return x.clamp(min=0)\n")
    source = "import torch\nfrom math import *\nfrom .ops import floor\n"
    source += "class Net(torch.nn.Module):\n    def forward(self, x):\n        return floor(x) * cos(0)\n"
    (package / "models.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    text = script_of(target.resolve("package_for_script.models:Net", inputs=["float32[...]"]))
    assert "from package_for_script.ops import floor\n" in text
    assert "from math import *\n" in text
    assert "# Needs package_for_script as well\n" in text
    monkeypatch.syspath_prepend(str(tmp_path))
    assert here(text)["main"]() is True


def test_random_weights_are_pointed_out(module: Any) -> None:
    source = """
        import torch

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                {line}

            def forward(self, x):
                return x
    """
    assert "torch.manual_seed(0)" in script_of(
        module(source.format(line="self.inner = torch.nn.Linear(1, 1)"))
    )
    assert "torch.manual_seed" not in script_of(module(source.format(line="pass")))


LAMBDA = """
    import torch
    import diffexport.case

    class Net(torch.nn.Module):
        def __init__(self, low):
            super().__init__()
            self.low = low

        def forward(self, x):
            return x.clamp(min=self.low)

    case = diffexport.case.make_case("mine", lambda: Net(0), inputs=["float32[...]"])
"""


def test_lambda_falls_back_to_the_target(module: Any, here: Any) -> None:
    case = module(LAMBDA, "case")
    text = script_of(case)
    assert "# The model's source could not be copied: it needs 'import diffexport.case'" in text
    assert f'spec_from_file_location("target", {case.target.rpartition(":")[0]!r})' in text
    assert "diffexport" not in imported(text)
    assert here(text)["main"]() is True


def test_lambda_in_an_importable_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Any) -> None:
    (tmp_path / "my_models_for_script.py").write_text(textwrap.dedent(LAMBDA), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    text = script_of(target.resolve("my_models_for_script:case"))
    assert "target = importlib.import_module('my_models_for_script')" in text
    assert here(text)["main"]() is True


def test_closure_without_a_target_leaves_a_gap(here: Any) -> None:
    low = 0

    class Local(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.clamp(min=low)

    for build in (Local, lambda: Local()):
        text = script_of(make_case("mine", build, inputs=["float32[...]"]))
        assert "could not be copied" in text
        with pytest.raises(NotImplementedError, match="put the model here"):
            here(text)["main"]()


def test_names_of_the_script_are_not_shadowed(module: Any, here: Any) -> None:
    case = module(
        """
        import torch

        def export(x):
            return x.clamp(min=0)

        class Net(torch.nn.Module):
            def forward(self, x):
                return export(x)
        """
    )
    text = script_of(case)
    assert "both define export" in text
    assert here(text)["main"]() is True


def test_part_of_torch_is_imported(here: Any) -> None:
    case = target.resolve("torch.nn:ReLU", inputs=["float32[...]"])
    text = standalone_script(invented(case, "torchscript", Kind.VALUE, PAIR), case)
    assert "it is part of torch" in text
    assert here(text)["main"]() is False
