"""Call sites: what the code around an ``autograd.Function`` gives for its arguments.

``X.apply(x, alpha)`` is found by its syntax tree, also through aliases (``f = X.apply``), and each argument that is
no tensor is traced to a value: a literal, a local, the default of the wrapper's parameter, what ``__init__`` puts into
``self.alpha``, a constant of the module, or what callers of the wrapper give, two layers deep. Nothing is run.
"""

from __future__ import annotations

import ast
import operator
import time
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from diffexport.infer.evidence.argument_choices import SiteValue
from diffexport.infer.evidence.library import Library, LocatedSource, Scope
from diffexport.infer.evidence.operator_use import TENSOR_ATTRIBUTES
from diffexport.strategies import text_of

#: How many steps a value is traced, how many wrappers are followed, and how many sites are read.
_STEPS, _LAYERS, _SITES = 12, 2, 24

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.LShift: lambda a, b: a << min(b, 64),
    ast.Pow: lambda a, b: a ** b if abs(b) <= 64 else 0,
}  # fmt: skip

_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}


@dataclass(frozen=True)
class Site:
    """One call: what is known of each argument (None: nothing), and where it stands."""

    arguments: tuple[SiteValue | None, ...]
    where: str


@dataclass(frozen=True, eq=False)
class _CallPlace:
    """Where an expression stands: its file and what encloses it."""

    source: LocatedSource
    around: tuple[Scope, ...]

    def function(self) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        for scope in reversed(self.around):
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
                return scope
        return None

    def owner(self) -> ast.ClassDef | None:
        return next((scope for scope in reversed(self.around) if isinstance(scope, ast.ClassDef)), None)


#: Stands for an expression that gives a tensor.
_TENSOR = SiteValue("", "", tensor=True)


