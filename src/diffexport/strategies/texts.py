"""Arguments as texts that a person can paste: ``float32[N, >=3]``, ``just(0.5)``, ``sampled_from(['sum', 'mean'])``.

A text is a tensor spec or a call of one of a few Hypothesis strategies. Its values are literals, names of importable
things (``torch.float32``, ``torch.nn.functional.relu``, ``package.module.Enum.MEMBER``) and calls of what only makes a
value: ``torch.tensor([1, 2])``, a module such as ``torch.nn.Linear(4, 4)``, a dataclass or a named tuple. Nothing is
evaluated: the text is read as a syntax tree, of which only these forms are understood.
"""

from __future__ import annotations

import ast
import collections
import contextlib
import contextvars
import dataclasses
import enum
import importlib
import math
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.errors import UsageError, error_text, shown
from diffexport.strategies.made_instances import instance_of, named_in_file
from diffexport.values import (
    DTYPES,
    TensorSpec,
)

#: The strategies that a text may call, for messages.
STRATEGIES = ("just", "none", "booleans", "integers", "floats", "sampled_from", "tuples", "arrays")
#: What in torch makes nothing but a value.
_MAKERS = ("tensor", "Size", "device", "zeros", "ones", "eye", "full", "arange", "finfo", "iinfo")
#: Those of them that make a tensor as large as a few numbers say.
_SIZED = ("zeros", "ones", "eye", "full", "arange")
#: Most bytes of a tensor that a text makes.
_MOST_BYTES = 1 << 30
#: What else may be called.
_PLAIN: dict[str, Callable[..., Any]] = {
    "float": float,
    "complex": complex,
    "slice": slice,
    "collections.deque": collections.deque,
    "collections.OrderedDict": collections.OrderedDict,
}
#: Makes an object of a class with given attributes: ``instance(package.Options, size=3)``.
_INSTANCE = "instance"
PREFIX = re.compile(r"(?:hypothesis\.)?(?:st|strategies)\.(?=\w+\()")
_SPEC = re.compile(rf"\s*(?:{'|'.join(DTYPES)})\s*(?:\[|\b[a-z]+\b|\Z)")

Entry = TensorSpec | st.SearchStrategy[Any]


@dataclass(frozen=True)
class NameRule:
    """What a text may name, and how much what it makes may hold, where others have written it.

    Attributes:
        look_up: returns what a dotted name stands for; raises a UsageError where that is none of what may be named.
        largest: bytes that the tensors of one value may take.
    """

    look_up: Callable[[str], Any]
    largest: int


_RULE: contextvars.ContextVar[NameRule | None] = contextvars.ContextVar("rule", default=None)


@contextlib.contextmanager
def names_under(rule: NameRule) -> Iterator[None]:
    """Read texts by a rule meanwhile; without one, whatever can be imported can be named."""
    token = _RULE.set(rule)
    try:
        yield
    finally:
        _RULE.reset(token)


def names_in_text(text: str) -> list[str]:
    """Return the dotted names in a text, which are looked up if its value is asked for.

    Raises:
        UsageError: it does not parse.
    """
    names: list[str] = []
    nodes: list[ast.AST] = [tree_of(text, text)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Name | ast.Attribute):
            names.append(ast.unparse(node))
        else:
            nodes += ast.iter_child_nodes(node)
    return [name for name in names if name not in (*_PLAIN, _INSTANCE)]


def is_spec(text: str) -> bool:
    """Return whether a text is meant as a tensor spec rather than a strategy."""
    return "(" not in text or _SPEC.match(text) is not None


def value_of(text: str) -> Any:
    """Return the value that a text stands for, as it may stand inside ``just(…)``.

    Raises:
        UsageError: it is no literal, no importable name and no call that only makes a value.
    """
    with not_too_deep(text):
        return value_in(tree_of(text, text), text)


@contextlib.contextmanager
def not_too_deep(text: str) -> Iterator[None]:
    """Say of a text that is nested too deeply that it is."""
    try:
        yield
    except RecursionError:
        raise UsageError(f"{shown(text)} is nested too deeply; give it in Python: inputs=[…]") from None


def tree_of(text: str, whole: str) -> ast.expr:
    """Return the syntax tree of a text, which is part of ``whole``.

    Raises:
        UsageError: it does not parse.
    """
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UsageError(
            f"{shown(whole)} is neither a tensor spec nor a strategy; "
            "write for instance 'float32[N, >=3]' or 'just(0.5)'"
        ) from None


