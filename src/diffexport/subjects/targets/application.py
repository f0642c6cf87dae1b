"""Targets that say more than a name: ``module:Function+parameter``, and what is made of them.

Behind the name of an ``autograd.Function`` may stand flags, each with a ``+``:

``parameter``         its tensors come out of a computation with a parameter, so that they require gradients
``without-symbolic``  its own ``symbolic`` is taken away
``stubs``             what is not installed, or does not import, is stood in for while its module is imported
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from diffexport.errors import TargetError, suggestion

FLAGS = ("parameter", "without-symbolic", "stubs")
_TEXT = re.compile(r"(?P<place>.+):(?P<attribute>[^\W\d][\w.<>]*)(?P<flags>(?:\+[\w-]+)*)", re.DOTALL)


@dataclass(frozen=True)
class Application:
    """A target in its parts.

    Attributes:
        place: a module or a file.
        attribute: what is in it.
        flags: some of [FLAGS][], in that order.
    """

    place: str
    attribute: str
    flags: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Application | None:
        """Return the parts of a target; None where it is not of this form.

        Raises:
            TargetError: there is no such flag.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        flags = [flag for flag in (match["flags"] or "").split("+") if flag]
        for flag in flags:
            if flag not in FLAGS:
                raise TargetError(f"target {text!r}: there is no +{flag}{suggestion(flag, FLAGS)}")
        return cls(match["place"], match["attribute"], tuple(flag for flag in FLAGS if flag in flags))

    def __str__(self) -> str:
        return f"{self.place}:{self.attribute}{''.join(f'+{flag}' for flag in self.flags)}"

    @property
    def is_plain(self) -> bool:
        """Whether the model is what the name says, and nothing else."""
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
