"""What a scan expects: a refusal is an answer, an example that eager refuses as well is none, the rest must agree."""

import pytest
import torch

from diffexport.case import make_case
from diffexport.expectation import Expected
from diffexport.mode import Mode
from diffexport.road import Road
from diffexport.scan.examine import settled
from diffexport.scan.modes import (
    AS_IS,
    DEFAULT_MODES,
    PARAMETER,
    RULES_OF_A_SCAN,
    WITHOUT_SYMBOLIC,
    of_variant,
)
from diffexport.verdict import Outcome

MODES = tuple(Mode.parse(mode) for mode in DEFAULT_MODES)
TORCHSCRIPT = Mode("torchscript")


class Unsupported(torch.nn.Module):
    """Uses an operator that the TorchScript exporter does not know."""

    def forward(self, x):
        if x.shape[0] == 3:
            raise ValueError("not three")
        return torch.special.erfcx(x)


class CustomDomain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        return g.op("my.domain::Increment", x)


class Wraps(torch.nn.Module):
    def forward(self, x):
        return CustomDomain.apply(x)


def verdict(model, size):
    case = make_case("scanned", model, inputs=["float32[*]"], rules=RULES_OF_A_SCAN)
    return Road().check(case, TORCHSCRIPT, "ort-disabled", (torch.ones(size),))


def test_an_export_that_is_refused_is_an_answer():
    seen = verdict(Unsupported, 2)
    assert seen.outcome is Outcome.REFUSED
    assert "special_erfcx" in seen.reason


def test_inputs_that_eager_refuses_are_rejected_and_not_refused():
    case = make_case("scanned", Unsupported, inputs=["float32[*]"], rules=RULES_OF_A_SCAN)
    road = Road()
    seen = road.check(case, TORCHSCRIPT, "ort-disabled", (torch.ones(2),), export_inputs=(torch.ones(3),))
    assert seen.outcome is Outcome.REJECTED
    assert "not three" in seen.reason


def test_a_model_with_operators_of_an_unknown_domain_is_refused():
    assert verdict(Wraps, 2).outcome is Outcome.REFUSED


def test_without_inlining_a_function_without_symbolic_must_still_refuse():
    inlining_off = Mode("torchscript", autograd_inlining=False)
    case = make_case("scanned", Wraps, inputs=["float32[*]"], rules=RULES_OF_A_SCAN)
    assert case.expect(inlining_off, frozenset(["opaque-function"])).expected is Expected.REFUSES
    assert case.expect(inlining_off, frozenset(["symbolic-function"])).expected is Expected.MAY_REFUSE


def test_the_modes_of_each_variant():
    def texts(variant, **more):
        return [str(mode) for mode in of_variant(variant, MODES, **more)]

    assert sorted(texts(AS_IS)) == sorted(DEFAULT_MODES)
    assert texts(PARAMETER) == ["dynamo", "dynamo-strict", "torchscript"]
    assert texts(WITHOUT_SYMBOLIC) == ["torchscript", "torchscript,dynamic=true"]
    assert not any(text.startswith("torchscript") for text in texts(AS_IS, placeholder=True))
    assert texts(PARAMETER, placeholder=True) == ["dynamo", "dynamo-strict"]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("float32[..., >=3]", "float32[..., >=3]"),
        ("just(0.5)", "just(0.5)"),
        ("booleans()", "just(False)"),
        ("sampled_from(['sum', 'mean'])", "just('sum')"),
        (
            "tuples(arrays('float32[2]'), arrays('float32[2]'))",
            "tuples(arrays('float32[2]'), arrays('float32[2]'))",
        ),
    ],
)
def test_the_first_of_several_values_is_taken(entry, text):
    assert settled(entry) == text
