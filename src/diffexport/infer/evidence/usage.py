"""What a forward does with each of its parameters, read from its source and that of the functions it calls.

Evidence is a weight for each *kind* an argument may be of. It comes from attributes that only tensors have, from where
a parameter is passed (``dim=p``, ``F.conv2d(x, p)``, ``range(p)``), from comparisons, unpacking and checks.
"""

from __future__ import annotations

import ast
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from diffexport.infer.evidence import operator_use as ops
from diffexport.infer.evidence.subject import tree_of

#: How deep functions that a forward calls are followed.
_DEPTH = 2


@dataclass
class Usage:
    """Evidence of one parameter.

    Attributes:
        weight: for each kind.
        ranks: dimensions that it has been seen to need exactly.
        least: the least number of dimensions.
        values: constants that it is compared with.
        dtypes: of a tensor, as far as seen.
        members: attributes that are read of it and that tensors do not have.
        optional: whether it is compared with None.
        classes: others than these that it is checked to be an instance of.
        keys: texts that it is subscripted with, as a dict is.
        containers: texts of what it may be in view of the methods that are called on it.
    """

    weight: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    ranks: set[int] = field(default_factory=set)
    least: int = 0
    values: list[Any] = field(default_factory=list)
    dtypes: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    optional: bool = False
    classes: list[type] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    containers: set[str] = field(default_factory=set)

    def merge(self, other: Usage, share: float) -> None:
        """Add what a function that it is passed on to does with it."""
        for kind, weight in other.weight.items():
            self.weight[kind] += share * weight
        self.ranks |= other.ranks
        self.least = max(self.least, other.least)
        self.values += other.values
        self.dtypes |= other.dtypes
        self.members |= other.members
        self.classes += other.classes
        self.keys += other.keys
        self.containers |= other.containers
        self.optional = self.optional or other.optional


def usages(
    tree: ast.FunctionDef | None, names: list[str], scope: Mapping[str, Any], depth: int = _DEPTH
) -> dict[str, Usage]:
    """Return the evidence for each of the named parameters of a function.

    Args:
        tree: the function; None gives no evidence.
        names: of its parameters.
        scope: what names outside the function stand for.
        depth: how many calls deep to look.
    """
    found = {name: Usage() for name in names}
    if tree is not None and found:
        _Reader(found, scope, depth).read(tree)
    return found


