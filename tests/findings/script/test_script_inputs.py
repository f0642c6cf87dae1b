"""Inputs in standalone scripts are exact, and given as the tool gives them."""

from __future__ import annotations

import ast
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from standalone import HONEST, INFINITE, PAIR, described, floats, invented, regression

from diffexport.arrays.bridge import to_array
from diffexport.arrays.inputs import as_call
from diffexport.backends import exporters
from diffexport.findings.scripts.script import standalone_script
from diffexport.subjects import catalogue
from diffexport.values.call import Call
from diffexport.values.mode import Mode
from diffexport.values.verdict import Kind, Stage

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
    "mode",
    [
        "torchscript,dynamic=true",
        *(
            pytest.param(mode, marks=pytest.mark.slow)
            for mode in ("dynamo", "dynamo,dynamic=true", "dynamo-strict,dynamic=true")
        ),
    ],
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
