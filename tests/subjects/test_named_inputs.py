"""Arguments that are given by name: in texts, in cases, in models with constants."""

import pytest
import torch
from hypothesis import strategies as st

from diffexport.errors import UsageError
from diffexport.strategies import canonical, split
from diffexport.subjects.cases import dynamic_axes, make_case
from diffexport.subjects.targets import resolve
from diffexport.subjects.targets.making_cases import case_of
from diffexport.values import Call, split_name


class Masked(torch.nn.Module):
    def forward(self, x, scale=None, mask=None, flip=False):
        x = x if scale is None else x * scale
        x = -x if flip else x
        return torch.where(mask, x, torch.zeros_like(x))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("mask=bool[B, N]", ("mask", "bool[B, N]")),
        (" mask = just('a=b')", ("mask", "just('a=b')")),
        ("float32[N>=3]", ("", "float32[N>=3]")),
        ("sampled_from(['a=b'])", ("", "sampled_from(['a=b'])")),
    ],
)
def test_a_name_stands_before_the_text(text, parts):
    assert split_name(text) == parts


def test_texts_by_name_are_stored_last_and_read_back():
    texts = canonical(["mask=bool[B,N]  mask", "float32[B,N]", "flip=just(True)"])
    assert texts == ("float32[B, N]", "mask=bool[B, N] mask", "flip=just(True)")
    given = split(texts)
    assert given.form.names == ("", "mask")
    assert given.constants == {"flip": True}


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        (["mask=bool[N]", "mask=bool[N]"], "'mask' is given twice"),
        (["mask=bool[N]", "float32[N]"], "by name last"),
    ],
)
def test_what_cannot_be_called_is_said(texts, part):
    with pytest.raises(UsageError, match=part):
        split(texts)


def test_a_case_makes_calls_with_names():
    case = make_case("masked", Masked, inputs=["float32[B, N]", "mask=bool[B, N]", "scale=float32[]"])
    assert case.form.names == ("", "mask", "scale")
    assert case.input_texts == ("float32[B, N]", "mask=bool[B, N]", "scale=float32[]")
    call = case.call_of((1, 2, 3))
    assert (call.args, call.kwargs) == ((1,), {"mask": 2, "scale": 3})
    assert case.values_of(call) == (1, 2, 3)
    assert case.values_of(Call((1,), {"scale": 3, "mask": 2})) == (1, 2, 3)
    assert not case.speaks_of((1, 2, 3))
    with pytest.raises(UsageError, match="of another form"):
        case.values_of(Call((1,), {"mask": 2}))


def test_a_dict_gives_all_of_them_by_name():
    case = make_case("masked", Masked, inputs={"x": "float32[B]", "mask": "bool[B]", "flip": st.booleans()})
    assert case.form.names == ("x", "mask", "flip")
    tensors = {"x": torch.zeros(2), "mask": torch.zeros(2, dtype=torch.bool)}
    assert dynamic_axes(case, Call((), {**tensors, "flip": True})) == ({0: "B"}, {0: "B"})


def test_constants_by_name_become_part_of_the_model():
    texts = ("float32[N]", "mask=bool[N]", "flip=just(True)")
    model = case_of("masked", Masked, texts, "t").build()
    x, mask = torch.tensor([1.0, 2.0]), torch.tensor([True, False])
    wanted = torch.tensor([-1.0, 0.0])
    assert torch.equal(model(x, mask=mask), wanted)
    # As the TorchScript exporter hands them over.
    assert torch.equal(model(x, mask), wanted)


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        (["float32[N]", "maskk=bool[N]"], "did you mean 'mask'"),
        (["float32[N]", "x=float32[N]", "mask=bool[N]"], "'x' is given by position and by name"),
    ],
)
def test_a_name_that_the_model_does_not_take_is_said(inputs, part):
    with pytest.raises(UsageError, match=part):
        resolve(f"{__file__}:Masked", inputs=inputs)
