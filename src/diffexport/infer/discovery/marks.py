"""What can be told of a Function from its source: what its forward relies on, and whether it only holds a place.

Marks are hints. They say why a Function may not run here (or may not do the same twice), followed through the
helpers that its forward calls; whether it does is for a trial to show.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence

from diffexport.infer.discovery.references import Index, NameKind, referred
from diffexport.infer.discovery.source_tree import Class, FunctionNode, ModuleSource, dotted

#: Every mark, with what it means.
MARKS = {
    "random": "its forward draws random numbers",
    "distributed": "its forward calls torch.distributed",
    "native": "its forward calls a compiled extension",
    "cuda": "its forward speaks of CUDA",
    "triton": "its forward launches a Triton or Numba kernel",
    "jit": "its forward calls what torch.jit.script has compiled",
    "stateful": "its forward writes to global or class state",
    "placeholder": "its forward returns its input, or nothing that depends on it, and it has a symbolic",
}

_TORCH_RANDOM = (
    r"rand|randn|randint|rand_like|randn_like|randint_like|randperm|bernoulli|multinomial|normal|poisson"
)
_OUTSIDE = (
    ("random", re.compile(rf"torch\.({_TORCH_RANDOM})|(numpy\.)?random\.\w+(\.\w+)*|torch\.random\..*")),
    ("random", re.compile(r"torch\.nn\.functional\.(\w*dropout\w*|gumbel_softmax|rrelu_?)")),
    ("distributed", re.compile(r"torch\.distributed\.(?!is_available|is_initialized)\w+.*")),
    ("native", re.compile(r"torch\.ops\.(?!aten\b|prims\b|higher_order\b)\w+.*|ctypes\..*|cupy(\..*)?")),
    ("native", re.compile(r"torch\.utils\.cpp_extension\..*")),
    ("triton", re.compile(r"triton(\..*)?|numba\.cuda(\..*)?")),
    ("cuda", re.compile(r"torch\.cuda\.(?!is_available|amp\b|device_count)\w+.*")),
    ("jit", re.compile(r"torch\.jit\.(script|trace)")),
)
_METHODS = {
    "random": frozenset(
        (
            "bernoulli_",
            "bernoulli",
            "uniform_",
            "normal_",
            "random_",
            "exponential_",
            "multinomial",
            "cauchy_",
        )
    ),
    "cuda": frozenset(("cuda",)),
}
#: Names that compiled modules go by.
_COMPILED = re.compile(r"(.*\.)?(_C|_ext|\w*(_cuda|_cpp|_ext|cuda_\w*|_kernels?|_impl))(\..*)?")
#: How deep calls of helpers are followed.
_DEPTH = 6
#: Functions whose result has the values of their first argument.
_SAME = frozenset(("clone", "contiguous", "detach", "view_as", "identity", "to", "type_as"))
#: Functions whose result depends on no value of an argument.
_BLANK = re.compile(r"(new_)?(zeros|ones|empty|full|rand|randn|randint|arange)(_like)?")


def of_class(
    index: Index, ancestry: Sequence[tuple[ModuleSource, Class]], *, symbolic: bool
) -> tuple[str, ...]:
    """Return the marks of a Function, given its class and bases, nearest first."""
    for source, ancestor in ancestry:
        forward = method(ancestor, "forward")
        if forward is not None:
            marks = set(_followed(index, source, f"{ancestor.qualname}.", forward, set(), 0))
            if symbolic and holds_a_place(forward):
                marks.add("placeholder")
            return tuple(mark for mark in MARKS if mark in marks)
    return ()


def method(described: Class, name: str) -> FunctionNode | None:
    """Return a method that stands in a class, the first of several."""
    for node in _statements(described.body):
        if isinstance(node, FunctionNode) and node.name == name:
            return node
    return None


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a class, those in branches too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _statements([*node.body, *getattr(node, "orelse", ())])


def _followed(
    index: Index, source: ModuleSource, scope: str, function: FunctionNode, seen: set[int], depth: int
) -> Iterator[str]:
    """Yield the marks of a function's body and of the helpers it refers to."""
    if id(function) in seen or depth > _DEPTH:
        return
    seen.add(id(function))
    local = _local_names(function)
    for statement in function.body:
        for node in ast.walk(statement):
            yield from _of_node(node)
        for name in referred(statement):
            if name[0] in local:
                continue
            leads = index.lookup(source, name, scope)
            if leads is None:
                continue
            if leads.kind is NameKind.NATIVE:
                yield "native"
            elif leads.kind is NameKind.FUNCTION:
                helper = index.source(leads.module)
                if helper is not None:
                    node = helper.functions[leads.name]
                    yield from _decorated(index, helper, node)
                    inside = f"{leads.name}.<locals>."
                    yield from _followed(index, helper, inside, node, seen, depth + 1)
            elif leads.kind is NameKind.CLASS:
                yield from _applied(index, leads.module, leads.name, seen, depth)
            elif leads.kind in (NameKind.OUTSIDE, NameKind.MISSING):
                yield from _outside(leads.dotted)


