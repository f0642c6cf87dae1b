"""What a stored text names outside of torch, as an expression of a script, while nothing is imported.

Only what a text may say is written down, so that no other code gets into the script: literals, names, and calls of
classes and of what makes a tensor.
"""

from __future__ import annotations

import ast
from pathlib import Path

from diffexport.errors import UsageError
from diffexport.findings.scripts.written_model import is_class
from diffexport.strategies import is_torch_maker
from diffexport.subjects.targets import file_of


def unimported(text: str) -> str:
    """Return the expression for a text.

    Raises:
        UsageError: it says something else.
    """
    try:
        return _rendered(ast.parse(text, mode="eval").body, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UsageError(f"{text[:200]!r} is nothing that an argument can be") from None


def _rendered(node: ast.expr, text: str) -> str:
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return f"{'-' if isinstance(node.op, ast.USub) else '+'}{_rendered(node.operand, text)}"
    if isinstance(node, ast.Name | ast.Attribute):
        return _named(ast.unparse(node), text)
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        items = ", ".join(_rendered(item, text) for item in node.elts)
        if isinstance(node, ast.Tuple):
            return f"({items},)" if len(node.elts) == 1 else f"({items})"
        return f"[{items}]" if isinstance(node, ast.List) else f"{{{items}}}"
    if isinstance(node, ast.Dict) and None not in node.keys:
        pairs = zip(node.keys, node.values, strict=True)
        return f"{{{', '.join(f'{_rendered(k, text)}: {_rendered(v, text)}' for k, v in pairs if k)}}}"
    if isinstance(node, ast.Call) and all(key.arg for key in node.keywords):
        called = ast.unparse(node.func)
        module, name = _split(called, text)
        if is_torch_maker(called) or (module and is_class(module, name)):
            args = [_rendered(item, text) for item in node.args]
            args += [f"{key.arg}={_rendered(key.value, text)}" for key in node.keywords]
            return f"{_named(called, text)}({', '.join(args)})"
    raise UsageError(f"{ast.unparse(node)[:200]!r} is nothing that a script can have without being imported")


def _named(name: str, text: str) -> str:
    module, attribute = _split(name, text)
    if module in ("", "torch"):
        return name
    return f"__import__('importlib').import_module({module!r}){'.' if attribute else ''}{attribute}"


def _split(name: str, text: str) -> tuple[str, str]:
    """Return the module of a dotted name, and what it is in there."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts) or "__" in name:
        raise UsageError(f"{name[:200]!r} in {text[:200]!r} is no name")
    if parts[0] == "torch":
        return "torch", ".".join(parts[1:])
    lengths = [n for n in range(len(parts), 0, -1) if file_of(".".join(parts[:n]), (Path.cwd(),))]
    length = lengths[0] if lengths else max(len(parts) - 1, 1)
    return ".".join(parts[:length]), ".".join(parts[length:])
