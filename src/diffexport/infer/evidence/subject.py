"""What is to be called: a model, its forward, the parameters of that, and their source."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from diffexport.errors import TargetError
from diffexport.subjects.targets import applied, builder_of, has_setup_context


class _Missing:
    def __repr__(self) -> str:
        return "missing"


#: Stands for no default.
MISSING = _Missing()


@dataclass(frozen=True)
class Parameter:
    """One argument of a forward; ``variadic`` where it stands for any number of them."""

    name: str
    default: Any = MISSING
    annotation: Any = None
    variadic: bool = False

    @property
    def required(self) -> bool:
        """Whether a call must give it."""
        return self.default is MISSING and not self.variadic


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, ready to be called with positional arguments.

    Attributes:
        name: of the class, for people.
        owner: the class whose call sites are looked for.
        module: what is called.
        forward: the function behind it, None where it has no Python source.
        parameters: what it takes, without ``self`` or ``ctx``.
        tree: the syntax tree of ``forward``, None where there is none.
        receiver: the names of the first parameter that is not the caller's: ``ctx`` or ``self``.
    """

    name: str
    owner: type
    module: Any
    forward: Callable[..., Any] | None
    parameters: tuple[Parameter, ...]
    tree: ast.FunctionDef | None
    receiver: tuple[str, ...] = ()
    globals: dict[str, Any] = field(default_factory=dict)

    @property
    def is_function(self) -> bool:
        """Whether it is an autograd.Function rather than a module."""
        return issubclass(self.owner, torch.autograd.Function)

    def display(self, arguments: list[str]) -> str:
        """Return the call as a person would write it."""
        return f"{self.name}{'.apply' if self.is_function else ''}({', '.join(arguments)})"


def subject_of(model: Any) -> Subject:
    """Return what there is to know of a model before it is called.

    Raises:
        TargetError: it is no model, or building it raises.
    """
    if isinstance(model, type) and issubclass(model, torch.autograd.Function):
        skip = 0 if has_setup_context(model) else 1
        return _subject(model.__name__, model, applied(model), model.forward, skip)
    if isinstance(model, torch.nn.Module):
        built = model
    else:
        build = builder_of(model)
        try:
            built = build()
        except (Exception, SystemExit) as error:
            raise TargetError(
                f"building {_name(model)} raises {type(error).__name__}: {error}; give a factory that "
                "makes it without arguments"
            ) from error
        if not isinstance(built, torch.nn.Module):
            raise TargetError(f"calling {_name(model)} gives {type(built).__name__}, not a torch.nn.Module")
    built = built.eval()
    name = _name(model) if not isinstance(model, torch.nn.Module) else type(model).__name__
    return _subject(name, type(built), built, built.forward, 0)


def _name(model: Any) -> str:
    return str(getattr(model, "__name__", type(model).__name__))


def _subject(name: str, owner: type, module: Any, forward: Any, skip: int) -> Subject:
    function = inspect.unwrap(getattr(forward, "__func__", forward))
    try:
        declared = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        declared = []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p for p in declared if p.kind in kinds]
    variadic = [p for p in declared if p.kind is inspect.Parameter.VAR_POSITIONAL]
    hidden = [p.name for p in positional[:skip]]
    parameters = [
        Parameter(
            p.name,
            MISSING if p.default is inspect.Parameter.empty else p.default,
            None if p.annotation is inspect.Parameter.empty else p.annotation,
        )
        for p in positional[skip:]
    ]
    parameters += [Parameter(p.name, variadic=True) for p in variadic]
    tree = tree_of(function)
    receiver = hidden + (
        [tree.args.args[0].arg]
        if tree is not None and not hidden and tree.args.args and tree.args.args[0].arg in ("self", "cls")
        else []
    )
    scope = getattr(function, "__globals__", {})
    closed = _closure(function)
    return Subject(
        name,
        owner,
        module,
        function if callable(function) else None,
        tuple(parameters),
        tree,
        tuple(receiver),
        {**scope, **closed},
    )


def _closure(function: Any) -> dict[str, Any]:
    """Return what a function holds on to of the functions around it, by name."""
    cells = getattr(function, "__closure__", None) or ()
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    captured = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            captured[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return captured


@functools.lru_cache(maxsize=512)
def tree_of(function: Any) -> ast.FunctionDef | None:
    """Return the syntax tree of a function, None where it has no source."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        body = ast.parse(source).body
    except (OSError, TypeError, SyntaxError, ValueError, IndentationError):
        return None
    return body[0] if body and isinstance(body[0], ast.FunctionDef) else None
