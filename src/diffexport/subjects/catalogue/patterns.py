"""How libraries write autograd Functions: a model for each pattern of the census in docs/catalogue.md."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from diffexport.subjects.cases import Case, rule
from diffexport.subjects.catalogue.declare import declare
from diffexport.subjects.catalogue.lacking import lacking


class SquarePlusOne(Function):
    """Forward takes no ctx; what backward needs is saved apart from it."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:  # noqa: D102
        return x * x + 1

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004, D102
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: D102
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class SetupContextStyle(torch.nn.Module):
    """Applies [SquarePlusOne][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return SquarePlusOne.apply(x)


class Configured(Function):
    """An int, a float, a bool, None and a tuple steer what it computes."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        x: Tensor,
        dim: int,
        slope: float,
        keep: bool,
        bias: Tensor | None,
        bounds: tuple[float, float],
    ) -> Tensor:
        ctx.slope = slope
        y = torch.where(x > 0, x, slope * x)
        if bias is not None:
            y = y + bias
        return y.clamp(*bounds).amax(dim, keepdim=keep)


class PlainArguments(torch.nn.Module):
    """The arguments are attributes of the module, as in most libraries."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.slope, self.keep, self.bias, self.bounds = -1, 0.25, True, None, (-4.0, 8.0)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return Configured.apply(x, self.dim, self.slope, self.keep, self.bias, self.bounds)


class PositivePart(Function):
    """Returns values and a mask; the mask has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        mask = x > 0
        ctx.mark_non_differentiable(mask)
        ctx.save_for_backward(mask)
        return torch.where(mask, x, torch.zeros_like(x)), mask

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> Tensor:  # noqa: D102
        (mask,) = ctx.saved_tensors
        return grad * mask


class MaskBesideValues(torch.nn.Module):
    """Returns both."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        return PositivePart.apply(x)


class DoublesInPlace(Function):
    """Changes its argument, and says so."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004, D102
        return 2 * grad


class InPlaceForward(torch.nn.Module):
    """What is changed is the model's own, and is used again afterwards."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        own = x + 1
        doubled = DoublesInPlace.apply(own)
        return doubled, own - 1


class InPlaceOnInput(torch.nn.Module):
    """What is changed is the caller's; where a gradient is wanted of it, that is an error in eager too."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return DoublesInPlace.apply(x)


class Cubed(Function):
    """Its backward is not made of differentiable operations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: D102
        (x,) = ctx.saved_tensors
        return 3 * x * x * grad


class OnceDifferentiable(torch.nn.Module):
    """Applies [Cubed][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return Cubed.apply(x)


class RunsModule(Function):
    """Calls a module that is one of its arguments, as reversible blocks do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, module: torch.nn.Module) -> Tensor:  # noqa: ARG004, D102
        with torch.no_grad():
            return module(x)


class AppliesModule(torch.nn.Module):
    """The module has weights, which are to end up in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(3, 2)
        with torch.no_grad():
            self.inner.weight.copy_(torch.tensor([[1.0, -2.0, 0.5], [0.25, 4.0, -1.0]]))
            self.inner.bias.copy_(torch.tensor([0.5, -3.0]))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return RunsModule.apply(x, self.inner)


class RoundStraight(Function):
    """A straight-through estimator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return x.round()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004, D102
        return grad


class StraightThrough(torch.nn.Module):
    """Quantises to quarters."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return RoundStraight.apply(x * 4) / 4


class Spike(Function):
    """A step; for its gradient it passes as a sigmoid."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        ctx.alpha = alpha
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        (x,) = ctx.saved_tensors
        near = torch.sigmoid(ctx.alpha * x)
        return grad * ctx.alpha * near * (1 - near), None


class SurrogateSpike(torch.nn.Module):
    """A neuron that fires at 1, and is reset."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        spike = Spike.apply(x - 1.0, 4.0)
        return spike, x - spike


class AddsCount(Function):
    """Adds how many elements are positive, taken out of the tensor as a number: a tracer sees a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return x + int((x > 0).sum())


class CountedConstant(torch.nn.Module):
    """Applies [AddsCount][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return AddsCount.apply(x)


class ReversesGradient(Function):
    """Returns its very argument."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:  # noqa: D102
        ctx.weight = weight
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        return -ctx.weight * grad, None


class UnchangedInput(torch.nn.Module):
    """Applies [ReversesGradient][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return ReversesGradient.apply(x, 0.5)


_OPAQUE = ("opaque-function",)
_BOTH = ("opaque-function", "aten-ops")

_NO_MARK = rule(
    "strict capture knows no mark_dirty",
    "dynamo-strict",
    "refuses",
    error="autograd.Function context `mark_dirty`",
)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        declare("setup_context_style", SetupContextStyle, traits=_OPAQUE, nodes=("Mul", "Add")),
        declare(
            "plain_arguments",
            PlainArguments,
            traits=_OPAQUE,
            nodes=("Where", "ReduceMax"),
            rules=lacking("aten::gt", 9),
        ),
        declare(
            "mask_beside_values",
            MaskBesideValues,
            traits=_OPAQUE,
            nodes=("Greater", "Where"),
            rules=lacking("aten::gt", 9),
        ),
        declare(
            "in_place_forward", InPlaceForward, traits=_BOTH, nodes=("Add", "Mul", "Sub"), rules=[_NO_MARK]
        ),
        declare("in_place_on_input", InPlaceOnInput, traits=_OPAQUE, nodes=("Mul",), rules=[_NO_MARK]),
        declare("once_differentiable", OnceDifferentiable, traits=_OPAQUE, nodes=("Mul", "Mul")),
        declare(
            "applies_module",
            AppliesModule,
            traits=_OPAQUE,
            rules=[
                rule(
                    "a module among the arguments cannot be traced into",
                    "torchscript,autograd_inlining=true",
                    "refuses",
                    error="unordered_map::at",
                )
            ],
        ),
        declare(
            "straight_through",
            StraightThrough,
            traits=_BOTH,
            nodes=("Mul", "Round", "Div"),
            rules=lacking("aten::round", 11),
        ),
        declare("surrogate_spike", SurrogateSpike, traits=_BOTH, nodes=("Sub", "Cast", "Sub")),
        declare(
            "counted_constant",
            CountedConstant,
            traits=_OPAQUE,
            nodes=("Add",),
            rules=[
                rule(
                    "non-strict capture refuses what depends on data",
                    "dynamo",
                    "refuses",
                    error="Could not extract specialized integer from data-dependent expression",
                )
            ],
        ),
        declare("unchanged_input", UnchangedInput, traits=_OPAQUE),
    )
}