def strategy_of(node: ast.expr, text: str) -> st.SearchStrategy[Any]:
    """Return the strategy that a syntax tree calls.

    Raises:
        UsageError: it is none, or its arguments are wrong.
    """
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if not isinstance(node, ast.Call) or name not in STRATEGIES:
        raise UsageError(f"{shown(text)} is no strategy; what can be written is {', '.join(STRATEGIES)}(…)")
    if name == "tuples":
        return st.tuples(*(strategy_of(item, text) for item in node.args))
    args = [value_in(item, text) for item in node.args]
    kwargs = {key.arg or "": value_in(key.value, text) for key in node.keywords}
    if name == "arrays":
        from diffexport.strategies.trial_strategies import arrays as make
    else:
        make = getattr(st, name)
    try:
        strategy: st.SearchStrategy[Any] = make(*args, **kwargs)
        strategy.validate()
    except RecursionError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a strategy raises is about its arguments
        kind = "" if isinstance(error, InvalidArgument | UsageError) else f"{type(error).__name__}: "
        raise UsageError(f"{shown(text)}: {kind}{error}") from None
    return strategy


def value_in(node: ast.expr, text: str) -> Any:
    """Return the value that a syntax tree stands for.

    Raises:
        UsageError: it is no literal, no name and no call that makes a value.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = value_in(node.operand, text)
        if isinstance(number, int | float | complex) or hasattr(number, "dtype"):
            return -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        kind = {ast.Tuple: tuple, ast.List: list, ast.Set: set}[type(node)]
        return _of_hashable(text, kind, [value_in(item, text) for item in node.elts])
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [value_in(key, text) for key in node.keys if key is not None]
        return _of_hashable(
            text, dict, list(zip(keys, [value_in(v, text) for v in node.values], strict=True))
        )
    if isinstance(node, ast.Name | ast.Attribute):
        return named(ast.unparse(node))
    if isinstance(node, ast.Call):
        return _made(node, text)
    raise UsageError(
        f"{shown(ast.unparse(node))} in {shown(text)} is no literal, no name and no call that makes a value"
    )


def _of_hashable(text: str, kind: Callable[[list[Any]], Any], items: list[Any]) -> Any:
    try:
        return kind(items)
    except TypeError as error:  # an element of a set, or a key, that cannot be one
        raise UsageError(f"{shown(text)}: {error}") from None


def _made(node: ast.Call, text: str) -> Any:
    called = ast.unparse(node.func)
    if called == _INSTANCE:
        kind = value_in(node.args[0], text) if len(node.args) == 1 else None
        return instance_of(kind, {key.arg: value_in(key.value, text) for key in node.keywords}, text)
    maker = _maker(called)
    if maker is None:
        raise UsageError(
            f"{shown(called)} in {shown(text)} cannot be called in a text; what can is torch.tensor and the like, "
            "modules, dataclasses and named tuples. Give anything else in Python: inputs=[…, strategies.just(value)]"
        )
    args = [value_in(item, text) for item in node.args]
    kwargs = {key.arg or "": value_in(key.value, text) for key in node.keywords}
    try:
        rule = _RULE.get()
        if called.removeprefix("torch.") in _SIZED:
            _check_size(maker, args, kwargs, _MOST_BYTES if rule is None else rule.largest)
        elif rule is not None and called.startswith("torch.nn."):
            _check_size(maker, args, kwargs, rule.largest)
        return maker(*args, **kwargs)
    except UsageError as error:
        raise UsageError(f"{shown(text)}: {called} {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever a constructor raises is about the text
        raise UsageError(
            f"{shown(text)}: {called} raises {type(error).__name__}: {error_text(error)}"
        ) from None


def is_torch_maker(called: str) -> bool:
    """Return whether what has this dotted name is of torch, and makes nothing but a value."""
    return called.startswith("torch.") and called.removeprefix("torch.") in _MAKERS


def _check_size(maker: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], largest: int) -> None:
    """Check how large what torch would make becomes, without making it.

    Raises:
        UsageError: it is larger than so many bytes.
    """
    import torch

    # A device that is asked for would have it allocated there.
    kwargs = {key: value for key, value in kwargs.items() if key != "device"}
    with torch.device("meta"):
        value = maker(*args, **kwargs)
    tensors = [value] if isinstance(value, torch.Tensor) else []
    if isinstance(value, torch.nn.Module):
        tensors = [*value.parameters(), *value.buffers()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > largest:
        most = f"{largest >> 30}" if largest >> 30 else f"{largest / (1 << 30):.3g}"
        raise UsageError(f"would make a tensor of {size / (1 << 30):,.0f} GiB, and {most} is the most")


def _maker(called: str) -> Callable[..., Any] | None:
    """Return what a text may call, if it may call it."""
    if called in _PLAIN:
        return _PLAIN[called]
    if is_torch_maker(called):
        callee: Callable[..., Any] = named(called)
        return callee
    callee = named(called)
    if not isinstance(callee, type):
        return None
    import torch

    plain = dataclasses.is_dataclass(callee) or issubclass(callee, enum.Enum) or hasattr(callee, "_fields")
    return callee if plain or issubclass(callee, torch.nn.Module) else None


def named(name: str) -> Any:
    """Return what a dotted name stands for: the longest part that is a module is imported, the rest looked up.

    Raises:
        UsageError: there is no such thing, or it may not be named here.
    """
    rule, of_file = _RULE.get(), named_in_file(name)
    if rule is not None:
        return rule.look_up(name)
    return of_file[0] if of_file else anything_named(name)


def anything_named(name: str) -> Any:
    """Return what a dotted name stands for, whichever module it takes.

    Raises:
        UsageError: there is no such thing.
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        except Exception as error:  # noqa: BLE001 - importing runs whatever code
            raise UsageError(
                f"importing {'.'.join(parts[:end])} raises {type(error).__name__}: {error_text(error)}"
            ) from None
        try:
            for part in parts[end:]:
                value = getattr(value, part)
        except Exception:  # noqa: BLE001 - there is none, or a lazy module cannot load it
            continue
        return value
    raise UsageError(
        f"there is nothing of the name {shown(name)}; write the whole of it, for instance torch.float32"
    )


