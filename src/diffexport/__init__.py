"""diffexport: a property-based differential tester for PyTorch to ONNX export.

The public names. They are imported when first used, so that ``import diffexport`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffexport.call import Call as Call
    from diffexport.case import Case as Case
    from diffexport.case import make_case as make_case
    from diffexport.engine.diverged import Diverged as Diverged
    from diffexport.errors import DiffexportError as DiffexportError
    from diffexport.expectation import rule as rule
    from diffexport.known import known_divergence as known_divergence
    from diffexport.mode import Mode as Mode
    from diffexport.mode import ModePattern as ModePattern
    from diffexport.modeltest import test as test
    from diffexport.result import FindingsError as FindingsError
    from diffexport.result import Result as Result
    from diffexport.road import Road as Road
    from diffexport.terms import Terms as Terms
    from diffexport.testing import assert_agrees as assert_agrees
    from diffexport.testing import check as check
    from diffexport.verdict import Divergence as Divergence
    from diffexport.verdict import Kind as Kind
    from diffexport.verdict import Outcome as Outcome
    from diffexport.verdict import Stage as Stage
    from diffexport.verdict import Verdict as Verdict

_WHERE = {
    "Call": "call",
    "Case": "case",
    "make_case": "case",
    "Road": "road",
    "Diverged": "engine.explore",
    "DiffexportError": "errors",
    "rule": "expectation",
    "Mode": "mode",
    "ModePattern": "mode",
    "FindingsError": "result",
    "Result": "result",
    "Terms": "terms",
    "known_divergence": "known",
    "test": "modeltest",
    "assert_agrees": "testing",
    "check": "testing",
    "Divergence": "verdict",
    "Kind": "verdict",
    "Outcome": "verdict",
    "Stage": "verdict",
    "Verdict": "verdict",
}

__all__ = [
    "Call",
    "Case",
    "DiffexportError",
    "Diverged",
    "Divergence",
    "FindingsError",
    "Kind",
    "Mode",
    "ModePattern",
    "Outcome",
    "Result",
    "Road",
    "Stage",
    "Terms",
    "Verdict",
    "assert_agrees",
    "check",
    "known_divergence",
    "make_case",
    "rule",
    "test",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'diffexport' has no attribute {name!r}")
    return getattr(importlib.import_module(f"diffexport.{_WHERE[name]}"), name)