def _applied(index: Index, module: str, name: str, seen: set[int], depth: int) -> Iterator[str]:
    """Yield the marks of another Function that is applied."""
    if not name.endswith(".apply"):
        return
    for source, ancestor in index.ancestry(module, name.removesuffix(".apply")) or ():
        forward = method(ancestor, "forward")
        if forward is not None:
            yield from _followed(index, source, f"{ancestor.qualname}.", forward, seen, depth + 1)
            return


def _outside(name: str) -> Iterator[str]:
    for mark, pattern in _OUTSIDE:
        if pattern.fullmatch(name):
            yield mark
    top = name.partition(".")[0]
    if _COMPILED.fullmatch(name) and top not in ("torch", "numpy") and not hasattr(builtins, top):
        yield "native"


def _of_node(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        for mark, names in _METHODS.items():
            if node.func.attr in names and dotted(node.func.value) not in (["random"], ["torch"]):
                yield mark
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"cuda\b", node.value):
        yield "cuda"
    elif isinstance(node, ast.Global):
        yield "stateful"


def _decorated(index: Index, source: ModuleSource, function: FunctionNode) -> Iterator[str]:
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = dotted(target)
        leads = index.lookup(source, name) if name is not None else None
        if leads is not None and leads.kind is NameKind.OUTSIDE:
            yield from _outside(leads.dotted)


def _local_names(function: FunctionNode) -> set[str]:
    arguments = function.args
    every = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    return {argument.arg for argument in every if argument is not None}


def parameters(function: FunctionNode) -> tuple[str, ...]:
    """Return the parameters of a function as written, without annotations and defaults."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if arguments.vararg is not None:
        names.append(f"*{arguments.vararg.arg}")
    return tuple(names)


def holds_a_place(forward: FunctionNode) -> bool:
    """Return whether a forward does nothing but return its input, or something that does not depend on its values."""
    names = set(parameters(forward)[1:])
    stars = {name.removeprefix("*") for name in names}
    returned = False
    for statement in forward.body:
        if _is_bookkeeping(statement, parameters(forward)[:1]):
            continue
        if not isinstance(statement, ast.Return) or statement.value is None:
            return False
        values = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
        if not values or not all(_unchanged(value, stars) for value in values):
            return False
        returned = True
    return returned


def _is_bookkeeping(statement: ast.stmt, context: Sequence[str]) -> bool:
    """Return whether a statement only assigns to attributes, calls a method of ``ctx``, asserts or says something."""
    if isinstance(statement, ast.Expr):
        call = statement.value
        name = dotted(call.func) if isinstance(call, ast.Call) else None
        return isinstance(call, ast.Constant) or (name is not None and name[0] in context)
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Attribute) for target in statement.targets)
    return isinstance(statement, ast.Assert | ast.Pass)


def _unchanged(value: ast.expr, names: set[str]) -> bool:
    if isinstance(value, ast.Starred):
        value = value.value
    if isinstance(value, ast.Name):
        return value.id in names
    if isinstance(value, ast.Subscript):
        return _unchanged(value.value, names)
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if _BLANK.fullmatch(value.func.attr):
            return True
        return value.func.attr in _SAME and _unchanged(value.func.value, names)
    return False