def text_of(value: Any) -> str | None:
    """Return the text that [value_of][] reads back as ``value``; None where there is none."""
    if value is None or isinstance(value, bool | str | bytes) or type(value) is int:
        return repr(value)
    if type(value) is float:
        return repr(value) if math.isfinite(value) else f"float('{value}')"
    if type(value) in (tuple, list, dict, set):
        return _container(value)
    if isinstance(value, enum.Enum):
        owner = importable(type(value))
        return f"{owner}.{value.name}" if owner and value.name in type(value).__members__ else None
    import torch

    if isinstance(value, torch.Size):
        return repr(tuple(value))
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return str(value)
    if isinstance(value, torch.device):
        return f"torch.device({str(value)!r})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _dataclass(value)
    if isinstance(value, torch.nn.Module):
        return _module(value)
    return importable(value) if callable(value) else None


def _container(value: Any) -> str | None:
    if type(value) is dict:
        pairs = [(text_of(key), text_of(item)) for key, item in value.items()]
        return (
            None if any(None in pair for pair in pairs) else f"{{{', '.join(f'{k}: {v}' for k, v in pairs)}}}"
        )
    if type(value) is set and not value:
        return None
    items = [text_of(item) for item in value]
    if None in items:
        return None
    inside = ", ".join(item for item in items if item is not None)
    if type(value) is tuple:
        return f"({inside},)" if len(items) == 1 else f"({inside})"
    return f"[{inside}]" if type(value) is list else f"{{{inside}}}"


def _dataclass(value: Any) -> str | None:
    """Return the call that makes a dataclass of the same fields; those that have their default are left out."""
    owner = importable(type(value))
    given = []
    for declared in dataclasses.fields(value):
        here = getattr(value, declared.name)
        if declared.init and not _is_default(declared, here):
            given.append((declared.name, text_of(here)))
    if owner is None or any(text is None for _, text in given):
        return None
    return f"{owner}({', '.join(f'{name}={text}' for name, text in given)})"


def _module(value: Any) -> str | None:
    """Return the call that makes a module without parameters, where its repr is one."""
    owner = importable(type(value))
    if owner is None or any(True for _ in value.parameters()) or any(True for _ in value.buffers()):
        return None
    text = owner + repr(value).removeprefix(type(value).__name__)
    try:
        module = value_of(text)
    except UsageError:
        return None
    return text if type(module) is type(value) and repr(module) == repr(value) else None


def _is_default(declared: dataclasses.Field[Any], value: Any) -> bool:
    try:
        if declared.default is not dataclasses.MISSING:
            return bool(declared.default == value)
        return declared.default_factory is not dataclasses.MISSING and bool(
            declared.default_factory() == value
        )
    except Exception:  # noqa: BLE001 - comparing, or making, runs whatever code
        return False


def importable(value: Any) -> str | None:
    """Return the dotted name by which ``value`` can be imported; None where it has none."""
    module, name = getattr(value, "__module__", None) or "builtins", getattr(value, "__name__", "")
    name = getattr(value, "__qualname__", name) if isinstance(value, type | types.FunctionType) else name
    if not isinstance(name, str) or not name or "<" in name:
        return None
    for text in (f"{module}.{name}", f"torch.{name}", f"torch.nn.functional.{name}"):
        try:
            if named(text) is value:
                return text
        except UsageError:
            continue
    return None
