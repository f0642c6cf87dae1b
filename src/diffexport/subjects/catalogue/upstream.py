"""What PyTorch's own export tests do with autograd Functions, beyond the eight seed models.

Re-created from ``test_custom_ops.py``, ``test_utility_funs.py``, ``test_operators.py``, ``test_verify.py``,
``test_pytorch_onnx_no_runtime.py`` and ``test_pytorch_onnx_onnxruntime.py`` under ``test/onnx``. What those assert of
a graph is an assertion here, made in every mode where it can hold; docs/catalogue.md has them row by row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from diffexport.subjects.cases import Case, assertion, rule
from diffexport.subjects.catalogue import seed_models
from diffexport.subjects.catalogue.declare import declare
from diffexport.subjects.catalogue.upstream_assertions import (
    aten_node_is_add,
    custom_pair_comes_first,
    modules_tell_them_apart,
    python_op_comes_first,
    scalar_is_attribute,
    shape_is_not_frozen,
)

_PYTHON_OP = "prim::PythonOp"
_FALLTHROUGH = "torchscript,operator_export_type=ONNX_FALLTHROUGH,export_modules_as_functions=false"


class ClipFrom(Function):
    """Its symbolic writes the scalar into the node, as opsets below 11 have it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: float) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x.clamp(min=least)

    @staticmethod
    def symbolic(g: Any, x: Any, least: float) -> Any:  # noqa: D102
        return g.op("Clip", x, min_f=least)


class ScalarAttribute(torch.nn.Module):
    """The scalar is a constant of the model."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return ClipFrom.apply(x, 2)


@contextlib.contextmanager
def registered(symbolic: Callable[..., Any]) -> Iterator[None]:
    """Register a symbolic of Python operators, and take it back."""
    exporter: Any = torch.onnx
    exporter.register_custom_op_symbolic("prim::PythonOp", symbolic, 1)
    try:
        yield
    finally:
        exporter.unregister_custom_op_symbolic("prim::PythonOp", 1)


class ClipFromPlain(Function):
    """Without a symbolic of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: float) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x.clamp(min=least)


class ReluPlain(Function):
    """Without a symbolic of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x.clamp(min=0)


class RegisteredSymbolic(torch.nn.Module):
    """Applies both; which is which only the registered symbolic knows, by their names."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return ReluPlain.apply(ClipFromPlain.apply(x, 2))


def by_name(g: Any, *args: Any, **kwargs: Any) -> Any:
    """The symbolic of every Python operator that has none: dispatches on the name of the Function."""
    if kwargs["name"] == "ClipFromPlain":
        return g.op("Clip", args[0], min_f=args[1])
    if kwargs["name"] == "ReluPlain":
        return g.op("Relu", args[0])
    raise NotImplementedError(f"no symbolic for the Function {kwargs['name']}")


def symbolics_by_name() -> AbstractContextManager[None]:
    """Have Python operators exported by their names, and no longer."""
    return registered(by_name)


class Twofold(Function):
    """Gives its input out twice; its symbolic is one node with two outputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG004, D102
        return x, x

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:  # noqa: D102
        return g.op("CustomNamespace::Custom", x, outputs=2)


class CustomDomainPair(torch.nn.Module):
    """Returns both outputs."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        return Twofold.apply(x)


class FallthroughFirst(torch.nn.Module):
    """Upstream looks at the graph that FALLTHROUGH gives for a clamp with a masked backward."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return seed_models.Clamp.apply(x)


class Clamp(Function):
    """Bears the name of the seed models' Function, and does the same."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x.clamp(min=0)


class TwoModulesOneName(torch.nn.Module):
    """Applies two Functions that only their modules tell apart."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return Clamp.apply(x) + seed_models.Clamp.apply(x)


class LayerNormOfFour(Function):
    """A layer norm over the last dimension, of size 4; the exporter is not to know what it gives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return torch.nn.functional.layer_norm(x, (4,), eps=1e-12)


class OpaqueLayerNorm(torch.nn.Module):
    """Behind the Function, sizes are read off and reshaped to."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        turned = LayerNormOfFour.apply(x).transpose(0, 1)
        length, batch, hidden = turned.size()
        return turned.reshape(length, batch, hidden)


def opaque(g: Any, *args: Any, **_: Any) -> Any:
    """The symbolic of every Python operator: one that says nothing of its output."""
    return g.op("com.microsoft::PythonOp", *args)


def opaque_symbolics() -> AbstractContextManager[None]:
    """Have Python operators exported as ONNX Runtime's own, and no longer."""
    return registered(opaque)


class AddByAten(Function):
    """Its symbolic asks for an ATen operator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004, D102
        return x + x

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:  # noqa: D102
        return g.at("add", x, x)


class AtenAdd(torch.nn.Module):
    """Applies [AddByAten][]."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return AddByAten.apply(x)


class OneTooFew(Function):
    """Takes two tensors, its symbolic one; nothing of that may be reached."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG004, D102
        return x + y

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:  # noqa: ARG004, D102
        raise AssertionError("a symbolic that cannot be called was called")


class SymbolicMismatch(torch.nn.Module):
    """Applies [OneTooFew][]."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # noqa: D102
        return OneTooFew.apply(x, y)


class AddForSubtract(Function):
    """Subtracts, and says that it adds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG004, D102
        return x - y

    @staticmethod
    def symbolic(g: Any, x: Any, y: Any) -> Any:  # noqa: D102
        return g.op("Add", x, y)


class BrokenAdd(torch.nn.Module):
    """Upstream's verification is to fail for it, and so is diffexport's: its divergence is a known one."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # noqa: D102
        return AddForSubtract.apply(x, y)


