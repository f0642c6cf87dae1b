import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffexport.errors import InvalidModeError, UsageError
from diffexport.strategies import modes
from diffexport.values.mode import Mode, ModePattern, is_pattern

DEFAULTS = {
    "opset=20",
    "dynamic=false",
    "keep_initializers_as_inputs=false",
    "optimize=true",
    "operator_export_type=ONNX",
    "do_constant_folding=true",
    "training=EVAL",
    "autograd_inlining=true",
    "export_modules_as_functions=false",
    "scoped=false",
}
OFF_DEFAULT_TORCHSCRIPT = {
    "operator_export_type": "ONNX_ATEN",
    "do_constant_folding": "false",
    "training": "PRESERVE",
    "autograd_inlining": "false",
    "export_modules_as_functions": "true",
    "scoped": "true",
}


@given(modes())
@settings(deadline=None, database=None)
def test_text_parses_back_to_the_same_mode_and_leaves_defaults_out(mode):
    text = str(mode)
    assert Mode.parse(text) == mode
    assert not DEFAULTS & set(text.split(","))


@given(modes(), st.randoms(use_true_random=False))
@settings(deadline=None, database=None)
def test_order_of_options_and_spaces_do_not_matter(mode, random):
    exporter, *options = str(mode).split(",")
    random.shuffle(options)
    assert Mode.parse(" , ".join([exporter, *options])) == mode


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (Mode(), "dynamo"),
        (Mode("dynamo", opset=18, optimize=False), "dynamo,opset=18,optimize=false"),
        (Mode("dynamo-strict", opset=25, dynamic=True), "dynamo-strict,opset=25,dynamic=true"),
        (Mode("torchscript", opset=7), "torchscript,opset=7"),
        (
            Mode("torchscript", training="TRAINING", operator_export_type="ONNX_FALLTHROUGH"),
            "torchscript,operator_export_type=ONNX_FALLTHROUGH,training=TRAINING",
        ),
    ],
)
def test_text_form(mode, text):
    assert str(mode) == text
    assert Mode.parse(text) == mode


def test_defaults_spelt_out_are_dropped():
    assert str(Mode.parse("dynamo,dynamic=false,opset=20,optimize=true")) == "dynamo"
    # An option the exporter does not honour may stand at its default.
    assert str(Mode.parse("dynamo,training=EVAL")) == "dynamo"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("dynamo,opset=12", ["opset=12", "'dynamo'", "13 to 25"]),
        ("dynamo-strict,opset=26", ["opset=26", "'dynamo-strict'", "13 to 25"]),
        ("torchscript,opset=6", ["opset=6", "7 to 20"]),
        ("torchscript,opset=21", ["opset=21", "'torchscript'", "7 to 20"]),
        ("torchscript,optimize=false", ["optimize=false", "'torchscript'", "dynamo, dynamo-strict"]),
        (
            "torchscript,opset=14,export_modules_as_functions=true",
            ["export_modules_as_functions", "opset ≥ 15", "opset=14"],
        ),
        ("dynamo,opset=18,opset=18", ["'opset'", "twice"]),
        ("dynamo,opst=18", ["'opst'", "did you mean 'opset'?"]),
        ("dynmo", ["'dynmo'", "did you mean 'dynamo'?"]),
        ("torchscript,training=EVALL", ["training", "'EVALL'", "did you mean 'EVAL'?"]),
        ("torchscript,operator_export_type=ONNX_ATEM", ["operator_export_type", "did you mean 'ONNX_ATEN'?"]),
        ("dynamo,dynamic=1", ["dynamic", "true or false", "'1'"]),
        ("dynamo,opset=true", ["opset", "whole number", "'true'"]),
        ("dynamo,opset=-18", ["opset", "whole number", "'-18'"]),
        ("dynamo,opset=18..20", ["opset", "whole number", "'18..20'"]),
        ("", ["does not begin with an exporter", "dynamo, dynamo-strict, torchscript"]),
        ("opset=18", ["does not begin with an exporter"]),
        (",opset=18", ["does not begin with an exporter"]),
        ("dynamo,opset", ["'opset' is not OPTION=VALUE"]),
        ("dynamo,", ["'' is not OPTION=VALUE"]),
    ],
)
def test_invalid_text_is_rejected_naming_what_is_wrong(text, parts):
    with pytest.raises(InvalidModeError) as caught:
        Mode.parse(text)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("exporter", ["dynamo", "dynamo-strict"])
@pytest.mark.parametrize("option", OFF_DEFAULT_TORCHSCRIPT)
def test_torchscript_only_option_under_dynamo_is_rejected(exporter, option):
    value = OFF_DEFAULT_TORCHSCRIPT[option]
    assert str(Mode.parse(f"torchscript,{option}={value}")) == f"torchscript,{option}={value}"
    with pytest.raises(InvalidModeError) as caught:
        Mode.parse(f"{exporter},{option}={value}")
    assert f"{option}={value}" in str(caught.value)
    assert f"{exporter!r} does not honour" in str(caught.value)
    assert "only torchscript" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": True}, r"opset takes an int, not True \(bool\)"),
        ({"opset": "20"}, r"opset takes an int, not '20' \(str\)"),
        ({"opset": 20.0}, r"opset takes an int, not 20\.0 \(float\)"),
        ({"dynamic": 1}, r"dynamic takes a bool, not 1 \(int\)"),
        ({"dynamic": None}, r"dynamic takes a bool, not None"),
        ({"exporter": "torchscript", "training": True}, r"training takes a string, not True \(bool\)"),
        ({"exporter": "torchscript", "training": "EVALL"}, r"training=EVALL .*did you mean 'EVAL'"),
        ({"exporter": "jit"}, r"unknown exporter 'jit'.*dynamo-strict"),
    ],
)
def test_constructor_rejects_wrong_types_and_values(options, message):
    with pytest.raises(InvalidModeError, match=message):
        Mode(**options)