class Sites:
    """Reads the call sites of Functions in one library of files; values are traced for some seconds at most."""

    def __init__(self, library: Library, seconds: float = 1.0) -> None:
        self._library = library
        self._end = time.monotonic() + seconds

    def of(self, owner: type) -> list[Site]:
        """Return the call sites of a Function."""
        sites = []
        for call, place in self._calls(owner):
            if any(isinstance(item, ast.Starred) for item in call.args):
                continue
            where = f"{place.source.path.name}:{call.lineno}"
            known = tuple(self._known(item, place, where) for item in call.args)
            sites.append(Site(known, f"call site {where}"))
            if len(sites) >= _SITES:
                break
        return sites

    def _known(self, node: ast.expr, place: _CallPlace, where: str) -> SiteValue | None:
        value = self._value(node, place, _STEPS, _LAYERS)
        if value is None or value is _TENSOR:
            return value
        return SiteValue(value.text, f"call site {where}")

    def _calls(self, owner: type) -> Iterator[tuple[ast.Call, _CallPlace]]:
        name = owner.__name__
        for source in self._library.mentioning(name):
            aliases: set[str] = set()
            for node, around in source.placed():
                if isinstance(node, ast.Call) and _is_apply(node.func, name):
                    yield node, _CallPlace(source, around)
                elif isinstance(node, ast.Assign) and _is_apply(node.value, name):
                    aliases |= {_tail(target) for target in node.targets} - {""}
            for alias in aliases:
                yield from self._called(alias, [source])

    def _called(self, name: str, sources: Iterable[LocatedSource]) -> Iterator[tuple[ast.Call, _CallPlace]]:
        for source in sources:
            for node, around in source.placed():
                if isinstance(node, ast.Call) and _tail(node.func) == name:
                    yield node, _CallPlace(source, around)

    def _value(self, node: ast.expr, place: _CallPlace, steps: int, layers: int) -> SiteValue | None:
        """Return what an expression stands for; None where that cannot be told."""
        if steps <= 0 or time.monotonic() > self._end:
            return None
        if isinstance(node, ast.Constant):
            return _known(node.value)
        if isinstance(node, ast.Name):
            return self._name(node.id, place, steps - 1, layers)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, place, steps - 1, layers)
        if isinstance(node, ast.Tuple | ast.List):
            return self._sequence(node, place, steps - 1, layers)
        if isinstance(node, ast.Call):
            return self._result(node, place, steps - 1, layers)
        if isinstance(node, ast.IfExp | ast.BoolOp):
            options = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values[::-1]
            return next((v for item in options if (v := self._value(item, place, steps - 1, layers))), None)
        if isinstance(node, ast.UnaryOp | ast.BinOp):
            return self._computed(node, place, steps - 1, layers)
        return None

    def _sequence(
        self, node: ast.Tuple | ast.List, place: _CallPlace, steps: int, layers: int
    ) -> SiteValue | None:
        items = [self._value(item, place, steps, layers) for item in node.elts]
        texts = [item.text for item in items if item is not None and item.text]
        if len(texts) < len(items):
            return None
        inside = ", ".join(texts)
        if isinstance(node, ast.List):
            return SiteValue(f"[{inside}]", "")
        return SiteValue(f"({inside},)" if len(texts) == 1 else f"({inside})", "")

    def _computed(
        self, node: ast.UnaryOp | ast.BinOp, place: _CallPlace, steps: int, layers: int
    ) -> SiteValue | None:
        sides = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        values = [self._value(side, place, steps, layers) for side in sides]
        if any(value is _TENSOR for value in values):
            return _TENSOR
        if any(value is None for value in values):
            return None
        try:
            numbers = [ast.literal_eval(value.text) for value in values if value is not None]
            if isinstance(node, ast.UnaryOp):
                return _known(_UNARY[type(node.op)](numbers[0]))
            return _known(_ARITHMETIC[type(node.op)](*numbers))
        except (ValueError, SyntaxError, TypeError, KeyError, ArithmeticError):
            return None

    def _name(self, name: str, place: _CallPlace, steps: int, layers: int) -> SiteValue | None:
        for depth in range(len(place.around) - 1, -1, -1):
            scope = place.around[depth]
            inside = _CallPlace(place.source, place.around[: depth + 1])
            if isinstance(scope, ast.ClassDef):
                continue
            if not isinstance(scope, ast.Lambda):
                local = _assigned(scope, name)
                for value in local[:3]:
                    known = self._value(value, inside, steps, layers)
                    if known is not None:
                        return known
            given = self._parameter(scope, name, inside, steps, layers)
            if given is not None:
                return given[0]
        return self._global(name, place, steps, layers)

    def _parameter(
        self, scope: Scope, name: str, place: _CallPlace, steps: int, layers: int
    ) -> tuple[SiteValue | None] | None:
        """Return what a function is given for a parameter, in a tuple; None where it has no such one."""
        assert not isinstance(scope, ast.ClassDef)
        arguments = scope.args
        positional = [*arguments.posonlyargs, *arguments.args]
        names = [item.arg for item in positional]
        if name in names:
            index = names.index(name) - (len(names) - len(arguments.defaults))
            default = arguments.defaults[index] if index >= 0 else None
            annotation = positional[names.index(name)].annotation
        elif name in (only := [item.arg for item in arguments.kwonlyargs]):
            default = arguments.kw_defaults[only.index(name)]
            annotation = arguments.kwonlyargs[only.index(name)].annotation
        else:
            return None
        outside = _CallPlace(place.source, place.around[:-1])
        value = self._value(default, outside, steps, layers) if default is not None else None
        if value is not None and value.text != "None":
            return (value,)
        if annotation is not None and "Tensor" in ast.unparse(annotation):
            return (_TENSOR,)
        if layers > 0 and not isinstance(scope, ast.Lambda):
            given = self._from_callers(scope, name, names, place, steps, layers - 1)
            if given is not None:
                return (given,)
        return (value,)

    def _from_callers(
        self,
        scope: ast.FunctionDef | ast.AsyncFunctionDef,
        name: str,
        names: list[str],
        place: _CallPlace,
        steps: int,
        layers: int,
    ) -> SiteValue | None:
        owner = _CallPlace(place.source, place.around[:-1]).around
        method = bool(owner) and isinstance(owner[-1], ast.ClassDef)
        called = scope.name
        if method and scope.name == "__init__" and isinstance(owner[-1], ast.ClassDef):
            called = owner[-1].name
        elif scope.name in ("forward", "__call__", "apply"):
            return None
        shift = int(method)
        tried = 0
        for call, there in self._called(called, self._library.mentioning(called, called=True)):
            if scope in there.around:
                continue
            tried += 1
            if tried > _SITES or time.monotonic() > self._end:
                return None
            index = names.index(name) - shift if name in names else -1
            node = next((key.value for key in call.keywords if key.arg == name), None)
            if (
                node is None
                and 0 <= index < len(call.args)
                and not any(isinstance(a, ast.Starred) for a in call.args)
            ):
                node = call.args[index]
            value = self._value(node, there, steps, layers) if node is not None else None
            if value is not None:
                return value
        return None

    def _global(self, name: str, place: _CallPlace, steps: int, layers: int) -> SiteValue | None:
        module = place.source.module
        if module is not None and name in vars(module):
            return _known(vars(module)[name])
        for node in place.source.tree.body:
            if isinstance(node, ast.Assign) and any(_tail(target) == name for target in node.targets):
                return self._value(node.value, _CallPlace(place.source, ()), steps, layers)
        return None

    def _attribute(self, node: ast.Attribute, place: _CallPlace, steps: int, layers: int) -> SiteValue | None:
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            known = self._own(node.attr, place, steps, layers)
            if known is not None:
                return known
        value = _looked_up(node, place)
        if value is not None:
            return _known(value[0])
        if node.attr == "dtype":
            return SiteValue("torch.float32", "")
        if node.attr == "device":
            return SiteValue("torch.device('cpu')", "")
        return _TENSOR if node.attr in ("T", "mT", "data", "grad", "weight", "bias") else None

    def _own(self, name: str, place: _CallPlace, steps: int, layers: int) -> SiteValue | None:
        """Return what a class puts into an attribute of its instances, ``__init__`` first."""
        owner = place.owner()
        if owner is None:
            return None
        outer = place.around[: place.around.index(owner) + 1]
        methods = [item for item in owner.body if isinstance(item, ast.FunctionDef)]
        for method in sorted(methods, key=lambda item: item.name != "__init__"):
            inside = _CallPlace(place.source, (*outer, method))
            for node in ast.walk(method):
                if isinstance(node, ast.Call) and _tail(node.func) in (
                    "register_buffer",
                    "register_parameter",
                ):
                    if node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == name:
                        return _TENSOR
                    continue
                targets = (
                    node.targets
                    if isinstance(node, ast.Assign)
                    else [node.target]
                    if isinstance(node, ast.AnnAssign)
                    else []
                )
                value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
                if value is not None and any(_is_self(target, name) for target in targets):
                    known = self._value(value, inside, steps, layers)
                    if known is not None:
                        return known
        for item in owner.body:
            if isinstance(item, ast.Assign) and any(_tail(target) == name for target in item.targets):
                return self._value(item.value, _CallPlace(place.source, outer), steps, layers)
        return None

    def _result(self, node: ast.Call, place: _CallPlace, steps: int, layers: int) -> SiteValue | None:
        name = _tail(node.func)
        if (
            isinstance(node.func, ast.Name)
            and name in ("int", "float", "bool", "tuple", "list", "str")
            and node.args
        ):
            return self._value(node.args[0], place, steps, layers)
        if name in ("Parameter", "contiguous", "detach", "clone", "view", "reshape"):
            return _TENSOR
        root = _looked_up(node.func, place)
        if root is not None:
            module = str(getattr(root[0], "__module__", "") or "")
            if module.startswith("torch") or isinstance(root[0], types.BuiltinFunctionType):
                return _TENSOR if module != "torch.nn.modules" else None
            return None
        tensorial = isinstance(node.func, ast.Attribute) and name in TENSOR_ATTRIBUTES
        return (
            _TENSOR
            if tensorial and name not in ("size", "dim", "numel", "item", "tolist", "stride")
            else None
        )


