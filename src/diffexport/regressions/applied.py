"""The module of a target that says how a Function is applied, as the lines of a standalone script."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Any

from diffexport.application import HOLE, Application
from diffexport.regressions.literals import indented


class _Filling(ast.NodeTransformer):
    """Puts the names of tensors in place of the holes."""

    def __init__(self) -> None:
        self.number = 0

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id != HOLE:
            return node
        name = ast.Name(f"x{self.number}", ast.Load())
        self.number += 1
        return name


def application_lines(applied: Application, function: str, count: int) -> list[str]:
    """Return the definition of the module that applies a Function to ``count`` tensors."""
    given = [f"x{number}" for number in range(count)]
    arguments = given
    if applied.arguments is not None:
        filling = _Filling()
        trees = [filling.visit(ast.parse(text, mode="eval")) for text in applied.arguments]
        arguments = [ast.unparse(tree) for tree in trees]
    body: list[str] = []
    lines: list[str] = []
    if "parameter" in applied.flags:
        one = "self.one = torch.nn.Parameter(torch.ones(()))"
        body.append(indented("def __init__(self):", "super().__init__()", one) + "\n")
        lines += [
            f"{name} = {name} * self.one.to({name}.dtype) if {name}.is_floating_point() else {name}"
            for name in given
        ]
    lines.append(f"return {function}.apply({', '.join(arguments)})")
    body.append(indented(f"def forward(self, {', '.join(given)}):", *lines))
    definitions = [indented("class Applied(torch.nn.Module):", *body)]
    if "without-symbolic" in applied.flags:
        definitions.insert(0, f"del {function}.symbolic")
    return definitions


def application_imports(applied: Application) -> list[str]:
    """Return the imports that the values among the arguments need."""
    names = [name for text in applied.arguments or () for name in _dotted(ast.parse(text, mode="eval"))]
    modules = []
    for name in names:
        parts = name.split(".")
        known = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        module = next((one for one in known if one in sys.modules), "")
        if module and module.partition(".")[0] != "torch":
            modules.append(f"import {module}")
    return list(dict.fromkeys(modules))


def _dotted(node: ast.AST) -> Iterator[str]:
    inside: Any = node
    if isinstance(inside, ast.Attribute):
        yield ast.unparse(inside)
        return
    for inner in ast.iter_child_nodes(node):
        yield from _dotted(inner)
