"""Targets that say more than a name: ``module:Function+parameter``, ``module:Net(8, 16)``, and what is made of them.

Behind the name of a class or a factory may stand the arguments that it is called with, literals, and behind that of any
model ``+weights('FILE.safetensors')``. Behind the name of an ``autograd.Function`` may stand flags, each with a ``+``:

``parameter``         its tensors come out of a computation with a parameter, so that they require gradients
``without-symbolic``  its own ``symbolic`` is taken away
``stubs``             what is not installed, or does not import, is stood in for while its module is imported
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from diffexport.errors import TargetError, suggestion
from diffexport.subjects.targets.configured import Weights, literal_arguments
from diffexport.values import target_parts

FLAGS = ("parameter", "without-symbolic", "stubs")
_WEIGHTS = "weights"


@dataclass(frozen=True)
class Application:
    """A target in its parts.

    Attributes:
        place: a module or a file.
        attribute: what is in it.
        flags: some of [FLAGS][], in that order.
        arguments: what it is called with, brackets included; empty where nothing is said.
        weights: what it gets; None where nothing is said.
    """

    place: str
    attribute: str
    flags: tuple[str, ...] = ()
    arguments: str = ""
    weights: Weights | None = None

    @classmethod
    def parse(cls, text: str) -> Application | None:
        """Return the parts of a target; None where it is not of this form.

        Raises:
            TargetError: there is no such flag.
        """
        parts = target_parts(text)
        if parts is None:
            return None
        given = dict(parts.flags)
        weights = Weights.parse(given.pop(_WEIGHTS), text) if _WEIGHTS in given else None
        for flag, arguments in given.items():
            if flag not in FLAGS or arguments:
                known = (*FLAGS, f"{_WEIGHTS}('FILE.safetensors')")
                raise TargetError(f"target {text!r}: there is no +{flag}{arguments}{suggestion(flag, known)}")
        if given.keys() - {"stubs"} and (parts.arguments or weights):
            raise TargetError(
                f"target {text!r}: an autograd.Function, which flags are for, has no arguments or weights"
            )
        flags = tuple(flag for flag in FLAGS if flag in given)
        return cls(parts.place, parts.attribute, flags, parts.arguments, weights)

    def __str__(self) -> str:
        flags = "".join(f"+{flag}" for flag in self.flags)
        return f"{self.place}:{self.name}{flags}{self.weights or ''}"

    @property
    def name(self) -> str:
        """What the model is called: the attribute, with its arguments."""
        return f"{self.attribute}{self.arguments}"

    @property
    def written_call(self) -> str:
        """The brackets and arguments of the call that makes the model, written anew from their values.

        Raises:
            TargetError: something in them is no literal.
        """
        args, kwargs = literal_arguments(self.arguments or "()", str(self))
        return f"({', '.join([*map(repr, args), *(f'{name}={value!r}' for name, value in kwargs.items())])})"

    @property
    def is_plain(self) -> bool:
        """Whether no Function is applied otherwise than as it is."""
        return set(self.flags) <= {"stubs"}

    def flagged(self, *flags: str) -> Application:
        """Return the same with more flags."""
        return replace(self, flags=tuple(flag for flag in FLAGS if flag in (*self.flags, *flags)))

    def builder(self, function: Any) -> Callable[[], Any]:
        """Return what makes the module that applies ``function``.

        Raises:
            TargetError: it is no ``autograd.Function``.
        """
        import torch

        if not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
            raise TargetError(
                f"target {str(self)!r}: flags are for an autograd.Function, which {self.attribute} is not"
            )
        applied = stripped(function) if "without-symbolic" in self.flags else function
        return lambda: _module(applied, behind_parameter="parameter" in self.flags)


def _module(function: Any, *, behind_parameter: bool) -> Any:
    """Return a module that applies a Function; behind a parameter, to its floating tensors times a parameter of 1.

    That changes no value of them.
    """
    import torch

    class AppliedWithFlags(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if behind_parameter:
                self.one = torch.nn.Parameter(torch.ones(()))

        def forward(self, *args: Any) -> Any:
            if behind_parameter:
                args = tuple([self._through(arg) for arg in args])
            return function.apply(*args)

        def _through(self, arg: Any) -> Any:
            if not isinstance(arg, torch.Tensor) or not (arg.is_floating_point() or arg.is_complex()):
                return arg
            return arg * self.one.to(arg.dtype)

    AppliedWithFlags.__name__ = AppliedWithFlags.__qualname__ = f"Applied{function.__name__}"
    return AppliedWithFlags()


def stripped(function: Any) -> Any:
    """Return a copy of a Function without ``symbolic``; the Function itself keeps its own."""
    import torch

    base = torch.autograd.Function
    made_anew = vars(type(function)("Empty", (base,), {})).keys()
    attributes: dict[str, Any] = {}
    for ancestor in reversed(function.__mro__):
        if ancestor not in base.__mro__:
            attributes.update(vars(ancestor))
    for name in (*made_anew, "symbolic"):
        if name not in ("__module__", "__doc__"):
            attributes.pop(name, None)
    return type(function)(function.__name__, (base,), attributes)
