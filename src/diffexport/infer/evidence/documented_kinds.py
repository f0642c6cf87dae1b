"""What a documentation string says of the kinds of parameters."""

from __future__ import annotations

import re

from diffexport.infer.evidence.kinds import ArgumentKind
from diffexport.infer.evidence.weights import STATED

_DOCUMENTED = (
    (r"tensor|ndarray", ArgumentKind.TENSOR),
    (r"\bint(eger)?\b", ArgumentKind.INT),
    (r"\bfloat\b", ArgumentKind.FLOAT),
    (r"\bbool(ean)?\b", ArgumentKind.BOOL),
    (r"\bstr(ing)?\b", ArgumentKind.STR),
    (r"callable|\bfunction\b", ArgumentKind.CALLABLE),
    (r"\bdtype\b", ArgumentKind.DTYPE),
    (r"nn\.module", ArgumentKind.MODULE),
    (r"\btuple\b|\bshape\b", ArgumentKind.SHAPE),
)


def weigh_documentation(name: str, documentation: str, weight: dict[ArgumentKind, float]) -> None:
    """Add what a documentation string says of the type of a parameter, in any of the usual styles."""
    if not documentation:
        return
    escaped = re.escape(name)
    styles = rf"(?m)^\s*(?::type {escaped}:|:param {escaped}:|{escaped}\s*\(|{escaped}\s*:)(?P<said>[^\n)]*)"
    for match in re.finditer(styles, documentation):
        said = match["said"].lower()
        for pattern, kind in _DOCUMENTED:
            if re.search(pattern, said[:60]):
                weight[kind] += STATED.documentation
                break
