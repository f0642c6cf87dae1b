"""What a forward does with each of its parameters, read from its source and that of the functions it calls.

Evidence is a weight for each *kind* an argument may be of. It comes from attributes that only tensors have, from where
a parameter is passed (``dim=p``, ``F.conv2d(x, p)``, ``range(p)``), from comparisons, unpacking and checks.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from diffexport.infer.evidence import operator_use as ops
from diffexport.infer.evidence.expressions import (
    dotted_name,
    integer_in,
    is_ellipsis,
    is_none,
    last_name,
    ranked_by,
    shaped_by,
)
from diffexport.infer.evidence.kinds import ArgumentKind
from diffexport.infer.evidence.parameter_usage import Usage
from diffexport.infer.evidence.subject import tree_of
from diffexport.infer.evidence.weights import KEYWORD, PASSED_ON, TYPE_CHECK, Use
from diffexport.subjects.targets import has_setup_context

#: How deep functions that a forward calls are followed.
_DEPTH = 2
#: Calls that turn a parameter into a Python number.
_CONVERSIONS = {"int": Use.TO_INT, "float": Use.TO_FLOAT, "bool": Use.TO_BOOL}


def usages(
    tree: ast.FunctionDef | None,
    names: list[str],
    scope: Mapping[str, Any],
    depth: int = _DEPTH,
    owner: Any = None,
) -> dict[str, Usage]:
    """Return the evidence for each of the named parameters of a function.

    Args:
        tree: the function; None gives no evidence.
        names: of its parameters.
        scope: what names outside the function stand for.
        depth: how many calls deep to look.
        owner: the module whose method it is, by which ``self.layer(…)`` is followed; None for a plain function.
    """
    usage_of = {name: Usage() for name in names}
    if tree is not None and usage_of:
        _UsageReader(usage_of, scope, depth, owner).read(tree)
    return usage_of


class _UsageReader:
    def __init__(
        self, usage_of: dict[str, Usage], scope: Mapping[str, Any], depth: int, owner: Any = None
    ) -> None:
        self._usages, self._scope, self._depth, self._owner = usage_of, scope, depth, owner

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
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
                self._typed(node.operand, "bool")
            elif isinstance(node, ast.Assign):
                self._assign(node)
            elif isinstance(node, ast.If | ast.IfExp | ast.While):
                self._truth(node.test)
            elif isinstance(node, ast.For | ast.comprehension):
                self._note(node.iter, Use.LOOPED_OVER)
            elif isinstance(node, ast.Starred) and isinstance(node.ctx, ast.Load):
                self._note(node.value, Use.SPREAD)

    def _of(self, node: ast.expr | None) -> Usage | None:
        return self._usages.get(node.id) if isinstance(node, ast.Name) else None

    def _note(self, node: ast.expr | None, use: Use) -> None:
        self._count(node, use.weights)

    def _count(self, node: ast.expr | None, weights: Mapping[ArgumentKind, float]) -> None:
        usage = self._of(node)
        if usage is not None:
            usage.count(weights)

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
            usage.add(Use.TENSOR_ATTRIBUTE)
            if node.attr in ("real", "imag") or node.attr.startswith("view_as_real"):
                usage.dtypes.add("complex64")
            for rank in ops.RANKS.get(node.attr, ((),))[0]:
                usage.ranks.add(rank)
            if node.attr in ops.MATRICES:
                usage.least = max(usage.least, 2)
        elif node.attr in ("parameters", "named_parameters", "state_dict", "forward", "train", "eval"):
            usage.add(Use.MODULE_ATTRIBUTE)
        elif node.attr in ops.CONTAINERS:
            usage.containers.add(ops.CONTAINERS[node.attr])
        elif not any(hasattr(kind, node.attr) for kind in ops.PLAIN):
            usage.members.add(node.attr)

    def _call(self, node: ast.Call) -> None:
        name = last_name(node.func)
        whole = dotted_name(node.func)
        if isinstance(node.func, ast.Name):
            self._note(node.func, Use.CALLED)
        if isinstance(node.func, ast.Attribute):
            self._method(node, name)
        if name in ("save_for_backward", "mark_dirty", "save_for_forward", "mark_non_differentiable"):
            for item in node.args:
                self._note(item, Use.SAVED)
            return
        for key in node.keywords:
            self._keyword(key)
        if whole == "isinstance" and len(node.args) == 2:
            self._isinstance(node.args[0], node.args[1])
        elif whole == "range":
            for item in node.args:
                self._note(item, Use.RANGED)
        elif whole in _CONVERSIONS and node.args:
            self._note(node.args[0], _CONVERSIONS[whole])
        elif whole in ("len", "zip", "enumerate", "list", "tuple"):
            for item in node.args:
                self._note(item, Use.COUNTED)
        elif whole.startswith("math."):
            for item in node.args:
                self._note(item, Use.IN_MATH)
        elif node.args and self._is_torch(node.func):
            self._torch(node, name)
        else:
            self._follow(node)

    def _method(self, node: ast.Call, name: str) -> None:
        """Note what the arguments of a method are, presumably one of a tensor."""
        arguments = node.args
        if name in ops.DIM_FIRST and arguments:
            self._note(arguments[0], Use.DIMENSION)
        elif name in ops.SHAPE_TAKERS:
            for item in arguments:
                self._note(item, Use.ONLY_SHAPE if len(arguments) == 1 else Use.ONE_SIZE)
        elif name in ("to", "type") and arguments:
            self._note(arguments[0], Use.CONVERSION)
        elif name in ("topk", "chunk", "split") and arguments:
            self._note(arguments[0], Use.COUNT)
        if not self._is_torch(node.func):
            self._takes_dtype(name, arguments, is_method=True)
        if name in ("dim", "ndimension") or (name == "size" and arguments):
            axis = integer_in(arguments[0]) if arguments else None
            if axis is not None and isinstance(node.func, ast.Attribute):
                self._rank(node.func.value, least=axis + 1 if axis >= 0 else -axis)
        for place, ranks in enumerate(
            ops.RANKS.get(name, ())[1:] if isinstance(node.func, ast.Attribute) else ()
        ):
            if place < len(arguments):
                self._rank(arguments[place], ranks)
                self._note(arguments[place], Use.SECOND_OPERAND)

    def _keyword(self, key: ast.keyword) -> None:
        if key.arg is not None and key.arg in ops.KEYWORDS:
            self._count(key.value, {ops.KEYWORDS[key.arg]: KEYWORD})

    def _isinstance(self, value: ast.expr, kinds: ast.expr) -> None:
        for kind in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
            usage = self._of(value)
            if last_name(kind) in ops.TYPES:
                self._count(value, {ops.TYPES[last_name(kind)]: TYPE_CHECK})
            elif usage is not None and isinstance(checked := self._resolve(kind), type):
                usage.classes.append(checked)

    def _is_torch(self, function: ast.expr) -> bool:
        root = function
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or root.id in self._usages:
            return False
        value = self._scope.get(root.id)
        module = (
            value.__name__ if isinstance(value, types.ModuleType) else str(getattr(value, "__module__", ""))
        )
        return module == "torch" or module.startswith("torch.")

    def _torch(self, node: ast.Call, name: str) -> None:
        first, *rest = node.args
        if name in ops.SHAPE_TAKERS:
            self._note(first, Use.FIRST_SIZE if rest else Use.SHAPE_OR_SIZE)
            return
        if name in ops.NUMBER_TAKERS:
            self._note(first, Use.NUMBER)
            return
        self._note(first, Use.SEQUENCE if name in ops.SEQUENCE_TAKERS else Use.FIRST_OPERAND)
        ranks = ops.RANKS.get(name, ((), ()))
        for item, exact in zip(node.args, ranks, strict=False):
            self._rank(item, exact)
        for place, item in enumerate(rest):
            if (
                (place == 0 and name in ops.SECOND_TENSORS)
                or name == "where"
                or (place == 1 and name in ("linear", "conv2d"))
            ):
                self._note(item, Use.SECOND_OPERAND)
            elif place == 0 and name in ops.DIM_FIRST:
                self._note(item, Use.DIMENSION)
            elif place == 0 and name.startswith("conv"):
                self._note(item, Use.CONVOLVED_WITH)
            elif name in ("clamp", "clip"):
                self._note(item, Use.LIMIT)
        self._takes_dtype(name, node.args, is_method=False)
        if name.startswith("view_as_real"):
            usage = self._of(first)
            if usage is not None:
                usage.dtypes.add("complex64")

    def _takes_dtype(self, name: str, arguments: Sequence[ast.expr], *, is_method: bool) -> None:
        """Note the dtype of what stands where an operator takes a mask or an index."""
        if name not in ops.DTYPE_TAKERS:
            return
        place, dtype = ops.DTYPE_TAKERS[name]
        # The condition is the first argument of the method as well as of the function.
        place = max(place - is_method, 0)
        if (name, place, is_method) == ("where", 0, False) and len(arguments) < 3:
            return
        if place < len(arguments):
            self._typed(arguments[place], dtype)
            usage = self._of(arguments[place])
            if usage is not None and name in ops.LENGTH_TAKERS:
                usage.is_length = True

    def _typed(self, node: ast.expr, dtype: str) -> None:
        """Note that a parameter is a tensor of a dtype: a mask where that is bool, an index where it is an integer."""
        usage = self._of(node)
        if usage is not None:
            usage.add(Use.MASK if dtype == "bool" else Use.INDEX)
            usage.dtypes.add(dtype)

    def _callee(self, function: ast.expr) -> tuple[Any, int, Any]:
        """Return the function that is called, how many of its parameters a call does not give, and its module."""
        callee = self._resolve(function)
        if isinstance(callee, types.FunctionType):
            is_own = isinstance(function, ast.Attribute) and self._resolve(function.value) is self._owner
            return callee, int(is_own and self._owner is not None), self._owner if is_own else None
        if isinstance(callee, torch.nn.Module):
            forward = inspect.unwrap(type(callee).forward)
            return forward, 1, callee
        if isinstance(function, ast.Attribute) and function.attr == "apply":
            applied_to = self._resolve(function.value)
            if isinstance(applied_to, type) and issubclass(applied_to, torch.autograd.Function):
                return applied_to.forward, int(not has_setup_context(applied_to)), None
        return None, 0, None

    def _follow(self, node: ast.Call) -> None:
        """Look into a function, a module or an autograd Function that parameters are passed on to."""
        callee, skipped, owner = self._callee(node.func)
        if isinstance(owner, torch.nn.Module) and type(owner).__name__ in ops.MODULE_TAKERS and node.args:
            self._typed(node.args[0], ops.MODULE_TAKERS[type(owner).__name__])
        if self._depth <= 0 or not isinstance(callee, types.FunctionType):
            return
        tree = None if callee.__module__.startswith("torch.nn.modules") else tree_of(callee)
        if tree is None:
            return
        names = [argument.arg for argument in (*tree.args.posonlyargs, *tree.args.args)][skipped:]
        passed = [
            (item, name) for item, name in zip(node.args, names, strict=False) if self._of(item) is not None
        ]
        passed += [
            (key.value, key.arg) for key in node.keywords if key.arg and self._of(key.value) is not None
        ]
        if not passed:
            return
        inside = usages(tree, [name for _, name in passed], callee.__globals__, self._depth - 1, owner)
        for item, name in passed:
            usage = self._of(item)
            if usage is not None:
                usage.merge(inside[name], PASSED_ON)

    def _resolve(self, node: ast.expr) -> Any:
        """Return what a dotted name stands for, None where that cannot be told without running it."""
        if isinstance(node, ast.Name):
            if node.id == "self" and self._owner is not None:
                return self._owner
            return None if node.id in self._usages else self._scope.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            if isinstance(owner, types.ModuleType | type):
                return vars(owner).get(node.attr)
            if isinstance(owner, torch.nn.Module):
                return owner._modules.get(node.attr) or inspect.getattr_static(type(owner), node.attr, None)
        return None

    def _compare(self, node: ast.Compare) -> None:
        for left, operator, right in zip(
            (node.left, *node.comparators), node.ops, node.comparators, strict=False
        ):
            for one, other in ((left, right), (right, left)):
                usage = self._of(one)
                if usage is not None and isinstance(operator, ast.Is | ast.IsNot) and is_none(other):
                    usage.optional = True
                    usage.add(Use.COMPARED_WITH_NONE)
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
                usage.add(Use.COMPARED_WITH_TEXT)
                usage.values.append(value)
            elif type(value) is int and isinstance(operator, ast.Eq | ast.NotEq | ast.In):
                usage.add(Use.COMPARED_WITH_INTEGER)
                usage.values.append(value)
            elif type(value) is bool:
                usage.add(Use.COMPARED_WITH_BOOLEAN)

    def _rank_check(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> None:
        """Note what ``x.dim() == 4``, ``len(x.shape) in (2, 3)`` and ``x.ndim >= 2`` say."""
        subject = ranked_by(left)
        if subject is None:
            return
        numbers = [
            integer_in(item) for item in (right.elts if isinstance(right, ast.Tuple | ast.List) else [right])
        ]
        known = tuple(number for number in numbers if number is not None and 0 <= number <= 5)
        if isinstance(operator, ast.Eq | ast.In | ast.NotEq | ast.NotIn):
            self._rank(subject, known)
        elif known and isinstance(operator, ast.GtE | ast.Gt):
            self._rank(subject, least=known[0] + isinstance(operator, ast.Gt))

    def _subscript(self, node: ast.Subscript) -> None:
        usage = self._of(node.value)
        axis = integer_in(node.slice)
        if usage is not None and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            usage.keys.append(node.slice.value)
        elif usage is not None:
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if any(isinstance(part, ast.Slice) or is_ellipsis(part) for part in parts) and len(parts) > 1:
                usage.add(Use.SLICED)
                taken = [part for part in parts if not is_ellipsis(part) and not is_none(part)]
                usage.least = max(usage.least, len(taken))
            else:
                usage.add(Use.SUBSCRIPTED if axis is None else Use.ITEM)
                usage.counts.update(() if axis is None or axis < 0 else {axis + 1})
        elif isinstance(node.value, ast.Attribute) and node.value.attr == "shape" and axis is not None:
            self._rank(node.value.value, least=axis + 1 if axis >= 0 else -axis)
        for part in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
            self._note(part, Use.SUBSCRIPT)
            indexing = self._of(part)
            if indexing is not None:
                indexing.dtypes.add("subscript")

    def _operator(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            for side in (node.left, node.right):
                usage = self._of(side)
                if usage is not None:
                    # What is calculated with is no index.
                    usage.dtypes.add("float32")
        if isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor):
            for side in (node.left, node.right):
                self._typed(side, "bool")
        if isinstance(node.op, ast.MatMult):
            for side in (node.left, node.right):
                self._note(side, Use.MATRIX_OPERAND)
                self._rank(side, least=1)
        elif isinstance(node.op, ast.FloorDiv | ast.Mod | ast.LShift | ast.RShift):
            self._note(node.right, Use.DIVISOR)
        elif isinstance(node.op, ast.Pow) and isinstance(node.left, ast.Constant):
            self._note(node.right, Use.EXPONENT)

    def _assign(self, node: ast.Assign) -> None:
        """Note the rank that unpacking a shape tells."""
        target = node.targets[0]
        if not isinstance(target, ast.Tuple | ast.List):
            return
        source = shaped_by(node.value)
        starred = any(isinstance(item, ast.Starred) for item in target.elts)
        if source is not None and starred:
            self._rank(source, least=len(target.elts) - 1)
        elif source is not None:
            self._rank(source, (len(target.elts),))
            self._note(source, Use.SHAPE_UNPACKED)
        elif (unpacked := self._of(node.value)) is not None:
            unpacked.add(Use.UNPACKED)
            unpacked.counts.update(() if starred else {len(target.elts)})

    def _truth(self, test: ast.expr) -> None:
        parts = test.values if isinstance(test, ast.BoolOp) else [test]
        for part in parts:
            inner = part.operand if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.Not) else part
            usage = self._of(inner)
            if usage is not None:
                usage.add(Use.CONDITION)
