"""Targets that say how a Function is applied: read, made into modules, found again by their text."""

import numpy as np
import pytest
import torch

from diffexport.backends.exporters import model_traits
from diffexport.errors import TargetError
from diffexport.findings.regressions import Regression
from diffexport.findings.scripts.model_source import model_source
from diffexport.subjects.targets.application import Application, stripped
from diffexport.subjects.targets.resolving import look_up, resolve
from diffexport.values.call import Call
from diffexport.values.mode import Mode
from diffexport.values.place import Place
from diffexport.values.verdict import Kind, Stage

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
    "C:\\file.py:F",
    "a:F+parameter+without-symbolic+stubs",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_reads_back(text):
    assert str(Application.parse(text)) == text


def test_what_the_parts_are():
    parts = Application.parse("a.b:F+stubs+parameter")
    assert (parts.place, parts.attribute) == ("a.b", "F")
    assert parts.flags == ("parameter", "stubs")
    assert not parts.is_plain
    assert Application.parse("a.b:F+stubs").is_plain
    assert Application.parse("a.b") is None


def test_a_flag_that_does_not_exist():
    with pytest.raises(TargetError, match=r"there is no \+paramter; did you mean 'parameter'\?"):
        Application.parse("a:F+paramter")


#: What ``Scale`` takes besides a tensor.
TEXTS_OF_SCALE = ("float32[...]", "just(3)", "just('times')")


def test_behind_a_parameter_values_are_the_same_and_require_gradients(file):
    module = resolve(f"{file}:Scale+parameter", inputs=TEXTS_OF_SCALE).build()
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
    kept = resolve(f"{file}:{name}", inputs=TEXTS_OF_SCALE).build()
    without = resolve(f"{file}:{name}+without-symbolic", inputs=TEXTS_OF_SCALE).build()
    assert "symbolic-function" in model_traits(kept, call)
    assert "opaque-function" in model_traits(without, call)
    assert without(torch.ones(2)).tolist() == [3.0, 3.0]
    assert callable(function.symbolic)
    assert not hasattr(stripped(function), "symbolic")


def test_a_class_that_a_function_makes(file):
    case = resolve(f"{file}:make.<locals>.Inner")
    assert case.build()(torch.ones(1)).tolist() == [3.0]


PROBLEMS = {
    "Plain+parameter": "flags are for an autograd.Function, which Plain is not",
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
    case = resolve(f"{folder}/mod.py:Mine", inputs=TEXTS_OF_SCALE)
    assert case.build()(torch.ones(1)).tolist() == [3.0]


def test_the_script_of_a_regression_applies_the_function_alike(file):
    target = f"{file}:Scale+parameter+without-symbolic"
    x = np.ones(2, np.float32)
    seen = (Stage.COMPARE, Kind.VALUE, Place.output(0), "", "")
    regression = Regression("Scale", target, Mode("torchscript"), "ort-disabled", *seen, (x,), (x,))
    source = model_source(regression, resolve(target, inputs=TEXTS_OF_SCALE))
    text = "\n\n".join(["import torch", *source.imports, *source.definitions, f"model = {source.expression}"])
    made: dict = {}
    exec(text, made)
    result = made["model"](torch.ones(2))
    assert result.tolist() == [3.0, 3.0]
    assert result.requires_grad
    assert not hasattr(made["Scale"], "symbolic")


def test_what_is_not_installed_is_stood_in_for_where_the_target_says_so(tmp_path):
    file = tmp_path / "wants_something.py"
    file.write_text("import nosuchdependency\n" + SOURCE)
    with pytest.raises(TargetError, match="No module named 'nosuchdependency'"):
        resolve(f"{file}:Scale", inputs=TEXTS_OF_SCALE)
    case = resolve(f"{file}:Scale+stubs", inputs=TEXTS_OF_SCALE)
    assert case.build()(torch.ones(1)).tolist() == [3.0]
