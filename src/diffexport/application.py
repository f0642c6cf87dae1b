"""Targets that say more than a name: ``module:Function(_, 0.5)+parameter``, and what is made of them.

Behind the name of an ``autograd.Function`` may stand how it is applied: ``_`` for each tensor that a model gets, and
the values of the other arguments, which the model holds as a real one would. Flags follow, each with a ``+``:

``parameter``         its tensors come out of a computation with a parameter, so that they require gradients
``without-symbolic``  its own ``symbolic`` is taken away
``stubs``             what is not installed, or does not import, is stood in for while its module is imported
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diffexport.errors import TargetError, suggestion

FLAGS = ("parameter", "without-symbolic", "stubs")
_TEXT = re.compile(
    r"(?P<place>.+?):(?P<attribute>[^\W\d][\w.<>]*)(?P<call>\(.*\))?(?P<flags>(?:\+[\w-]+)*)", re.DOTALL
)
#: Stands for a tensor among the arguments.
HOLE = "_"


@dataclass(frozen=True)
class Application:
    """A target in its parts.

    Attributes:
        place: a module or a file.
        attribute: what is in it.
        arguments: the text of each argument, ``_`` for a tensor; None where the target says nothing of them.
        flags: some of [FLAGS][], in that order.
    """

    place: str
    attribute: str
    arguments: tuple[str, ...] | None = None
    flags: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Application | None:
        """Return the parts of a target; None where it is not of this form.

        Raises:
            TargetError: the arguments are no Python, or there is no such flag.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        flags = [flag for flag in (match["flags"] or "").split("+") if flag]
        for flag in flags:
            if flag not in FLAGS:
                raise TargetError(f"target {text!r}: there is no +{flag}{suggestion(flag, FLAGS)}")
        arguments = None if match["call"] is None else _arguments(match["call"], text)
        ordered = tuple(flag for flag in FLAGS if flag in flags)
        return cls(match["place"], match["attribute"], arguments, ordered)

    def __str__(self) -> str:
        call = "" if self.arguments is None else f"({', '.join(self.arguments)})"
        return f"{self.place}:{self.attribute}{call}{''.join(f'+{flag}' for flag in self.flags)}"

    @property
    def is_plain(self) -> bool:
        """Whether it says no more than a name."""
        return self.arguments is None and set(self.flags) <= {"stubs"}

    def flagged(self, *flags: str) -> Application:
        """Return the same with more flags."""
        return replace(self, flags=tuple(flag for flag in FLAGS if flag in (*self.flags, *flags)))

    @property
    def holes(self) -> int:
        """How many tensors the model gets."""
        return sum(1 for text in self.arguments or () for _ in _holes(ast.parse(text, mode="eval")))

    def builder(self, function: Any) -> Any:
        """Return what makes the module that applies ``function``.

        Raises:
            TargetError: it is no ``autograd.Function``, or an argument is no value.
        """
        import torch

        if not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
            raise TargetError(
                f"target {str(self)!r}: arguments and flags are for an autograd.Function, which {self.attribute} is not"
            )
        applied = stripped(function) if "without-symbolic" in self.flags else function
        pattern = None if self.arguments is None else _pattern(self.arguments, str(self))
        return lambda: bound(applied, pattern, behind_parameter="parameter" in self.flags)


def _arguments(call: str, text: str) -> tuple[str, ...]:
    try:
        node = ast.parse(f"f{call}", mode="eval").body
    except (SyntaxError, ValueError):
        raise TargetError(f"target {text!r}: its arguments are no Python") from None
    if not isinstance(node, ast.Call) or node.keywords:
        raise TargetError(f"target {text!r}: an autograd.Function takes positional arguments only")
    return tuple(ast.unparse(argument) for argument in node.args)


def _holes(node: ast.AST) -> Iterator[ast.AST]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Name) and inner.id == HOLE)


def _pattern(arguments: Sequence[str], text: str) -> tuple[Any, ...]:
    """Return for each argument what it is: ``("tensor", n)``, ``("value", v)``, or a container of these."""
    from diffexport.errors import UsageError
    from diffexport.strategies.texts import value_of

    numbers = iter(range(1000))

    def made(node: ast.expr) -> tuple[str, Any]:
        if isinstance(node, ast.Name) and node.id == HOLE:
            return "tensor", next(numbers)
        if isinstance(node, ast.Tuple | ast.List) and any(True for _ in _holes(node)):
            kind = "tuple" if isinstance(node, ast.Tuple) else "list"
            return kind, tuple(made(item) for item in node.elts)
        try:
            return "value", value_of(ast.unparse(node))
        except UsageError as error:
            raise TargetError(f"target {text!r}: {error}") from None

    return tuple(made(ast.parse(argument, mode="eval").body) for argument in arguments)


def bound(function: Any, pattern: tuple[Any, ...] | None, *, behind_parameter: bool = False) -> Any:
    """Return a module that applies ``function`` to the tensors it is called with, the other arguments being its own.

    Args:
        function: the Function.
        pattern: what each of its arguments is; None for one tensor after the other.
        behind_parameter: multiply each floating tensor by a parameter that is 1, which changes no value.
    """
    import torch

    class Applied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if behind_parameter:
                self.one = torch.nn.Parameter(torch.ones(()))

        def forward(self, *tensors: Any) -> Any:
            if behind_parameter:
                tensors = tuple([self._through(tensor) for tensor in tensors])
            if pattern is None:
                return function.apply(*tensors)
            return function.apply(*[_filled(part, tensors) for part in pattern])

        def _through(self, tensor: Any) -> Any:
            if not (tensor.is_floating_point() or tensor.is_complex()):
                return tensor
            return tensor * self.one.to(tensor.dtype)

    Applied.__name__ = Applied.__qualname__ = f"Applied{function.__name__}"
    return Applied()


def _filled(part: Any, tensors: Sequence[Any]) -> Any:
    kind, what = part
    if kind == "tensor":
        return tensors[what]
    if kind == "value":
        return what
    items = [_filled(item, tensors) for item in what]
    return tuple(items) if kind == "tuple" else items


def stripped(function: Any) -> Any:
    """Return a copy of a Function without ``symbolic``; the Function itself keeps its own."""
    import torch

    base = torch.autograd.Function
    made_anew = vars(type(function)("Empty", (base,), {})).keys()
    own: dict[str, Any] = {}
    for ancestor in reversed(function.__mro__):
        if ancestor not in base.__mro__:
            own.update(vars(ancestor))
    for name in (*made_anew, "symbolic"):
        if name not in ("__module__", "__doc__"):
            own.pop(name, None)
    return type(function)(function.__name__, (base,), own)
