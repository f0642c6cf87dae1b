"""Autograd Functions that broke PyTorch's exporter once, each from an issue on GitHub; the numbers are in the index.

The models are made in the shape of those reports, not copied from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from diffexport.subjects.cases import Case, rule
from diffexport.subjects.catalogue.declare import declare
from diffexport.subjects.catalogue.lacking import lacking


class RunsCallable(Function):
    """Runs what it is given on the rest of its arguments, as checkpointing does (61813)."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., Tensor], *args: Tensor) -> Tensor:  # noqa: ARG004, D102
        return run(*args)


class CallableArgument(torch.nn.Module):
    """Hands a function of its own to [RunsCallable][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        def doubled(value: Tensor) -> Tensor:
            return value + value

        return RunsCallable.apply(doubled, x)


class ReluWithMask(Function):
    """Relu as a clamp, with a masked backward (65853)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: D102
        (x,) = ctx.saved_tensors
        return grad * (x >= 0)


class FallthroughRelu(torch.nn.Module):
    """Ordinary operators stand before and behind the Function."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return -ReluWithMask.apply(-x)


class RoundedMaximum(Function):
    """Gives a tensor of another shape, so that what follows needs to know it (76684)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return x.amax(dim=(0, 2), keepdim=True).round().transpose(0, 1)


class MissingSymbolic(torch.nn.Module):
    """The Function's output is the weight of a convolution, which the exporter wants to know the shape of."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return torch.nn.functional.conv1d(x, RoundedMaximum.apply(x), groups=2)


class ExpOfErf(Function):
    """One operator that ONNX has, and one that the TorchScript exporter does not know (85027)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return torch.special.erf(x).exp()


class InlinedWithFallback(torch.nn.Module):
    """Applies [ExpOfErf][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return ExpOfErf.apply(x)


class ErfBySymbolic(Function):
    """Its forward cannot be exported; its symbolic can, and is all that counts (90263)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return torch.special.erf(x)

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:  # noqa: D102
        return g.op("Erf", x)


class SymbolicHidesForward(torch.nn.Module):
    """Applies [ErfBySymbolic][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return ErfBySymbolic.apply(x)


class FakeQuantise(Function):
    """Rounds to multiples of a scale; its symbolic is a pair of operators of a vendor (105454)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, axis: int) -> Tensor:  # noqa: ARG004, D102
        return (x / scale).round().clamp(-127, 127) * scale

    @staticmethod
    def symbolic(g: Any, x: Any, scale: Any, axis: int) -> Any:  # noqa: D102
        zero = g.op("Constant", value_t=torch.zeros(1, dtype=torch.int32))
        quantised = g.op("vendor::Quantize", x, scale, zero, axis_i=axis).setType(x.type())
        return g.op("vendor::Dequantize", quantised, scale, zero, axis_i=axis).setType(x.type())


class QuantisedWeight(torch.nn.Module):
    """The weight of a 1×1 convolution is quantised on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, -0.75, 3.5]).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.5]))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return torch.nn.functional.conv2d(x, FakeQuantise.apply(self.weight, self.scale, 0))


class IdentityByName(Function):
    """An identity with a symbolic (113652, 146035)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return x.clone()

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:  # noqa: D102
        return g.op("Identity", x)


class AppliesIdentity(torch.nn.Module):
    """What is traced."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return IdentityByName.apply(x)


class TracedInScript(torch.nn.Module):
    """What is scripted: control flow, and a traced module in one of its branches."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.jit.trace(AppliesIdentity(), torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if x.size(0) == 1:
            return x + 1
        return self.inner(x)


def traced_in_script() -> Any:
    """Return the scripted module."""
    return torch.jit.script(TracedInScript())


class ReturnsConstant(Function):
    """What it returns has nothing to do with its input (132134)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return torch.tensor([1.0, -2.5])


class ConstantOutput(torch.nn.Module):
    """Returns the constant beside something that is none."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        return ReturnsConstant.apply(x), x + 1


_OPAQUE = ("opaque-function",)
_BOTH = ("opaque-function", "aten-ops")

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        declare("callable_argument", CallableArgument, traits=_OPAQUE, nodes=("Add",)),
        declare("fallthrough_relu", FallthroughRelu, traits=_BOTH, nodes=("Neg", "Clip", "Neg")),
        declare(
            "missing_symbolic",
            MissingSymbolic,
            traits=_BOTH,
            nodes=("ReduceMax", "Round", "Conv"),
            rules=[
                rule(
                    "the error names the Function that lacks a symbolic",
                    "torchscript,operator_export_type=ONNX,autograd_inlining=false",
                    "refuses",
                    error="Couldn't export Python operator RoundedMaximum",
                ),
                *lacking("aten::amax", 11),
            ],
        ),
        declare(
            "inlined_with_fallback",
            InlinedWithFallback,
            traits=("opaque-function", "unsupported-op"),
            rules=[
                rule(
                    "what ONNX has is inlined beside what it lacks",
                    "torchscript,operator_export_type=ONNX_ATEN_FALLBACK,autograd_inlining=true",
                    "unloadable",
                    nodes=("org.pytorch.aten::ATen", "Exp"),
                )
            ],
        ),
        declare(
            "symbolic_hides_forward",
            SymbolicHidesForward,
            traits=("symbolic-function",),
            nodes=("Erf",),
            rules=[
                rule(
                    "Erf came with opset 9",
                    "torchscript,opset=7..8",
                    "invalid",
                    error="No Op registered for Erf",
                )
            ],
        ),
        declare(
            "quantised_weight",
            QuantisedWeight,
            traits=("symbolic-function", "aten-ops"),
            rules=[
                rule(
                    "the shape of what a custom domain gives is unknown, although its type is set",
                    "torchscript,operator_export_type=ONNX",
                    "refuses",
                    error="ONNX export of convolution for kernel of unknown shape",
                ),
                rule(
                    "no runtime has the vendor's domain",
                    "torchscript",
                    "unloadable",
                    nodes=("vendor::Quantize", "vendor::Dequantize"),
                ),
            ],
        ),
        declare(
            "traced_in_script",
            traced_in_script,
            traits=("symbolic-function", "aten-ops"),
            rules=[
                rule(
                    "torch.export takes no scripted module",
                    "dynamo*",
                    "refuses",
                    error="Exporting a ScriptModule is not supported",
                ),
                rule(
                    "modules as functions hook modules, which scripted ones cannot be",
                    "torchscript,export_modules_as_functions=true",
                    "refuses",
                    error="register_forward_hook is not supported on ScriptModules",
                ),
                rule(
                    "a Function in a branch is not in scope",
                    "torchscript,dynamic=true",
                    "refuses",
                    error="not in scope",
                ),
                rule(
                    "ONNX_ATEN keeps the branch, in which the Function is not in scope",
                    "torchscript,operator_export_type=ONNX_ATEN",
                    "refuses",
                    error="not in scope",
                ),
            ],
        ),
        declare(
            "constant_output",
            ConstantOutput,
            traits=_BOTH,
            rules=[
                rule(
                    "modules as functions find no scope for a constant that is half inlined",
                    "torchscript,export_modules_as_functions=true,autograd_inlining=true,"
                    "operator_export_type=ONNX_FALLTHROUGH|ONNX_ATEN",
                    "refuses",
                    error=r"no_scope_nlist.empty\(\) INTERNAL ASSERT FAILED",
                ),
            ],
        ),
    )
}
