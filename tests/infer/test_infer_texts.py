"""Arguments as texts: what can be written, what it reads back as, and what is refused."""

import dataclasses
import enum
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from diffexport.errors import UsageError
from diffexport.strategies import input_texts, texts
from diffexport.values.spec import TensorSpec


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Settings:
    bits: int = 8
    mode: str = "floor"


@dataclasses.dataclass
class Unequal:
    def __eq__(self, other):
        raise RuntimeError("do not compare me")


def drawn(text):
    """Return what one draw from the strategy of a text gives."""
    found = []

    @settings(database=None, max_examples=30, suppress_health_check=list(HealthCheck))
    @given(input_texts.parse_input(text))
    def draw(value):
        found.append(value)

    draw()
    return found


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("just(0.5)", [0.5]),
        ("st.just(-3)", [-3]),
        ("hypothesis.strategies.just((1, [2, 'x']))", [(1, [2, "x"])]),
        ("none()", [None]),
        ("just(None)", [None]),
        ("just(torch.float16)", [torch.float16]),
        ("just(torch.nn.functional.relu)", [torch.nn.functional.relu]),
        ("just(float('-inf'))", [-math.inf]),
        ("just(math.pi)", [math.pi]),
        ("just({'a': 1})", [{"a": 1}]),
    ],
)
def test_constants(text, values):
    assert drawn(text)[:1] == values


def test_choices():
    assert set(drawn("booleans()")) == {True, False}
    assert set(drawn("sampled_from(['sum', 'mean'])")) == {"sum", "mean"}
    assert set(drawn("integers(2, max_value=4)")) == {2, 3, 4}
    assert all(0 <= value <= 1 for value in drawn("floats(0, 1)"))


def test_tuples_of_tensors():
    one, other = drawn("tuples(arrays('int64[2]'), just(3))")[0]
    assert one.shape == (2,)
    assert one.dtype == "int64"
    assert other == 3


def test_values_that_are_made():
    assert torch.equal(texts.value_of("-torch.eye(2)"), -torch.eye(2))
    assert isinstance(texts.value_of("torch.nn.Linear(4, 2)"), torch.nn.Linear)
    assert texts.value_of(f"{__name__}.Settings(bits=4)") == Settings(bits=4)
    assert texts.value_of(f"{__name__}.Colour.RED") is Colour.RED


@pytest.mark.parametrize(
    "text",
    [
        "just(os.system('true'))",
        "just(__import__('os'))",
        "just(eval('1'))",
        "just([x for x in (1,)])",
        "just((lambda: 1)())",
        "just(torch.load('file'))",
        "just(torch.hub.load('a', 'b'))",
        "just(subprocess.Popen(['true']))",
        "just(1).map(str)",
        "builds(int)",
        "just(nothing_of_this_name)",
        "just(torch.nothing)",
        "just(",
        "just()",
        "integers(3, 1)",
        "just(torch.nn.Linear())",
        "just(f'{1}')",
        "",
    ],
)
def test_what_is_refused(text):
    with pytest.raises(UsageError):
        input_texts.parse_input(text)


def test_specs_are_told_from_strategies():
    assert input_texts.parse_input("float32[N, >=3]") == TensorSpec.parse("float32[N, >=3]")
    assert input_texts.canonical(["float32[ N ,3]", " st.just(1)"]) == ("float32[N, 3]", "just(1)")
    with pytest.raises(UsageError, match="did you mean 'float32'"):
        input_texts.parse_input("float33[N]")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=2), inner)
    ),
    max_leaves=5,
)


@given(values)
def test_literals_read_back(value):
    text = texts.text_of(value)
    assert repr(texts.value_of(text)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        torch.float8_e4m3fn,
        torch.device("cpu"),
        torch.channels_last,
        Colour.RED,
        Settings(mode="x"),
        torch.add,
        Colour,
    ],
)
def test_other_values_read_back(value):
    assert texts.value_of(texts.text_of(value)) == value


def test_a_dataclass_shows_only_what_is_not_its_default():
    assert texts.text_of(Settings()) == f"{__name__}.Settings()"
    assert texts.text_of(Settings(bits=2)) == f"{__name__}.Settings(bits=2)"


@pytest.mark.parametrize("value", [nn.Identity(), nn.ReLU(), nn.Softmax(dim=-1), nn.Flatten(1, -1)])
def test_modules_without_parameters(value):
    assert repr(texts.value_of(texts.text_of(value))) == repr(value)


@pytest.mark.parametrize("value", [object(), lambda: 1, torch.nn.Linear(1, 1), {object()}, [object()], set()])
def test_what_has_no_text(value):
    assert texts.text_of(value) is None