class _Reader:
    def __init__(self, found: dict[str, Usage], scope: Mapping[str, Any], depth: int) -> None:
        self._found, self._scope, self._depth = found, scope, depth

    def read(self, tree: ast.FunctionDef) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                self._attribute(node)
            elif isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Compare):
                self._compare(node)
            elif isinstance(node, ast.Subscript):
                self._subscript(node)
            elif isinstance(node, ast.BinOp):
                self._operator(node)
            elif isinstance(node, ast.Assign):
                self._assign(node)
            elif isinstance(node, ast.If | ast.IfExp | ast.While):
                self._truth(node.test)
            elif isinstance(node, ast.For | ast.comprehension):
                self._note(node.iter, tensors=1.5, tensor=0.3)
            elif isinstance(node, ast.Starred) and isinstance(node.ctx, ast.Load):
                self._note(node.value, tensors=1.0, shape=1.0)

    def _of(self, node: ast.expr | None) -> Usage | None:
        return self._found.get(node.id) if isinstance(node, ast.Name) else None

    def _note(self, node: ast.expr | None, **weights: float) -> None:
        usage = self._of(node)
        if usage is not None:
            for kind, weight in weights.items():
                usage.weight[kind] += weight

    def _rank(
        self, node: ast.expr | None, exact: Iterator[int] | tuple[int, ...] = (), least: int = 0
    ) -> None:
        usage = self._of(node)
        if usage is not None:
            usage.ranks.update(exact)
            usage.least = max(usage.least, least)

    def _attribute(self, node: ast.Attribute) -> None:
        usage = self._of(node.value)
        if usage is None:
            return
        if node.attr in ops.TENSOR_ATTRIBUTES:
            usage.weight["tensor"] += 1.5
            if node.attr in ("real", "imag") or node.attr.startswith("view_as_real"):
                usage.dtypes.add("complex64")
            for rank in ops.RANKS.get(node.attr, ((),))[0]:
                usage.ranks.add(rank)
            if node.attr in ops.MATRICES:
                usage.least = max(usage.least, 2)
        elif node.attr in ("parameters", "named_parameters", "state_dict", "forward", "train", "eval"):
            usage.weight["module"] += 3
        elif node.attr in ops.CONTAINERS:
            usage.containers.add(ops.CONTAINERS[node.attr])
        elif not any(hasattr(kind, node.attr) for kind in ops.PLAIN):
            usage.members.add(node.attr)

    def _call(self, node: ast.Call) -> None:
        name = _last(node.func)
        whole = _dotted(node.func)
        if isinstance(node.func, ast.Name):
            self._note(node.func, callable=4, module=3)
        if isinstance(node.func, ast.Attribute):
            self._method(node, name)
        if name in ("save_for_backward", "mark_dirty", "save_for_forward", "mark_non_differentiable"):
            for item in node.args:
                self._note(item, tensor=2.5)
            return
        for key in node.keywords:
            self._keyword(key)
        if whole == "isinstance" and len(node.args) == 2:
            self._isinstance(node.args[0], node.args[1])
        elif whole == "range":
            for item in node.args:
                self._note(item, int=3)
        elif whole in ("int", "float", "bool") and node.args:
            self._note(node.args[0], **{whole: 0.7})
        elif whole in ("len", "zip", "enumerate", "list", "tuple"):
            for item in node.args:
                self._note(item, tensors=1.2, shape=0.5, tensor=0.3)
        elif whole.startswith("math."):
            for item in node.args:
                self._note(item, float=2, int=1)
        elif node.args and self._is_torch(node.func):
            self._torch(node, name)
        else:
            self._follow(node)

    def _method(self, node: ast.Call, name: str) -> None:
        """Note what the arguments of a method are, presumably one of a tensor."""
        arguments = node.args
        if name in ops.DIM_FIRST and arguments:
            self._note(arguments[0], int=1.5)
            if (
                name in ("gather", "scatter", "scatter_", "index_select", "scatter_add", "scatter_add_")
                and len(arguments) > 1
            ):
                self._index(arguments[1])
        elif name in ops.SHAPE_TAKERS:
            weights = {"shape": 1.5} if len(arguments) == 1 else {"int": 1.5}
            for item in arguments:
                self._note(item, **weights)
        elif name in ("to", "type") and arguments:
            self._note(arguments[0], dtype=1.0, device=0.7)
        elif name in ("topk", "chunk", "split") and arguments:
            self._note(arguments[0], int=1.5)
        elif name == "masked_fill" and arguments:
            usage = self._of(arguments[0])
            if usage is not None:
                usage.weight["tensor"] += 1
                usage.dtypes.add("bool")
        if name in ("dim", "ndimension") or (name == "size" and arguments):
            axis = _integer(arguments[0]) if arguments else None
            if axis is not None and isinstance(node.func, ast.Attribute):
                self._rank(node.func.value, least=axis + 1 if axis >= 0 else -axis)
        for place, ranks in enumerate(
            ops.RANKS.get(name, ())[1:] if isinstance(node.func, ast.Attribute) else ()
        ):
            if place < len(arguments):
                self._rank(arguments[place], ranks)
                self._note(arguments[place], tensor=1.5)

    def _keyword(self, key: ast.keyword) -> None:
        if key.arg is not None and key.arg in ops.KEYWORDS:
            self._note(key.value, **{ops.KEYWORDS[key.arg]: 1.5})

    def _isinstance(self, value: ast.expr, kinds: ast.expr) -> None:
        for kind in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
            usage = self._of(value)
            if _last(kind) in ops.TYPES:
                self._note(value, **{ops.TYPES[_last(kind)]: 1.0})
            elif usage is not None and isinstance(found := self._resolve(kind), type):
                usage.classes.append(found)

    def _is_torch(self, function: ast.expr) -> bool:
        root = function
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or root.id in self._found:
            return False
        value = self._scope.get(root.id)
        module = (
            value.__name__ if isinstance(value, types.ModuleType) else str(getattr(value, "__module__", ""))
        )
        return module == "torch" or module.startswith("torch.")

    def _torch(self, node: ast.Call, name: str) -> None:
        first, *rest = node.args
        if name in ops.SHAPE_TAKERS:
            self._note(first, **({"shape": 1.5, "int": 0.5} if not rest else {"int": 1.0, "shape": 0.5}))
            return
        if name in (
            "tensor",
            "arange",
            "linspace",
            "full_like",
            "as_tensor",
            "manual_seed",
            "Generator",
            "finfo",
        ):
            self._note(first, int=0.5, float=0.5)
            return
        if name in ("cat", "stack", "broadcast_tensors", "concat", "block_diag"):
            self._note(first, tensors=2)
        else:
            self._note(first, tensor=2)
        ranks = ops.RANKS.get(name, ((), ()))
        for item, exact in zip(node.args, ranks, strict=False):
            self._rank(item, exact)
        for place, item in enumerate(rest):
            if (
                (place == 0 and name in ops.SECOND_TENSORS)
                or name == "where"
                or (place == 1 and name in ("linear", "conv2d"))
            ):
                self._note(item, tensor=1.5)
            elif place == 0 and name in ops.DIM_FIRST:
                self._note(item, int=1.5)
            elif place == 0 and name.startswith("conv"):
                self._note(item, tensor=2)
            elif name in ("clamp", "clip"):
                self._note(item, float=1.0)
        if name in ("gather", "scatter", "index_select") and len(rest) > 1:
            self._index(rest[1])
        if name == "embedding":
            self._index(first)
        if name.startswith("view_as_real"):
            usage = self._of(first)
            if usage is not None:
                usage.dtypes.add("complex64")

    def _index(self, node: ast.expr) -> None:
        usage = self._of(node)
        if usage is not None:
            usage.weight["tensor"] += 1.5
            usage.dtypes.add("int64")

    def _follow(self, node: ast.Call) -> None:
        """Look into a function of the same package that parameters are passed on to."""
        callee = self._resolve(node.func)
        if self._depth <= 0 or not isinstance(callee, types.FunctionType):
            return
        tree = tree_of(callee)
        if tree is None:
            return
        names = [argument.arg for argument in (*tree.args.posonlyargs, *tree.args.args)]
        passed = [
            (item, name) for item, name in zip(node.args, names, strict=False) if self._of(item) is not None
        ]
        passed += [
            (key.value, key.arg) for key in node.keywords if key.arg and self._of(key.value) is not None
        ]
        if not passed:
            return
        inside = usages(tree, [name for _, name in passed], callee.__globals__, self._depth - 1)
        for item, name in passed:
            usage = self._of(item)
            if usage is not None:
                usage.merge(inside[name], 0.7)

    def _resolve(self, node: ast.expr) -> Any:
        """Return what a dotted name stands for, None where that cannot be told without running it."""
        if isinstance(node, ast.Name):
            return None if node.id in self._found else self._scope.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            if isinstance(owner, types.ModuleType | type):
                return vars(owner).get(node.attr)
        return None

    def _compare(self, node: ast.Compare) -> None:
        for left, operator, right in zip(
            (node.left, *node.comparators), node.ops, node.comparators, strict=False
        ):
            for one, other in ((left, right), (right, left)):
                usage = self._of(one)
                if usage is not None and isinstance(operator, ast.Is | ast.IsNot) and _is_none(other):
                    usage.optional = True
                    usage.weight["none"] += 0.5
                elif usage is not None:
                    self._compared(usage, operator, other)
            self._rank_check(left, operator, right)

    def _compared(self, usage: Usage, operator: ast.cmpop, other: ast.expr) -> None:
        constants = other.elts if isinstance(other, ast.Tuple | ast.List | ast.Set) else [other]
        for constant in constants:
            if not isinstance(constant, ast.Constant):
                continue
            value = constant.value
            if isinstance(value, str):
                usage.weight["str"] += 2.5
                usage.values.append(value)
            elif type(value) is int and isinstance(operator, ast.Eq | ast.NotEq | ast.In):
                usage.weight["int"] += 1
                usage.values.append(value)
            elif type(value) is bool:
                usage.weight["bool"] += 1.5

    def _rank_check(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> None:
        """Note what ``x.dim() == 4``, ``len(x.shape) in (2, 3)`` and ``x.ndim >= 2`` say."""
        subject = _ranked(left)
        if subject is None:
            return
        numbers = [
            _integer(item) for item in (right.elts if isinstance(right, ast.Tuple | ast.List) else [right])
        ]
        known = tuple(number for number in numbers if number is not None and 0 <= number <= 5)
        if isinstance(operator, ast.Eq | ast.In | ast.NotEq | ast.NotIn):
            self._rank(subject, known)
        elif known and isinstance(operator, ast.GtE | ast.Gt):
            self._rank(subject, least=known[0] + isinstance(operator, ast.Gt))

    def _subscript(self, node: ast.Subscript) -> None:
        usage = self._of(node.value)
        axis = _integer(node.slice)
        if usage is not None and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            usage.keys.append(node.slice.value)
        elif usage is not None:
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if any(isinstance(part, ast.Slice) or _is_ellipsis(part) for part in parts) and len(parts) > 1:
                usage.weight["tensor"] += 2
                taken = [part for part in parts if not _is_ellipsis(part) and not _is_none(part)]
                usage.least = max(usage.least, len(taken))
            else:
                usage.weight["tensor"] += 0.4
                usage.weight["tensors"] += 0.8
        elif isinstance(node.value, ast.Attribute) and node.value.attr == "shape" and axis is not None:
            self._rank(node.value.value, least=axis + 1 if axis >= 0 else -axis)
        self._note(node.slice, int=0.5, tensor=0.5)

    def _operator(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            for side in (node.left, node.right):
                usage = self._of(side)
                if usage is not None:
                    # What is calculated with is no index.
                    usage.dtypes.add("float32")
        if isinstance(node.op, ast.MatMult):
            for side in (node.left, node.right):
                self._note(side, tensor=3)
                self._rank(side, least=1)
        elif isinstance(node.op, ast.FloorDiv | ast.Mod | ast.LShift | ast.RShift):
            self._note(node.right, int=0.6)
        elif isinstance(node.op, ast.Pow) and isinstance(node.left, ast.Constant):
            self._note(node.right, int=1.2)

    def _assign(self, node: ast.Assign) -> None:
        """Note the rank that unpacking a shape tells."""
        target = node.targets[0]
        if not isinstance(target, ast.Tuple | ast.List):
            return
        source = _shaped(node.value)
        starred = any(isinstance(item, ast.Starred) for item in target.elts)
        if source is not None and starred:
            self._rank(source, least=len(target.elts) - 1)
        elif source is not None:
            self._rank(source, (len(target.elts),))
            self._note(source, tensor=1.0)
        elif self._of(node.value) is not None:
            self._note(node.value, tensors=2.0)

    def _truth(self, test: ast.expr) -> None:
        parts = test.values if isinstance(test, ast.BoolOp) else [test]
        for part in parts:
            inner = part.operand if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.Not) else part
            usage = self._of(inner)
            if usage is not None:
                usage.weight["bool"] += 1.5
                usage.weight["tensor"] -= 0.5


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _integer(node: ast.expr) -> int | None:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    value = inner.value if isinstance(inner, ast.Constant) else None
    return None if type(value) is not int else -value if negative else value


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _shaped(node: ast.expr) -> ast.expr | None:
    """Return what ``node`` is the shape of."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "size"
        and not node.args
    ):
        return node.func.value
    return node.value if isinstance(node, ast.Attribute) and node.attr == "shape" else None


def _ranked(node: ast.expr) -> ast.expr | None:
    """Return what ``node`` is the number of dimensions of."""
    if isinstance(node, ast.Attribute) and node.attr == "ndim":
        return node.value
    if (
        isinstance(node, ast.Call)
        and _last(node.func) in ("dim", "ndimension")
        and isinstance(node.func, ast.Attribute)
    ):
        return node.func.value
    if isinstance(node, ast.Call) and _dotted(node.func) == "len" and node.args:
        return _shaped(node.args[0])
    return None
