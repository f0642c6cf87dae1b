"""Targets with the arguments of a class, and texts that name what stands in the file of a target."""

import pytest
import torch

from diffexport.errors import TargetError, UsageError
from diffexport.strategies import canonical, value_of
from diffexport.subjects.targets import declares_inputs, resolve

SOURCE = """
import torch

class Options:
    __slots__ = ("scale", "__dict__")
    def __init__(self, scale):
        raise RuntimeError("it is not called")

class Closing:
    def __del__(self):
        print("gone")

KEPT = [1, 2]

class Scaled(torch.nn.Module):
    def __init__(self, size, *, factor=1.0):
        super().__init__()
        self.layer, self.factor = torch.nn.Linear(size, size), factor

    def forward(self, x, options):
        return self.layer(x) * self.factor * options.scale

def plain(size):
    return torch.nn.Linear(size, size)
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    (tmp_path / "built_models.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "built_models.py"


INPUTS = ["float32[N, 3]", "just(instance(built_models.Options, scale=2.0, name='a'))"]


def test_the_class_is_built_with_the_arguments_of_the_target(file):
    target = "built_models.py:Scaled(3, factor=0.5)"
    assert not declares_inputs(target)
    case = resolve(target, inputs=INPUTS)
    module = case.build()
    assert module.inner.layer.in_features == 3
    x = torch.ones(2, 3)
    assert torch.equal(module(x), module.inner.layer(x) * 0.5 * 2.0)
    assert case.name == "Scaled(3, factor=0.5)"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("built_models.py:Missing(3)", "Missing"),
        ("built_models.py:Scaled(os.system('true'))", "no arguments that a target may have"),
    ],
)
def test_what_cannot_be_built_is_refused(file, target, said):
    with pytest.raises(TargetError, match="target") as refused:
        resolve(target, inputs=INPUTS).build()
    assert said in str(refused.value)


def test_names_of_the_file_of_a_target_are_known_in_texts_of_its_inputs_alone(file):
    with pytest.raises(UsageError, match="nothing of the name"):
        value_of("built_models.KEPT")
    # Typed on the command line, they are looked up only where the file is imported.
    assert canonical(INPUTS, ["built_models.py:Scaled(3)"]) == tuple(INPUTS)


@pytest.mark.parametrize(
    "text",
    [
        "instance(collections.OrderedDict, a=1)",
        "instance('x')",
        "instance(fractions.Fraction, 1)",
        "instance(fractions.Fraction, **{'a': 1})",
        "instance(fractions.Fraction, __class__=int)",
        "instance(subprocess.Popen, pid=1)",
        "instance(torch.Tensor)",
    ],
)
def test_an_instance_is_of_a_plain_class(text):
    with pytest.raises(UsageError):
        value_of(text)


def test_an_instance_has_the_attributes_that_are_given():
    made = value_of("instance(argparse.Namespace, size=3, parts=[1, (2,)])")
    assert (made.size, made.parts) == (3, [1, (2,)])
