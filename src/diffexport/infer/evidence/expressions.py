"""What single expressions of Python say: names, integers, whose shape or rank something is."""

from __future__ import annotations

import ast


def last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name; empty if it is none."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def dotted_name(node: ast.expr) -> str:
    """Return a dotted name as text; only its last parts where the first is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def integer_in(node: ast.expr) -> int | None:
    """Return the integer that is written out, with its sign; None if it is something else."""
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    value = inner.value if isinstance(inner, ast.Constant) else None
    return None if type(value) is not int else -value if negative else value


def is_none(node: ast.expr) -> bool:
    """Return whether None is written out."""
    return isinstance(node, ast.Constant) and node.value is None


def is_ellipsis(node: ast.expr) -> bool:
    """Return whether ``...`` is written out."""
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def shaped_by(node: ast.expr) -> ast.expr | None:
    """Return what ``node`` is the shape of."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "size"
        and not node.args
    ):
        return node.func.value
    return node.value if isinstance(node, ast.Attribute) and node.attr == "shape" else None


def ranked_by(node: ast.expr) -> ast.expr | None:
    """Return what ``node`` is the number of dimensions of."""
    if isinstance(node, ast.Attribute) and node.attr == "ndim":
        return node.value
    if (
        isinstance(node, ast.Call)
        and last_name(node.func) in ("dim", "ndimension")
        and isinstance(node.func, ast.Attribute)
    ):
        return node.func.value
    if isinstance(node, ast.Call) and dotted_name(node.func) == "len" and node.args:
        return shaped_by(node.args[0])
    return None
