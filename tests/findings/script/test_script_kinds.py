"""Standalone scripts judge every kind as the tool does; judged in this process."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from standalone import HONEST, INFINITE, PAIR, floats, invented, regression

from diffexport.findings.regressions.format import Regression
from diffexport.findings.scripts.script import standalone_script
from diffexport.subjects import catalogue
from diffexport.subjects.cases.case import Case, make_case
from diffexport.values.verdict import Kind, Stage

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