def _known(value: Any) -> SiteValue | None:
    if isinstance(value, torch.Tensor):
        return _TENSOR
    text = text_of(value)
    return None if text is None else SiteValue(text, "")


def _looked_up(node: ast.expr, place: _CallPlace) -> tuple[Any] | None:
    """Return what a dotted name stands for in the module, in a tuple, looking into modules and classes only."""
    if isinstance(node, ast.Name):
        scope = vars(place.source.module) if place.source.module is not None else {}
        shadowed = any(_assigned(s, node.id) for s in place.around if not isinstance(s, ast.Lambda))
        return (scope[node.id],) if node.id in scope and not shadowed else None
    if isinstance(node, ast.Attribute):
        owner = _looked_up(node.value, place)
        if owner is not None and isinstance(owner[0], types.ModuleType | type) and node.attr in dir(owner[0]):
            try:
                return (getattr(owner[0], node.attr),)
            except Exception:  # noqa: BLE001 - a lazy module that cannot load what it names
                return None
    return None


def _assigned(scope: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> list[ast.expr]:
    """Return what a function assigns to a local."""
    return [value for node in ast.walk(scope) if (value := _bound(node, name)) is not None]


def _bound(node: ast.AST, name: str) -> ast.expr | None:
    """Return what a statement assigns to a name."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return None
    return node.value if any(isinstance(t, ast.Name) and t.id == name for t in targets) else None


def _is_apply(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "apply" and _tail(node.value) == name


def _is_self(node: ast.expr, name: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == name
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _tail(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
