"""Targets that say how a Function is applied: read, made into modules, found again by their text."""

import numpy as np
import pytest
import torch

from diffexport.application import Application, stripped
from diffexport.call import Call
from diffexport.errors import TargetError
from diffexport.exporters import model_traits
from diffexport.mode import Mode
from diffexport.regressions import Regression
from diffexport.regressions.source import model_source
from diffexport.target import look_up, resolve
from diffexport.verdict import Kind, Stage

SOURCE = """
import torch

class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor, how, both=()):
        result = x * factor if how == "times" else x + factor
        for other in both:
            result = result + other
        return result

    @staticmethod
    def symbolic(g, x, factor, how, both=()):
        return g.op("Neg", x)

class Inherits(Scale):
    pass

class Plain(torch.nn.Module):
    def forward(self, x):
        return x

def make():
    class Inner(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 3

    def call(x):
        return Inner.apply(x)

    return {"call": call}

def empty():
    class Inner(torch.autograd.Function):
        pass

def raises():
    raise OSError("no weights")
    class Inner(torch.autograd.Function):
        pass
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("application") / "applied_functions.py"
    path.write_text(SOURCE)
    return path


TEXTS = [
    "module:Function",
    "a.b:Outer.Inner",
    "a.b:make.<locals>.Inner+stubs",
    "file.py:F(_, 0.5, None)",
    "C:\\file.py:F(_)",
    "a:F((_, _), {1: 2}, 'x:y(z)')+parameter+without-symbolic+stubs",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_reads_back(text):
    assert str(Application.parse(text)) == text


def test_what_the_parts_are():
    parts = Application.parse("a.b:F([_, 3], torch.float32, -1)+stubs+parameter")
    assert (parts.place, parts.attribute) == ("a.b", "F")
    assert parts.arguments == ("[_, 3]", "torch.float32", "-1")
    assert parts.flags == ("parameter", "stubs")
    assert parts.holes == 1
    assert not parts.is_plain
    assert Application.parse("a.b:F+stubs").is_plain


WRONG = {
    "a:F(_)+paramter": "there is no +paramter; did you mean 'parameter'?",
    "a:F(_, x=1)": "positional arguments only",
    "a:F(_,,)": "its arguments are no Python",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_text_that_says_nothing_sensible(text):
    with pytest.raises(TargetError) as raised:
        Application.parse(text)
    assert WRONG[text] in str(raised.value)


def test_the_other_arguments_are_the_modules_own(file):
    case = resolve(f"{file}:Scale(_, 3, 'plus', [_, _])")
    assert (case.name, len(case.inputs)) == ("Scale", 3)
    x = torch.tensor([1.0, 2.0])
    assert case.build()(x, x, 10 * x).tolist() == [15.0, 27.0]


def test_behind_a_parameter_values_are_the_same_and_require_gradients(file):
    module = resolve(f"{file}:Scale(_, 3, 'times')+parameter").build()
    for x in (torch.tensor([1.0, float("inf"), -0.0]), torch.tensor(2.0, dtype=torch.float16)):
        result = module(x)
        assert result.requires_grad
        assert result.dtype == x.dtype
        assert torch.equal(result, x * 3)
    assert torch.equal(module(torch.tensor([2])), torch.tensor([6]))


@pytest.mark.parametrize("name", ["Scale", "Inherits"])
def test_without_symbolic_the_function_itself_keeps_its_own(file, name):
    function = look_up(f"{file}:{name}")
    call = Call((torch.ones(2),))
    kept = resolve(f"{file}:{name}(_, 3, 'times')").build()
    without = resolve(f"{file}:{name}(_, 3, 'times')+without-symbolic").build()
    assert "symbolic-function" in model_traits(kept, call)
    assert "opaque-function" in model_traits(without, call)
    assert without(torch.ones(2)).tolist() == [3.0, 3.0]
    assert callable(function.symbolic)
    assert not hasattr(stripped(function), "symbolic")


def test_a_class_that_a_function_makes(file):
    case = resolve(f"{file}:make.<locals>.Inner")
    assert case.build()(torch.ones(1)).tolist() == [3.0]


PROBLEMS = {
    "Plain(_)": "arguments and flags are for an autograd.Function",
    "Scale(1, 2)": "none of its arguments is a tensor; write _ for one that is",
    "Scale(_, nosuchname, 'times')": "nosuchname",
    "Scale(_, open('x'), 'times')": "there is nothing of the name 'open'",
    "empty.<locals>.Inner": "does not hold Inner",
    "raises.<locals>.Inner": "calling it raises OSError: no weights",
}


@pytest.mark.parametrize("attribute", PROBLEMS)
def test_an_application_that_cannot_be(file, attribute):
    with pytest.raises(TargetError) as raised:
        resolve(f"{file}:{attribute}").build()
    assert PROBLEMS[attribute] in str(raised.value)


def test_a_file_of_a_package_is_imported_with_its_relatives(tmp_path):
    folder = tmp_path / "relatives_of_applied"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "base.py").write_text(SOURCE)
    (folder / "mod.py").write_text("from .base import Scale\nclass Mine(Scale):\n    pass\n")
    case = resolve(f"{folder}/mod.py:Mine(_, 2, 'times')")
    assert case.build()(torch.ones(1)).tolist() == [2.0]


def test_the_script_of_a_regression_applies_the_function_alike(file, tmp_path):
    target = f"{file}:Scale(_, 3, 'times', [_])+parameter+without-symbolic"
    x = np.ones(2, np.float32)
    regression = Regression(
        "Scale",
        target,
        Mode("torchscript"),
        "ort-disabled",
        Stage.COMPARE,
        Kind.VALUE,
        "output[0]",
        "",
        "",
        (x, x),
        (x, x),
    )
    source = model_source(regression, resolve(target))
    text = "\n\n".join(["import torch", *source.imports, *source.definitions, f"model = {source.made}"])
    made: dict = {}
    exec(text, made)
    result = made["model"](torch.ones(2), torch.ones(2))
    assert result.tolist() == [4.0, 4.0]
    assert result.requires_grad
    assert not hasattr(made["Scale"], "symbolic")


def test_what_is_not_installed_is_stood_in_for_where_the_target_says_so(tmp_path):
    file = tmp_path / "wants_something.py"
    file.write_text("import nosuchdependency\n" + SOURCE)
    with pytest.raises(TargetError, match="No module named 'nosuchdependency'"):
        resolve(f"{file}:Scale(_, 2, 'times')")
    case = resolve(f"{file}:Scale(_, 2, 'times')+stubs")
    assert case.build()(torch.ones(1)).tolist() == [2.0]
