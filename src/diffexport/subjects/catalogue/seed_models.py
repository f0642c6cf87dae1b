"""The eight models of PyTorch's own autograd-Function export test.

Re-created from ``test/onnx/test_autograd_funs.py`` and ``test/onnx/autograd_helper.py``: the operations, what
is saved for the backward pass and what the backward pass returns are theirs, including what is odd about them
(a backward that multiplies by the saved output, ``erfinv`` of the tuple of saved tensors). Export and run
never reach a backward pass; a reader who compares should find no difference all the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from diffexport.subjects.cases import Case
from diffexport.subjects.catalogue.declare import declare


class ExpThenLog(Function):
    """One output: the logarithm of the exponential."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        y = x.exp().log()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: D102
        (y,) = ctx.saved_tensors
        return grad * y


class SingleOutput(torch.nn.Module):
    """The Function stands between two additions, so that its input and output are intermediate values."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return ExpThenLog.apply(x + 5) + 3


class ExpAndLog(Function):
    """Two outputs, the second computed from the first. Its backward takes one gradient, as upstream's does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        powers = x.exp()
        back = powers.log()
        ctx.save_for_backward(powers, back)
        return powers, back

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: D102
        # Unpacking two saved tensors into one name raises if this is ever called; kept as it is upstream.
        (y,) = ctx.saved_tensors
        return grad * y


class MultiOutput(torch.nn.Module):
    """Returns both outputs of the Function."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        return ExpAndLog.apply(x)


class TopThree(Function):
    """Of topk's two outputs only the values leave the Function. It has no backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        values, _ = torch.topk(x, 3)
        return values


class PartialOutput(torch.nn.Module):
    """Needs a last dimension of at least 3."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return TopThree.apply(x)


class LogOfLog(Function):
    """The inner Function of the nested pair."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        y = x.log().log()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: D102
        (y,) = ctx.saved_tensors
        return grad * y


class ExpThenNested(Function):
    """The outer Function: its forward applies another one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        powers = x.exp()
        inner = LogOfLog.apply(powers)
        ctx.save_for_backward(powers, inner)
        return powers, inner

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: D102
        (y,) = ctx.saved_tensors
        return grad * y


class NestedAutograd(torch.nn.Module):
    """Returns both outputs of the outer Function."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        return ExpThenNested.apply(x)


class SpecialErf(Function):
    """``aten::special_erf`` has no symbolic in the TorchScript exporter (``aten::erf`` has one)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        y = torch.special.erf(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # noqa: ARG004, D102
        saved = ctx.saved_tensors
        return torch.special.erfinv(saved), None


class AtenUnsupported(torch.nn.Module):
    """A Function around one operator that the exporter does not know."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return SpecialErf.apply(x)


class ExpWithSymbolic(Function):
    """Has a ``symbolic``, so the TorchScript exporter uses that and does not look inside.

    As upstream, it saves Python's builtin ``input``, not its argument. That goes unnoticed only without
    gradients: with ``requires_grad=True`` the call raises TypeError (save_for_backward wants tensors).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(input)
        return x.exp()

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:  # noqa: D102
        return g.op("Exp", x)


class LogLogInlined(Function):
    """Has no ``symbolic`` and is inlined. Saves the builtin ``input`` too; see [ExpWithSymbolic][]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(input)
        return x.log().log()


class InlineAndSymbolic(torch.nn.Module):
    """A Function with a ``symbolic`` feeds one that has to be inlined."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return LogLogInlined.apply(ExpWithSymbolic.apply(x))


class InlineWithScopedTracing(InlineAndSymbolic):
    """The same model; upstream exports it with the tracer's module map set, which the mode scoped=true does."""


class Clamp(Function):
    """The helper that the module-name test imports as its second CustomFunction: clamp from below at 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: D102
        (x,) = ctx.saved_tensors
        masked = grad.clone()
        masked[x < 0] = 0
        return masked


class ClampModel(torch.nn.Module):
    """Applies [Clamp][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return Clamp.apply(x)


_SYMBOLIC = ("symbolic-function", "opaque-function")

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        declare(
            "single_output",
            SingleOutput,
            traits=("opaque-function", "aten-ops"),
            nodes=("Add", "Exp", "Log", "Add"),
        ),
        declare("multi_output", MultiOutput, traits=("opaque-function",), nodes=("Exp", "Log")),
        declare("partial_output", PartialOutput, traits=("opaque-function",), nodes=("TopK",)),
        declare(
            "nested_autograd",
            NestedAutograd,
            traits=("opaque-function", "aten-ops"),
            nodes=("Exp", "Log", "Log"),
        ),
        declare("aten_unsupported", AtenUnsupported, traits=("opaque-function", "unsupported-op")),
        declare("inline_and_symbolic", InlineAndSymbolic, traits=_SYMBOLIC, nodes=("Exp", "Log", "Log")),
        declare(
            "inline_with_scoped_tracing",
            InlineWithScopedTracing,
            traits=_SYMBOLIC,
            nodes=("Exp", "Log", "Log"),
        ),
        declare("clamp", ClampModel, traits=("opaque-function",), nodes=("Clip",)),
    )
}