class ClipToTensor(Function):
    """The lower bound is a tensor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x.clamp(min=least)


class TensorBound(torch.nn.Module):
    """Both tensors are inputs of the model."""

    def forward(self, x: Tensor, least: Tensor) -> Tensor:  # noqa: D102
        return ClipToTensor.apply(x, least)


def with_tensors(g: Any, *args: Any, **kwargs: Any) -> Any:
    """The symbolic of every Python operator: a Clip between tensors."""
    if kwargs["name"] != "ClipToTensor":
        raise NotImplementedError(f"no symbolic for the Function {kwargs['name']}")
    return g.op("Clip", *args)


def clip_with_tensors() -> AbstractContextManager[None]:
    """Have Python operators exported as Clip, and no longer."""
    return registered(with_tensors)


_OPAQUE = ("opaque-function",)
_SYMBOLIC = ("symbolic-function",)
#: A symbolic that is registered for opset 1 holds from opset 9 on; below, the exporter looks upwards only.
_REGISTERED = "torchscript,opset=9..20"
_NO_ATTRIBUTE = r"Unrecognized attribute: min for operator Clip"

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        declare(
            "scalar_attribute",
            ScalarAttribute,
            traits=_SYMBOLIC,
            nodes=("Clip",),
            rules=[
                rule(
                    "from opset 11 on Clip has no attribute min",
                    "torchscript,opset=11..20",
                    "invalid",
                    error=_NO_ATTRIBUTE,
                )
            ],
            assertions=[assertion("the scalar is an attribute of Clip", "torchscript", scalar_is_attribute)],
        ),
        declare(
            "registered_symbolic",
            RegisteredSymbolic,
            traits=_OPAQUE,
            rules=[
                rule(
                    "from opset 11 on Clip has no attribute min",
                    "torchscript,opset=11..20",
                    "invalid",
                    error=_NO_ATTRIBUTE,
                ),
                rule("the registered symbolic is used", _REGISTERED, "agrees", nodes=("Clip", "Relu")),
            ],
            assertions=[assertion("the scalar is an attribute of Clip", _REGISTERED, scalar_is_attribute)],
            around=symbolics_by_name,
        ),
        declare(
            "custom_domain_pair",
            CustomDomainPair,
            traits=_SYMBOLIC,
            rules=[
                rule(
                    "no runtime has the custom domain",
                    "torchscript",
                    "unloadable",
                    nodes=("CustomNamespace::Custom",),
                )
            ],
            assertions=[
                assertion(
                    "the first node is the custom one, with two outputs and the version asked for",
                    "torchscript,export_modules_as_functions=false",
                    custom_pair_comes_first,
                )
            ],
            custom_opsets={"CustomNamespace": 2},
        ),
        declare(
            "fallthrough_first",
            FallthroughFirst,
            traits=_OPAQUE,
            nodes=("Clip",),
            assertions=[
                assertion("the first node is the Python operator", _FALLTHROUGH, python_op_comes_first)
            ],
        ),
        declare(
            "two_modules_one_name",
            TwoModulesOneName,
            traits=("opaque-function", "aten-ops"),
            nodes=("Clip", "Clip", "Add"),
            assertions=[
                assertion("the modules of the Functions differ", _FALLTHROUGH, modules_tell_them_apart)
            ],
        ),
        declare(
            "opaque_layer_norm",
            OpaqueLayerNorm,
            traits=("opaque-function", "aten-ops"),
            rules=[
                rule(
                    "no runtime has the opaque operator",
                    _REGISTERED,
                    "unloadable",
                    nodes=("com.microsoft::PythonOp",),
                )
            ],
            assertions=[
                assertion(
                    "no constant freezes the shape behind the opaque operator",
                    f"{_REGISTERED},dynamic=true",
                    shape_is_not_frozen,
                )
            ],
            around=opaque_symbolics,
        ),
        declare(
            "aten_add",
            AtenAdd,
            traits=_SYMBOLIC,
            rules=[
                rule(
                    "modules as functions hit an internal assert on an ATen operator",
                    "torchscript,operator_export_type=ONNX,export_modules_as_functions=true",
                    "refuses",
                    error=r"is_aten\(\)",
                ),
                rule(
                    "without a fallback an ATen operator is refused",
                    "torchscript,operator_export_type=ONNX",
                    "refuses",
                    error="Couldn't export operator aten::ATen",
                ),
                rule(
                    "a fallback leaves the ATen operator",
                    "torchscript",
                    "unloadable",
                    nodes=("org.pytorch.aten::ATen",),
                ),
            ],
            assertions=[assertion("the ATen node is an add", "torchscript", aten_node_is_add)],
        ),
        declare(
            "symbolic_mismatch",
            SymbolicMismatch,
            traits=_SYMBOLIC,
            rules=[
                rule(
                    "a symbolic that cannot be called is refused, by name",
                    "torchscript",
                    "refuses",
                    error=r"TypeError: .*occurred when translating OneTooFew",
                )
            ],
        ),
        declare("broken_add", BrokenAdd, traits=_SYMBOLIC, nodes=("Add",)),
        declare(
            "tensor_bound",
            TensorBound,
            traits=_OPAQUE,
            rules=[
                rule(
                    "below opset 11 Clip takes one tensor",
                    "torchscript,opset=9..10",
                    "invalid",
                    error=r"Clip:6\) has input size 2",
                ),
                rule(
                    "the registered symbolic is used", "torchscript,opset=11..20", "agrees", nodes=("Clip",)
                ),
            ],
            around=clip_with_tensors,
        ),
    )
}
