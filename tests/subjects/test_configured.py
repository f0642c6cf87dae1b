"""Targets that say with which arguments and weights a model is made."""

import pytest
import torch

from diffexport.errors import TargetError
from diffexport.subjects.targets import Application, check_inside, resolve
from diffexport.subjects.targets.configured import Weights, WithWeights
from diffexport.values import name_in, place_of

safetensors = pytest.importorskip("safetensors.torch")


class Net(torch.nn.Module):
    def __init__(self, size, hidden=4, name="", tied=False):
        super().__init__()
        self.a, self.b = torch.nn.Linear(size, hidden), torch.nn.Linear(hidden, 1)
        self.name = name
        if tied:
            self.c = self.b

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


def factory(layers=2, *, hidden=3):
    return torch.nn.Sequential(*[torch.nn.Linear(hidden, hidden) for _ in range(layers)])


def raises():
    raise ValueError("no such luck")


HERE = f"{__file__}:"


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        ("pkg.mod:Net(8, 16)", "pkg.mod", "Net(8, 16)"),
        ("dir/m.py:f(a=':g(1)', b={'c': ')'})", "dir/m.py", "f(a=':g(1)', b={'c': ')'})"),
        ("C:/m.py:f(1)+weights('w:1.safetensors')", "C:/m.py", "f(1)"),
        ("my(dir)/m.py:Net", "my(dir)/m.py", "Net"),
        ("m:F+parameter", "m", "F"),
        ("clamp", "", "clamp"),
    ],
)
def test_a_target_is_told_apart(text, place, name):
    assert (place_of(text), name_in(text)) == (place, name)
    parts = Application.parse(text)
    assert parts is None or str(parts) == text


def test_a_class_and_a_factory_are_called_with_arguments():
    case = resolve(f"{HERE}Net(3, hidden=5, name='a:b(')")
    assert case.name == "Net(3, hidden=5, name='a:b(')"
    module = case.build()
    assert (module.a.weight.shape, module.name) == ((5, 3), "a:b(")
    assert len(resolve(f"{HERE}factory(4, hidden=2)").build()) == 4


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Net(open('x'))", "are no arguments that a target may have"),
        ("Net(**{'size': 3})", "are no arguments that a target may have"),
        ("factory(hiddenn=3)", "calling it raises TypeError"),
        ("raises()", "calling it raises ValueError: no such luck"),
        ("HERE(1)", "arguments are for a class or a factory"),
        ("Net(3)+weight('x')", "(known: parameter, without-symbolic, stubs, weights('FILE.safetensors'))"),
        ("Net(3)+parameter", "has no arguments or weights"),
        ("Net(3)+weights(7)", "write +weights('FILE.safetensors')"),
        ("Net(3)+weights('nope.safetensors')", "there is no file of weights nope.safetensors"),
    ],
)
def test_what_cannot_be_made_is_said(text, part):
    with pytest.raises(TargetError) as caught:
        resolve(f"{HERE}{text}").build()
    assert part in str(caught.value)


@pytest.fixture
def stored(tmp_path):
    """A file of weights, and the model that they are of."""
    model = Net(3, 5)
    safetensors.save_file(model.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors", model


def test_weights_are_given_wherever_a_target_is_resolved(stored):
    file, model = stored
    target = f"{HERE}Net(3, 5){Weights.of_file(file)}"
    built = resolve(target).build()
    assert all(
        torch.equal(one, other) for one, other in zip(built.parameters(), model.parameters(), strict=True)
    )


def test_a_tied_weight_is_stored_once(tmp_path):
    model = Net(3, tied=True)
    safetensors.save_model(model, str(tmp_path / "w.safetensors"))
    built = resolve(f"{HERE}Net(3, tied=True)+weights('{tmp_path / 'w.safetensors'}')").build()
    assert torch.equal(built.c.weight, model.b.weight)


@pytest.mark.parametrize(
    ("attribute", "part"),
    [
        ("Net(4, 5)", "a.weight ([5, 3] in the file, [5, 4] in the model) is of another shape"),
        (
            "factory(2)",
            "0.bias, 0.weight, 1.bias, … (4 in all) are not in the file, and a.bias, a.weight, b.bias, …",
        ),
    ],
)
def test_weights_that_do_not_fit_are_one_line(stored, attribute, part):
    with pytest.raises(TargetError) as caught:
        resolve(f"{HERE}{attribute}{Weights.of_file(stored[0])}")
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_changed_and_one_that_is_none_are_said(stored):
    file, _ = stored
    weights = Weights.of_file(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(TargetError, match="the content of the file is changed"):
        WithWeights(lambda: Net(3, 5), weights, "t")()
    with pytest.raises(TargetError, match="cannot be loaded"):
        WithWeights(lambda: Net(3, 5), Weights(weights.path), "t")()


def test_weights_of_a_stored_target_lie_in_the_project(stored, tmp_path):
    inside = tmp_path / "project"
    inside.mkdir()
    (inside / "m.py").write_text("")
    with pytest.raises(TargetError, match="its file of weights lies outside"):
        check_inside(f"{inside / 'm.py'}:Net(3, 5){Weights.of_file(stored[0])}", inside)
    check_inside(f"{inside / 'm.py'}:Net(3, 5){Weights.of_file(stored[0])}", tmp_path)