def test_invalid_mode_is_a_usage_error_and_a_value_error():
    assert {UsageError, ValueError} <= set(InvalidModeError.__mro__)
    assert InvalidModeError.exit_code == 2


def test_modes_are_immutable_and_hash_by_value():
    mode = Mode.parse("dynamo,opset=18")
    with pytest.raises(dataclasses.FrozenInstanceError):
        mode.opset = 19
    assert {mode: 1}[Mode("dynamo", opset=18)] == 1
    assert mode != Mode("dynamo-strict", opset=18)


def test_complexity_puts_simple_modes_first():
    texts = [
        "dynamo",
        "dynamo,opset=21",
        "dynamo,opset=25",
        "dynamo,opset=19,dynamic=true",
        "dynamo-strict",
        "torchscript",
        "torchscript,opset=7,training=TRAINING,scoped=true",
    ]
    parsed = [Mode.parse(text) for text in reversed(texts)]
    assert [str(mode) for mode in sorted(parsed, key=lambda mode: mode.complexity)] == texts


def test_options_are_those_the_exporter_honours():
    shared = {"opset": 20, "dynamic": False, "keep_initializers_as_inputs": False}
    assert Mode("dynamo").options() == {**shared, "optimize": True}
    assert set(Mode("torchscript").options()) == {*shared, *OFF_DEFAULT_TORCHSCRIPT}


def test_a_mode_of_a_mapping():
    assert str(Mode.of("torchscript", {"opset": 18, "training": "EVAL"})) == "torchscript,opset=18"
    with pytest.raises(InvalidModeError, match="opset=12 is out of the range"):
        Mode.of("dynamo", {"opset": 12})


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*", ["dynamo", "torchscript,opset=7"], []),
        ("dynamo", ["dynamo", "dynamo,opset=13"], ["dynamo-strict", "torchscript"]),
        ("dynamo*", ["dynamo", "dynamo-strict,opset=25"], ["torchscript"]),
        ("dynamo,opset=13..14", ["dynamo,opset=13", "dynamo,opset=14"], ["dynamo,opset=15", "dynamo"]),
        ("*,opset=9|18..19", ["torchscript,opset=9", "dynamo,opset=19"], ["torchscript,opset=10", "dynamo"]),
        ("dynamo,opset=20", ["dynamo", "dynamo,dynamic=true"], ["dynamo,opset=19"]),
        (
            "torchscript,training=EVAL|PRESERVE",
            ["torchscript", "torchscript,training=PRESERVE"],
            ["torchscript,training=TRAINING"],
        ),
        ("*,dynamic=true", ["torchscript,dynamic=true"], ["torchscript", "dynamo"]),
        # Not honoured never matches, not even at the default.
        ("*,training=EVAL", ["torchscript"], ["dynamo", "dynamo-strict"]),
        ("*,optimize=*", ["dynamo", "dynamo,optimize=false"], ["torchscript"]),
        (
            "torchscript,opset=7..14,scoped=true",
            ["torchscript,opset=7,scoped=true"],
            ["torchscript,opset=7", "torchscript,scoped=true"],
        ),
    ],
)
def test_patterns(pattern, matching, others):
    parsed = ModePattern.parse(pattern)
    assert str(parsed) == pattern
    assert [text for text in matching if not parsed.matches(Mode.parse(text))] == []
    assert [text for text in others if parsed.matches(Mode.parse(text))] == []


@given(modes(), modes())
@settings(deadline=None, database=None)
def test_a_mode_text_as_pattern_matches_modes_with_the_same_options_named(one, other):
    pattern = ModePattern.parse(str(one))
    assert pattern.matches(one)
    named = set(str(one).split(",")[1:])
    has = DEFAULTS - {d for d in DEFAULTS if d.split("=")[0] in str(other)} | set(str(other).split(",")[1:])
    assert pattern.matches(other) == (one.exporter == other.exporter and named <= has)


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("dynmo*", "'dynmo*'"),
        ("dynmo", "did you mean 'dynamo'?"),
        ("*,opst=18", "did you mean 'opset'?"),
        ("*,opset=13..x", "'x'"),
        ("*,opset=13..", "''"),
        ("*,opset=|", "whole number"),
        ("*,dynamic=yes", "true or false"),
        ("*,training=EVAL|TRIANING", "did you mean 'TRAINING'?"),
        ("", "does not begin with an exporter"),
    ],
)
def test_patterns_naming_nothing_that_exists_are_rejected(pattern, part):
    with pytest.raises(InvalidModeError) as caught:
        ModePattern.parse(pattern)
    assert part in str(caught.value)


@pytest.mark.parametrize("values", ["99", "18..13", "1..5"])
def test_patterns_of_opsets_that_no_exporter_has_are_rejected(values):
    with pytest.raises(InvalidModeError, match=values):
        ModePattern.parse(f"*,opset={values}")


def test_is_pattern():
    assert [
        t for t in ("*", "dynamo*", "dynam?", "dynamo,opset=1..2", "*,opset=1|2") if not is_pattern(t)
    ] == []
    assert not is_pattern("dynamo-strict,opset=18")
