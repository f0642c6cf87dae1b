import re

import pytest

from diffexport.errors import InvalidModeError, UsageError
from diffexport.subjects.cases.expectation import AGREES, RULES, Expected, expect, rule
from diffexport.values.matrix import default_matrix, full_matrix
from diffexport.values.mode import Mode

OPAQUE = frozenset({"opaque-function"})
SYMBOLIC = frozenset({"symbolic-function"})
UNSUPPORTED = frozenset({"unsupported-op"})
ATEN = frozenset({"aten-ops"})
FUNCTIONS = "torchscript,export_modules_as_functions=true"


@pytest.mark.parametrize(
    ("mode", "traits", "expected"),
    [
        ("torchscript", OPAQUE, "agrees"),
        ("torchscript,operator_export_type=ONNX_ATEN_FALLBACK", OPAQUE, "agrees"),
        ("torchscript,operator_export_type=ONNX_FALLTHROUGH", OPAQUE, "unloadable prim::PythonOp"),
        ("torchscript,operator_export_type=ONNX_ATEN", OPAQUE, "refuses Couldn't export Python operator Exp"),
        ("torchscript,autograd_inlining=false", OPAQUE, "refuses Couldn't export Python operator Exp"),
        # FALLTHROUGH comes before the rule on inlining.
        (
            "torchscript,operator_export_type=ONNX_FALLTHROUGH,autograd_inlining=false",
            OPAQUE,
            "unloadable prim::PythonOp",
        ),
        (FUNCTIONS, OPAQUE, "agrees"),
        (f"{FUNCTIONS},autograd_inlining=false", OPAQUE, "refuses INTERNAL ASSERT FAILED"),
        (
            f"{FUNCTIONS},autograd_inlining=false,operator_export_type=ONNX_ATEN",
            OPAQUE,
            "unloadable prim::PythonOp",
        ),
        (
            f"{FUNCTIONS},operator_export_type=ONNX_FALLTHROUGH",
            OPAQUE,
            "refuses node->uses().empty() INTERNAL ASSERT FAILED at",
        ),
        ("torchscript", UNSUPPORTED, "refuses Couldn't export operator aten::special_erfcx"),
        (FUNCTIONS, UNSUPPORTED, "refuses uses().empty() INTERNAL ASSERT FAILED"),
        (
            "torchscript,operator_export_type=ONNX_ATEN_FALLBACK",
            UNSUPPORTED,
            "unloadable org.pytorch.aten::ATen",
        ),
        ("torchscript,operator_export_type=ONNX_ATEN", ATEN, "unloadable org.pytorch.aten::ATen"),
        (
            "torchscript,operator_export_type=ONNX_ATEN",
            ATEN | OPAQUE,
            "refuses Couldn't export Python operator",
        ),
        ("torchscript,operator_export_type=ONNX_ATEN", SYMBOLIC, "agrees"),
        ("torchscript,autograd_inlining=false", SYMBOLIC, "agrees"),
        ("torchscript", ATEN, "agrees"),
    ],
)
def test_what_is_expected_of_torchscript(mode, traits, expected):
    word, _, rest = expected.partition(" ")
    got = expect(Mode.parse(mode), traits)
    assert got.expected.value == word
    if word == "refuses":
        assert got.refuses_with(f"RuntimeError: {rest}")
        assert not got.refuses_with("RuntimeError: something else")
    elif word == "unloadable":
        assert got.nodes == (rest,)
    assert (got is AGREES) == (word == "agrees")


def test_nothing_is_refused_under_dynamo():
    everything = OPAQUE | SYMBOLIC | UNSUPPORTED | ATEN
    for mode in default_matrix():
        if mode.exporter != "torchscript":
            assert expect(mode, everything) is AGREES


def test_a_model_without_traits_agrees_everywhere():
    assert all(expect(mode, frozenset()) is AGREES for mode in default_matrix())


def test_every_rule_is_named_once_and_applies_somewhere():
    names = [candidate.name for candidate in RULES]
    assert len(set(names)) == len(names)
    hit = {
        expect(mode, traits).rule
        for mode in full_matrix("torchscript")
        for traits in (OPAQUE, UNSUPPORTED, ATEN)
    }
    assert set(names) <= hit


def test_own_rules_go_first_and_the_first_match_wins():
    mode = Mode.parse("torchscript,autograd_inlining=false")
    refuses = rule("mine", "torchscript,opset=20", "refuses", error="^mine$")
    agrees = rule("mine too", "*", "agrees")
    assert expect(mode, OPAQUE, [refuses, agrees]).rule == "mine"
    assert expect(mode, OPAQUE, [agrees, refuses]).rule == "mine too"
    assert expect(Mode.parse("torchscript,opset=19"), OPAQUE, [refuses]) is AGREES


def test_rules_need_all_required_and_no_forbidden_trait():
    made = rule("r", "dynamo", "agrees", requires=["aten-ops", "opaque-function"], forbids=["unsupported-op"])
    assert made.applies(Mode("dynamo"), ATEN | OPAQUE | SYMBOLIC)
    assert not made.applies(Mode("dynamo"), OPAQUE)
    assert not made.applies(Mode("dynamo"), ATEN | OPAQUE | UNSUPPORTED)
    assert not made.applies(Mode("dynamo-strict"), ATEN | OPAQUE)


def test_refuses_with_searches_anywhere_in_the_message():
    made = rule("r", "*", "refuses", error=r"a\.b").expectation
    assert made.refuses_with("first line\nxa.by")
    assert not made.refuses_with("axb")
    assert not AGREES.refuses_with("")
    assert rule("r", "*", "unloadable", nodes=["x::Y"]).expectation.nodes == ("x::Y",)
    assert not rule("r", "*", "unloadable").expectation.refuses_with("anything")


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"expected": "refuse"}, UsageError, "unknown expectation 'refuse'; did you mean 'refuses'"),
        ({"requires": ["opaque"]}, UsageError, "did you mean 'opaque-function'"),
        ({"forbids": ["aten-op"]}, UsageError, "did you mean 'aten-ops'"),
        ({"error": "("}, UsageError, "error='('"),
        ({"modes": "dynmo"}, InvalidModeError, "did you mean 'dynamo'"),
    ],
)
def test_rule_rejects_bad_arguments(arguments, error, part):
    with pytest.raises(error, match=re.escape(part)):
        rule(**{"name": "mine", "modes": "*", "expected": "agrees", **arguments})


def test_expected_values():
    assert [str(value) for value in Expected] == ["agrees", "may-refuse", "refuses", "unloadable", "invalid"]
