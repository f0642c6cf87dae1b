"""Which causes are one and which are two: a table of pairs."""

import pytest

from diffexport.values import Cause, CauseKind, How

ERROR, FACT, OPERATOR = CauseKind.ERROR, CauseKind.FACT, CauseKind.OPERATOR
LINE = "model.py:6 in forward: return x.sort()"


def at(key, *, conversions=("torchscript",), family="", how=""):
    name = f"aten::{key.partition('#')[0]}"
    return Cause(OPERATOR, key, name, LINE, conversions, family, How(how))


def kernel(key, family="ort", *, how=""):
    return at(key, conversions=(), family=family, how=how)


def error(text, operator="", line="", conversion="dynamo"):
    return Cause(ERROR, text, operator, line, (conversion,))


APART = {
    "operators": (at("relu#0"), at("sort#0")),
    "one operator twice in a model, converted wrongly": (at("add#0"), at("add#1")),
    "a special value at one, an ordinary one at another": (at("add#0", how="nan"), at("add#1")),
    "special values at two operators": (at("relu#0", how="nan"), at("clamp#0", how="nan")),
    "two ways of conversion": (at("relu#0"), at("relu#0", conversions=("dynamo",))),
    "two families of runtimes": (kernel("sort#0"), kernel("sort#0", "reference")),
    "NaN and infinity, each alone, at one operator": (
        kernel("clamp#0", how="nan"),
        kernel("clamp#0", how="infinity"),
    ),
    "an error and a wrong value at one operator": (
        kernel("clamp#0", how="error"),
        kernel("clamp#0", how="value"),
    ),
    "a branch and a wrong value": (at("select#0", how="branch"), at("select#0", how="value")),
    "the reference evaluator and a conversion": (kernel("mul#0", "reference"), at("mul#0")),
    "kernels of two operators": (kernel("sort#0"), kernel("max#0")),
    "an error and a wrong value": (at("sort#0"), error("sort", "aten::sort", LINE)),
    "errors of two operators on one line": (
        error("no kernel", "aten::triu", LINE),
        error("no kernel ", "aten::argsort", LINE),
    ),
    "errors of one operator on two lines that say something else": (
        error("no fake kernel", "aten::sort", LINE),
        error("not differentiable", "aten::sort", "model.py:7 in forward: x"),
    ),
    "one error, without an operator, on two lines": (
        error("guard on Eq(u#, #)", "", LINE),
        error("guard on Eq(u#, #)", "", "model.py:7 in forward: x"),
    ),
    "one error of two exporters": (error("same"), error("same", conversion="torchscript")),
    "facts": (Cause(FACT, "opset above"), Cause(FACT, "impure-export parameters")),
}
ONE = {
    "the same": (at("relu#0"), at("relu#0", how="nan")),
    "a kernel at one operator twice in a model": (kernel("clamp#0", how="nan"), kernel("clamp#2")),
    "a special value at two operators of one name": (at("add#0", how="nan"), at("add#1", how="nan")),
    "NaN at an operator that is wrong for any value": (at("relu#0", how="nan"), at("relu#0", how="value")),
    "a shape and an infinity at one operator": (at("relu#0", how="infinity"), at("relu#0", how="shape")),
    "a vote for the kernel, a vote for the conversion": (kernel("relu#0"), at("relu#0")),
    "exporters that share one of their conversions": (
        at("relu#0", conversions=("torchscript", "dynamo")),
        at("relu#0", conversions=("dynamo",)),
    ),
    "one operator, on one line, in two words": (
        error("not differentiable", "aten::fake_quantize", LINE),
        error("no fake kernel", "aten::_fake_quantize_cachemask", LINE),
    ),
    "two ways of capture on one line": (error("guard", "", LINE), error("skipped", "", LINE)),
    "one error, of which one has no line": (error("same", "aten::sub", LINE), error("same", "aten::sub")),
}


@pytest.mark.parametrize(("one", "other"), APART.values(), ids=APART)
def test_stay_apart(one, other):
    assert not one.is_one_with(other)
    assert not other.is_one_with(one)


@pytest.mark.parametrize(("one", "other"), ONE.values(), ids=ONE)
def test_are_one(one, other):
    assert one.is_one_with(other)
    assert other.is_one_with(one)


@pytest.mark.parametrize("cause", [cause for pair in (*APART.values(), *ONE.values()) for cause in pair])
def test_a_cause_is_read_back_as_it_was_written(cause):
    assert Cause.of(cause.document()) == cause


def test_a_cause_reads_well():
    assert str(at("sort#1")) == f"aten::sort (number 2 of that name) at {LINE}"
    assert str(error("guard")) == "guard"
