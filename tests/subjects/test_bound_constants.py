"""Constants among the arguments become part of the model, and what has a name is stored by it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd import Function

from diffexport.errors import RegressionFileError, UsageError
from diffexport.findings.regressions.stored_arguments import Decoder, SeenTensors, Value, encode
from diffexport.findings.scripts.literals import literal
from diffexport.subjects.targets.making_cases import applied, case_of


class Weighted(Function):
    @staticmethod
    def forward(ctx, a, x, b, y, c):
        return a * x + b * y + c


def test_constants_stand_where_they_were_declared():
    texts = ("just(2.0)", "float32[N]", "just(10)", "float32[N]", "just(torch.ones(2))")
    case = case_of("weighted", lambda: applied(Weighted), texts, "t")
    assert [str(entry) for entry in case.inputs] == ["float32[N]", "float32[N]"]
    assert case.texts == texts
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    assert torch.equal(case.build()(x, y), 2 * x + 10 * y + 1)
    assert case == case
    assert hash(case)


def test_a_module_among_the_constants_is_part_of_the_model():
    class Runs(nn.Module):
        def forward(self, layer, x):
            return layer(x)

    case = case_of("runs", Runs, ("just(torch.nn.Linear(3, 2))", "float32[N, 3]"), "t")
    model = case.build()
    assert len(list(model.parameters())) == 2
    assert model(torch.zeros(4, 3)).shape == (4, 2)


def test_none_is_a_constant():
    case = case_of("runs", lambda: nn.MultiheadAttention(4, 2), ("float32[N, 4]", "float32[N, 4]", "float32[N, 4]",
                                                                  "none()"), "t")  # fmt: skip
    assert len(case.inputs) == 3


def test_constants_alone_are_nothing_to_generate():
    with pytest.raises(UsageError, match="nothing to generate"):
        case_of("weighted", lambda: applied(Weighted), ("just(1)",), "t")


@pytest.mark.parametrize(
    "value", [torch.float16, torch.device("cpu"), torch.nn.functional.relu, torch.channels_last]
)
def test_what_has_a_name_is_stored_by_it(value):
    document, side = encode(value, SeenTensors())
    assert side is None
    assert document["type"] == "named"
    assert Decoder(Path("file.json")).decode(Value(**document)) == value


def test_a_name_of_nothing_is_refused():
    with pytest.raises(RegressionFileError, match="names nothing"):
        Decoder(Path("file.json")).decode(Value(type="named", value="torch.no_such_thing"))
    with pytest.raises(RegressionFileError, match="names nothing"):
        Decoder(Path("file.json")).decode(Value(type="named", value="os.system('true')"))


def test_literals_of_names():
    assert literal(torch.float16) == "torch.float16"
    expression = literal(Path)
    assert eval(expression) is Path  # noqa: S307
