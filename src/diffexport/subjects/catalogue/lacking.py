"""Rules for Functions whose forward uses an operator that the older opsets lack."""

from __future__ import annotations

from diffexport.subjects.cases import Rule, rule


def lacking(operator: str, first: int) -> tuple[Rule, ...]:
    """Return the rules for a Function that is inlined where its operator has no symbolic below opset ``first``."""
    below = f"torchscript,opset=7..{first - 1},autograd_inlining=true"
    return (
        rule(
            f"{operator} came with opset {first}",
            f"{below},operator_export_type=ONNX",
            "refuses",
            error=f"Couldn't export operator {operator}",
        ),
        rule(
            f"{operator} came with opset {first}; ATEN_FALLBACK leaves it",
            f"{below},operator_export_type=ONNX_ATEN_FALLBACK",
            "unloadable",
            nodes=("org.pytorch.aten::ATen",),
        ),
    )
