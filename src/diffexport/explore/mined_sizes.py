"""Sizes of dimensions at which a model may change what it does, looked for in the model itself.

A model that keeps the best ten of what it is given does nothing while there are fewer. The numbers that say so stand in
its source, in attributes of its modules, in the graph that was exported and in its examples.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

import torch

#: The least size that is worth it: those below are tried anyway. The largest that is taken for a size.
_LEAST, _MOST = 3, 4096
#: Most numbers that are mined: each has two neighbours.
MOST_MINED = 10
#: What stands for what a model does with sizes in its source.
_OF_SIZES = frozenset({"shape", "size", "numel", "len", "ndim", "dim", "shape_as_tensor", "sym_size"})
#: Functions whose numbers are counts of elements.
_COUNTING = frozenset(
    {
        "topk",
        "min",
        "max",
        "clamp",
        "narrow",
        "split",
        "chunk",
        "unfold",
        "pad",
        "arange",
        "view",
        "reshape",
        "range",
    }
)
#: Powers of two, with their neighbours: block sizes, widths of vectors.
POWERS = tuple(2**k + step for k in range(3, 12) for step in (-1, 0, 1))


def mined_sizes(
    module: torch.nn.Module, constants: Iterable[float], examples: Iterable[Sequence[int]]
) -> tuple[int, ...]:
    """Return up to [MOST_MINED][] numbers that may be thresholds of sizes, the likeliest first.

    Args:
        module: the model.
        constants: the numbers in a graph that was exported.
        examples: shapes that it is known to take.
    """
    classes = list(dict.fromkeys(type(part) for part in module.modules()))
    own = [each for each in classes if not _is_of_torch(each)]
    trees = [tree for each in own for tree in _sources(each)]
    attributes = [
        value
        for part in module.modules()
        if not _is_of_torch(type(part))
        for name, value in vars(part).items()
        if type(value) is int and not name.startswith("_")
    ]
    attributes += [value for each in own for value in vars(each).values() if type(value) is int]
    likely = [number for tree in trees for number in _compared(tree)]
    others = [number for tree in trees for number in _numbers(tree)]
    whole = [int(constant) for constant in constants if float(constant).is_integer()]
    sizes = [size for shape in examples for size in shape]
    found = dict.fromkeys(n for n in (*likely, *attributes, *sizes, *whole, *others) if _LEAST <= n <= _MOST)
    return tuple(itertools.islice(found, MOST_MINED))


def larger_sizes(mined: Sequence[int]) -> tuple[int, ...]:
    """Return 64 sizes to draw from, smallest first: what was mined and its neighbours as often as powers of two."""
    near = sorted({size for number in mined for size in (number - 1, number, number + 1) if size > 5})
    half = 32 if near else 0
    of_mined = itertools.islice(itertools.cycle(near), half) if near else ()
    of_powers = itertools.islice(itertools.cycle(POWERS), 64 - half)
    return tuple(sorted((*of_mined, *of_powers)))


def _is_of_torch(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "torch"


def _sources(kind: type) -> Iterator[ast.AST]:
    """Yield the source of a class, and of the functions and classes of its module that it names."""
    seen: set[str] = set()
    left: list[Any] = [base for base in kind.__mro__ if not _is_of_torch(base) and base is not object]
    while left:
        tree = _parsed(left.pop())
        if tree is None:
            continue
        yield tree
        module: ModuleType | None = sys.modules.get(kind.__module__)
        for node in ast.walk(tree):
            name = node.id if isinstance(node, ast.Name) else None
            if name is None or name in seen:
                continue
            seen.add(name)
            value = getattr(module, name, None)
            of_module = getattr(value, "__module__", None) == kind.__module__
            if of_module and (inspect.isfunction(value) or inspect.isclass(value)):
                left.append(value)


@functools.lru_cache(maxsize=256)
def _parsed(value: Any) -> ast.AST | None:
    """Return the source of a class or function; None where there is none to be had."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError):
        return None


def _compared(tree: ast.AST) -> Iterator[int]:
    """Yield the numbers that are compared with sizes, or count elements."""
    for node in ast.walk(tree):
        is_guard = isinstance(node, ast.Compare | ast.BinOp) and any(
            getattr(inner, "attr", getattr(inner, "id", None)) in _OF_SIZES for inner in ast.walk(node)
        )
        is_count = isinstance(node, ast.Call) and (
            getattr(node.func, "attr", getattr(node.func, "id", None)) in _COUNTING
        )
        if is_guard or is_count or isinstance(node, ast.Slice):
            yield from _numbers(node)


def _numbers(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            yield abs(node.value)
