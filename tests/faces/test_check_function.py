"""``diffexport.check`` and what it returns, without pytest having a part in it."""

import json

import pytest
import torch
from hypothesis import strategies as st

import diffexport
from diffexport.errors import UntestableError, UsageError
from diffexport.values import TensorSpec, admits_all, pinned

QUICK = {"modes": "torchscript", "runtimes": "ort-disabled", "examples": 2}


class Less(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a - 3

    @staticmethod
    def symbolic(g, a):
        return g.op("Add", a, g.op("Constant", value_t=torch.tensor(3.0)))


class Increase(torch.nn.Module):
    def forward(self, a):
        return a + 1


class Right(torch.nn.Module):
    def forward(self, a):
        return a - 3


def test_a_result_is_true_and_prints_in_a_line():
    result = diffexport.check(Right, inputs=["float32[N]"], **QUICK)
    assert result
    assert str(result) == f"Right: {result.checks} checks in 1 mode: as expected"
    assert repr(result) == f"<Result {result}>"
    assert result.raise_for_findings() is None


def test_a_result_with_findings_is_false_prints_them_and_raises(tmp_path):
    result = diffexport.check(Less, inputs=["float32[N]"], save=tmp_path, **QUICK)
    assert not result
    assert len(result.findings) == 1
    lines = str(result).splitlines()
    assert lines[0].endswith("in 1 mode: 1 new divergence")
    assert lines[2].startswith("Less: value at compare")
    assert "  minimal input   [0] float32[1]" in lines
    (path,) = tmp_path.iterdir()
    assert lines[-1] == f"  reproduce       diffexport replay {path}"
    with pytest.raises(diffexport.FindingsError) as caught:
        result.raise_for_findings()
    assert caught.value.result is result
    assert str(caught.value) == str(result)


def test_what_cannot_be_tested_says_why():
    def refuse(a):
        raise ValueError("not this")

    class Refusing(torch.nn.Module):
        def forward(self, a):
            return refuse(a)

    result = diffexport.check(Refusing, inputs=["float32[N]"], **QUICK)
    assert not result
    assert "not tested" in repr(result)
    with pytest.raises(UntestableError, match="ValueError: not this"):
        result.raise_for_findings()


def test_terms_are_said_and_stored_and_replayed_on(tmp_path):
    inputs = {"inputs": ["float32[N] in 0..1"]}
    tolerant = diffexport.check(Less, **inputs, atol=6.5, **QUICK)
    assert tolerant
    rows = [row for mode in tolerant.modes for row in mode.rows]
    assert sum(row.tolerated for row in rows) > 0
    lines = str(tolerant).splitlines()
    assert lines[1] == "  on the terms atol=6.5"
    assert lines[2].startswith("  tolerated on these terms: ")
    strict = diffexport.check(Less, **inputs, atol=0.5, save=tmp_path, **QUICK)
    assert "  on the terms    atol=0.5" in str(strict).splitlines()
    (path,) = tmp_path.iterdir()
    document = json.loads(path.read_text())
    assert document["terms"] == {"atol": 0.5}
    from diffexport.explore.stored_verdicts import judge_file

    assert str(judge_file(path, {}).status) == "STILL DIVERGES"
    path.write_text(json.dumps({**document, "terms": {"atol": 6.5}}))
    assert str(judge_file(path, {}).status) == "FIXED"
    path.write_text(json.dumps({**document, "terms": {"atoll": 6.5}}))
    assert "unknown option 'atoll'; did you mean 'atol'?" in judge_file(path, {}).message


def test_extra_inputs_are_always_checked():
    class Absolute(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a.abs()

        @staticmethod
        def symbolic(g, a):
            return g.op("Identity", a)

    zeros = {"strategy": st.just((torch.zeros(2),)), **QUICK}
    assert diffexport.check(Absolute, **zeros)
    result = diffexport.check(Absolute, **zeros, extra_inputs=[(torch.tensor([5.0, -7.0]),)])
    assert [x.tolist() for x in result.findings[0].inputs] == [[5.0, -7.0]]
    # They need not suit the specs; then they are left as they are.
    spec = {
        "inputs": ["float32[3]"],
        **QUICK,
        "modes": "torchscript,dynamic=true",
        "examples": 1,
    }
    result = diffexport.check(Increase, **spec, extra_inputs=[(torch.ones(2, 2),)])
    assert result, str(result)
    # With specs, what shows there is made as simple as they allow.
    spec = {"inputs": ["float32[*] in -9..9"], **QUICK, "examples": 1}
    result = diffexport.check(Absolute, **spec, extra_inputs=[(torch.tensor([5.0, -7.0]),)])
    assert [x.tolist() for x in result.findings[0].inputs] == [[-1.0]]


def test_excluded_modes_are_not_run_and_said():
    modes = ["torchscript", "torchscript,opset=9"]
    result = diffexport.check(
        Less, inputs=["float32[N]"], exclude={"torchscript": "on purpose"}, **{**QUICK, "modes": modes}
    )
    assert not result.modes
    assert str(result) == "Less: no mode was run\n  excluded 2 modes (torchscript): on purpose"
    # What was not tested is not as expected.
    assert not result
    with pytest.raises(UntestableError, match="no mode was run"):
        result.raise_for_findings()


def test_a_known_divergence_is_accepted_until_it_is_fixed(tmp_path):
    inputs = {"inputs": ["float32[N]"], "save": tmp_path, **QUICK}
    diffexport.check(Less, **inputs)
    (path,) = tmp_path.iterdir()
    known = diffexport.known_divergence("less", "on purpose", kind="value", regression=path.name)
    accepted = diffexport.check(Less, **inputs, known=[known])
    assert accepted
    assert "  known less: met in 1 (mode, runtime) pair" in str(accepted).splitlines()
    fixed = diffexport.check(Less, **inputs, known=[known], atol=99.0)
    assert fixed, "the regression is replayed on its own terms"
    path.write_text(json.dumps({**json.loads(path.read_text()), "terms": {"atol": 99.0}}))
    stale = diffexport.check(Less, **inputs, known=[known], atol=99.0)
    assert not stale
    assert "fixed upstream: remove this entry (known divergences, id 'less')" in str(stale)
    path.unlink()
    assert "its regression is not in" in str(diffexport.check(Less, **inputs, known=[known]))


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        return x * torch.sigmoid(slope * x)


class Noise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + torch.rand_like(x)


class Never(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        raise RuntimeError("not on this machine")


def test_inputs_that_are_not_declared_are_worked_out():
    result = diffexport.check(Swish, **{**QUICK, "examples": 1})
    assert result
    assert len(result.inferred) == 2
    assert result.inferred[0].startswith("float32[")
    pasted = f"  inputs worked out, to be pasted and edited: inputs={list(result.inferred)!r}"
    assert pasted in str(result).splitlines()


def test_what_cannot_be_worked_out_says_how_to_declare_it():
    with pytest.raises(UsageError, match=r"cannot be worked out: .*not on this machine.*inputs=\["):
        diffexport.check(Never, **QUICK)
    with pytest.raises(UsageError, match=r"draws random numbers.* declare its inputs: inputs=\['float32\["):
        diffexport.check(Noise, **QUICK)


WRONG = {
    "option": ({"rtool": 1}, "unknown option 'rtool'; did you mean 'rtol'?"),
    "upstream": ({"acceptable_error_percentage": 0.1}, "write mismatched=0.05"),
    "inputs": ({"inputs": "float32[N]"}, "inputs='float32[N]' must be a list"),
    "extra tensor": ({"extra_inputs": torch.ones(2)}, "extra_inputs must be a list of calls"),
    "extra tensors": ({"extra_inputs": [torch.ones(2)]}, "write (x,) for a single tensor"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_are_refused(wrong):
    options, message = WRONG[wrong]
    with pytest.raises(UsageError) as caught:
        diffexport.check(Right, **{"inputs": ["float32[N]"], **QUICK, **options})
    assert message in str(caught.value)


def test_a_case_takes_options_besides_its_own():
    case = diffexport.make_case("mine", Less, inputs=["float32[N] in 0..1"], atol=0.5, traits=[])
    case = diffexport.Case(
        **{**vars(case), "build": lambda: diffexport.subjects.targets.resolving.applied(Less)}
    )
    assert not diffexport.check(case, **QUICK)
    result = diffexport.check(case, atol=9.0, name="other", **QUICK)
    assert result
    assert (result.case, str(result.terms)) == ("other", "atol=9")


def test_axes_that_are_not_dynamic_keep_their_sizes():
    specs = [TensorSpec.parse("float32[N, M]"), TensorSpec.parse("float32[..., N, 3]")]
    shapes = [(2, 5), (4, 2, 3)]
    first, second = pinned(specs, shapes, [(0,), (0, 1)])
    assert (str(first), str(second)) == ("float32[N, 5]", "float32[*, N, 3]")
    assert admits_all([first, second], [(7, 5), (1, 7, 3)])
    assert not admits_all([first, second], [(7, 6), (1, 7, 3)])
    # A name that is fixed in one place is fixed in all of them.
    assert [str(spec) for spec in pinned(specs, shapes, [(0,), (0,)])] == [
        "float32[2, 5]",
        "float32[*, 2, 3]",
    ]
