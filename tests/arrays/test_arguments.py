"""What exporters make of arguments and outputs, as measured: names and feeds have to line up in every exporter."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch.autograd import Function

from diffexport import Call, Kind, Mode, Outcome, Pipeline, Stage, make_case

MODES = (
    "torchscript",
    "torchscript,dynamic=true",
    *(
        pytest.param(mode, marks=pytest.mark.slow)
        for mode in ("dynamo", "dynamo,dynamic=true", "dynamo-strict")
    ),
)
Pair = namedtuple("Pair", "first second")


@dataclass
class Box:
    first: torch.Tensor
    second: torch.Tensor


torch.export.register_dataclass(Box, serialized_type_name="test_arguments.Box")


class Scaled(Function):
    """a + b * factor, as a function of its own in every exporter."""

    @staticmethod
    def forward(ctx, a, b, factor):
        return a + b * factor

    @staticmethod
    def symbolic(g, a, b, factor):
        return g.op("Add", a, g.op("Mul", b, g.op("Constant", value_t=torch.tensor(float(factor)))))


class Keywords(torch.nn.Module):
    def forward(self, a, b, c=None, mask=None, d=None):
        out = Scaled.apply(a, b, 10.0)
        for weight, other in ((100, c), (1000, mask), (10000, d)):
            out = out if other is None else out + weight * other
        return out


class Nested(torch.nn.Module):
    def forward(self, pairs, options):
        (a, [b, c]), flag = pairs, options["flag"]
        out = a + 10 * b + 100 * c + 1000 * options["q"][0]
        return {"z": out, "y": [out + 1, (None, out + 2)], "pair": Pair(out + 3, out + 4 if flag else out)}


class Rest(torch.nn.Module):
    def forward(self, a, *rest):
        for number, other in enumerate(rest):
            a = a + 10 ** (number + 1) * other
        return a


class Twice(torch.nn.Module):
    def forward(self, a, b, c):
        return a + 10 * b, a + 100 * c["again"]


class Numbers(torch.nn.Module):
    def forward(self, a, factor, kind, shape, flag=True, power=3.0):
        a = a * factor + power if flag else a
        return a.reshape(-1, *shape) if kind == "reshape" else a


def t(value):
    return torch.tensor([float(value), value + 0.5])


SAME = t(7)
CALLS = {
    "other-order": (Keywords, Call((t(1),), {"d": t(2), "b": t(3), "c": t(4)})),
    "only-keywords": (Keywords, Call((), {"c": t(1), "b": t(2), "a": t(3), "mask": None})),
    "none-between": (Keywords, (t(1), t(2), None, t(3))),
    "nested": (Nested, ((t(1), [t(2), t(3)]), {"q": [t(4)], "flag": True})),
    "nested-keyword": (Nested, Call(((t(1), [t(2), t(3)]),), {"options": {"flag": False, "q": [t(4)]}})),
    "rest": (Rest, (t(1), t(2), t(3))),
    "same-tensor": (Twice, (SAME, SAME, {"again": SAME})),
    "same-in-keyword": (Twice, Call((SAME,), {"c": {"again": SAME}, "b": SAME})),
    "numbers": (Numbers, (torch.ones(2, 3), 2.5, "reshape", (3, 1))),
    "number-in-keyword": (Numbers, Call((t(1), 2), {"shape": None, "power": 4.0, "kind": "keep"})),
}


def check(model, inputs, mode, export_inputs=None):
    case = make_case(model.__name__, model, strategy=object())
    return Pipeline().check(case, Mode.parse(mode), "ort-disabled", inputs, export_inputs=export_inputs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CALLS)
def test_every_argument_reaches_its_input(name, mode):
    model, inputs = CALLS[name]
    verdict = check(model, inputs, mode)
    assert verdict.outcome is Outcome.AGREES, verdict.divergences or verdict.reason
    assert len(verdict.got) == len(verdict.eager) > 0


@pytest.mark.parametrize("mode", ["torchscript", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_keywords_may_come_in_another_order_than_at_export(mode):
    inputs = Call((t(1),), {"b": t(3), "c": t(4)})
    assert check(Keywords, inputs, mode, Call((t(2),), {"c": t(5), "b": t(6)})).outcome is Outcome.AGREES


@pytest.mark.slow
def test_a_python_number_is_an_input_in_torchscript_and_baked_in_by_dynamo():
    run, example = (torch.ones(2, 3), 2.5, "keep", None), (torch.ones(2, 3), 4.5, "keep", None)
    assert check(Numbers, run, "torchscript", example).outcome is Outcome.AGREES
    (found,) = check(Numbers, run, "dynamo", example).divergences
    assert (found.stage, found.kind) == (Stage.COMPARE, Kind.VALUE)


class SizeToo(torch.nn.Module):
    def forward(self, a):
        return a + 1, a.shape[0]


class NumberToo(torch.nn.Module):
    def forward(self, a):
        return {"a": a + 1, "n": 3}


class TextToo(torch.nn.Module):
    def forward(self, a):
        return "text", a + 1


@pytest.mark.slow
def test_a_number_among_the_outputs_is_an_output():
    for mode in ("torchscript", "torchscript,dynamic=true", "dynamo,dynamic=true"):
        verdict = check(SizeToo, (t(1),), mode)
        assert verdict.outcome is Outcome.AGREES, verdict.divergences
        assert [output.tolist() for output in verdict.eager] == [[2.0, 2.5], 2]


@pytest.mark.parametrize("mode", ["torchscript", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_an_export_that_refuses_a_number_among_the_outputs_says_so(mode):
    (found,) = check(NumberToo, (t(1),), mode).divergences
    assert found.kind is Kind.EXPORT_ERROR
    assert found.message.endswith("\n(in eager, output[1] is of type int: no tensor)")


@pytest.mark.slow
def test_a_text_among_the_outputs_is_not_dropped_in_silence():
    (found,) = check(TextToo, (t(1),), "torchscript").divergences
    assert (found.stage, found.kind, found.where) == (Stage.COMPARE, Kind.STRUCTURE, "output[0]")
    assert "output[0] is of type str, which no ONNX model returns" in found.message
    (found,) = check(TextToo, (t(1),), "dynamo").divergences
    assert found.kind is Kind.EXPORT_ERROR


class Boxed(torch.nn.Module):
    def forward(self, a):
        return Box(a + 1, a + 2)


@pytest.mark.slow
def test_a_dataclass_among_the_outputs():
    verdict = check(Boxed, (t(1),), "dynamo")
    assert verdict.outcome is Outcome.AGREES, verdict.divergences
    assert [output.tolist() for output in verdict.eager] == [[2.0, 2.5], [3.0, 3.5]]


class Fields(torch.nn.Module):
    def forward(self, box, pair=None):
        return box.first + 10 * box.second + (0 if pair is None else 100 * pair.first + 1000 * pair.second)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["dynamo", "dynamo,dynamic=true", "dynamo-strict,dynamic=true"])
def test_fields_of_arguments_reach_their_inputs(mode):
    call = Call((Box(t(1), t(2)),), {"pair": Pair(t(3), t(4))})
    verdict = check(Fields, call, mode)
    assert verdict.outcome is Outcome.AGREES, verdict.divergences


class AnyKeywords(torch.nn.Module):
    def forward(self, a, **others):
        return a + others["z"] + 10 * others["y"]


@pytest.mark.slow
def test_torchscript_drops_keywords_in_silence_and_dynamo_does_not():
    """What it does is wrong, and is seen: the parameter ``**others`` gets nothing, or the export fails."""
    call = Call((t(1),), {"z": t(2), "y": t(3)})
    assert check(AnyKeywords, call, "dynamo").outcome is Outcome.AGREES
    (found,) = check(AnyKeywords, call, "torchscript").divergences
    assert found.kind is Kind.EXPORT_ERROR
    assert found.signature == "KeyError: 'z'"


class OnlyKeyword(torch.nn.Module):
    def forward(self, a, *, k):
        return a + k


@pytest.mark.slow
def test_torchscript_cannot_export_what_is_for_keywords_only():
    call = Call((t(1),), {"k": t(2)})
    assert check(OnlyKeyword, call, "dynamo").outcome is Outcome.AGREES
    (found,) = check(OnlyKeyword, call, "torchscript").divergences
    assert (found.stage, found.kind) == (Stage.CAPTURE, Kind.EXPORT_ERROR)


class Sees(torch.nn.Module):
    """What it returns shows how it is given its input."""

    def forward(self, a, b):
        out = a * 2 if a.requires_grad else a
        out = out + 100 if b is a else out
        return out + 1000 * a.storage_offset()


@pytest.mark.parametrize("mode", ["torchscript", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_gradient_aliasing_and_offset_reach_eager_and_export(mode):
    placed = torch.arange(8.0)[3:5].requires_grad_()
    verdict = check(Sees, (placed, placed), mode, (placed, placed))
    assert [output.tolist() for output in verdict.eager] == [[3106.0, 3108.0]]
    # The TorchScript exporter traces a copy of each argument: that they are one tensor is lost there (torch 2.13).
    exported = [3006.0, 3008.0] if mode == "torchscript" else [3106.0, 3108.0]
    assert [output.tolist() for output in verdict.got] == [exported]
    # Each of them makes another export.
    plain = torch.arange(8.0)[3:5]
    verdict = check(Sees, (placed, placed), mode, (plain, plain.clone()))
    assert verdict.outcome is Outcome.DIVERGES


@pytest.mark.slow
def test_an_export_is_not_reused_for_inputs_given_otherwise():
    pipeline, case = Pipeline(), make_case("sees", Sees, strategy=object())
    values = torch.tensor([3.0, 4.0])
    gradient, placed = values.clone().requires_grad_(), torch.arange(8.0)[3:5]
    seen = []
    for inputs in (
        (values, values.clone()),
        (gradient, gradient.clone()),
        (placed, placed.clone()),
        (values,) * 2,
    ):
        verdict = pipeline.check(case, Mode("dynamo"), "ort-disabled", inputs, export_inputs=inputs)
        assert verdict.outcome is Outcome.AGREES, verdict.divergences
        seen.append(verdict.got[0].tolist()[0])
    assert seen == [3.0, 6.0, 3003.0, 103.0]


class Picky(torch.nn.Module):
    def forward(self, a):
        if float(a.sum()) > 5:
            raise ValueError("too much")
        return a + 1


class Unexportable(torch.nn.Module):
    def forward(self, a):
        if float(a.sum()) > 5:
            raise ValueError("too much")
        return torch.linalg.eigvals(a.reshape(1, 1, -1, 1) @ a.reshape(1, 1, 1, -1)).real


@pytest.mark.slow
def test_example_inputs_that_eager_refuses_are_rejected():
    for mode in ("torchscript", "dynamo"):
        verdict = check(Picky, (t(1),), mode, (t(9),))
        assert verdict.outcome is Outcome.REJECTED
        assert verdict.reason == "on the inputs to export with: ValueError: too much"
    verdict = check(Unexportable, (t(1),), "torchscript", (t(1),))
    assert [d.kind for d in verdict.divergences] == [Kind.EXPORT_ERROR]


class Saves(Function):
    """As PyTorch's own test does, it saves the builtin ``input`` instead of its argument."""

    @staticmethod
    def forward(ctx, i):
        ctx.save_for_backward(input)
        return i.exp()

    @staticmethod
    def symbolic(g, i):
        return g.op("Exp", i)


class SavesBuiltin(torch.nn.Module):
    def forward(self, a):
        return Saves.apply(a)


def test_a_model_that_refuses_gradients_is_rejected_with_them():
    assert check(SavesBuiltin, (t(1),), "torchscript").outcome is Outcome.AGREES
    assert check(SavesBuiltin, (t(1).requires_grad_(),), "torchscript").outcome is Outcome.REJECTED
    verdict = check(SavesBuiltin, (t(1),), "torchscript", (t(1).requires_grad_(),))
    assert verdict.outcome is Outcome.REJECTED
    assert verdict.reason.startswith("on the inputs to export with: TypeError: save_for_backward")
