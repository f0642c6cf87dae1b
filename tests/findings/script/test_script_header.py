"""The header of a standalone script, and what it refuses."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

import pytest
from standalone import INFINITE, PAIR, imported, invented

from diffexport.errors import UnknownNameError
from diffexport.findings.scripts.script import standalone_script
from diffexport.subjects import catalogue
from diffexport.subjects.cases.case import make_case
from diffexport.values.place import Place
from diffexport.values.verdict import Kind


def test_header_says_what_and_how() -> None:
    case = catalogue.load("clamp")
    stored = invented(
        case,
        "torchscript,opset=13",
        Kind.INFINITY,
        INFINITE,
        message="one \x1b[31mred\x1b[0m line\nimport os\r" + "\n." * 40,
        versions={"torch": "9.9", "hypothesis": "1"},
    )
    text = standalone_script(stored, case)
    header = text[: text.index("\n\n")].splitlines()
    assert all(line.startswith("#") for line in header)
    assert "# clamp: infinity (infinities stand in other places or have another sign)" in header
    assert "# one red line" in header
    assert "# import os" in header
    assert "# Exported as torchscript,opset=13, run on ort-disabled" in header
    assert "# Seen with torch 9.9" in header
    assert len(header) < 25
    assert "DIVERGES" in text
    assert "exits 0" in " ".join(header)


def test_unknown_runtime_is_refused() -> None:
    case = catalogue.load("clamp")
    stored = invented(case, "torchscript", Kind.INFINITY, INFINITE, runtime="ort-al")
    with pytest.raises(UnknownNameError, match="ort-al"):
        standalone_script(stored, case)


@pytest.mark.parametrize(
    "changes",
    [
        {"place": Place.parse('output[0]"; import os #')},
        {"signature": "GLOBALS.x; import os", "kind": Kind.STALE_GLOBALS},
        {"signature": "attribute '] or [__import__('os')] #", "kind": Kind.IMPURE_EXPORT},
        {"signature": 'missing "; import os', "kind": Kind.GRAPH_CONTRACT},
        {"target": "evil; import os:Net"},
        {"target": "models.py:Net; import os"},
        {"message": "harmless\nimport os\x0cimport os\u2028import os\x85import os"},
        {"versions": {"torch": "1\nimport os"}},
        {"case": "clamp\nimport os"},
    ],
    ids=str,
)
def test_stored_text_is_never_code(changes: dict[str, Any]) -> None:
    case = make_case("clamp", lambda: catalogue.load("clamp").build(), inputs=["float32[...]"])
    stored = replace(invented(case, "torchscript", Kind.VALUE, PAIR), **changes)
    text = standalone_script(stored, case)
    assert "os" not in imported(text)
    calls = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and node.id == "__import__"
    ]
    assert not calls
