"""What a scan expects: a refusal is an answer, an example that eager refuses as well is none, the rest must agree."""

import pytest
import torch

from diffexport.pipeline import Pipeline
from diffexport.subjects.cases.case import make_case
from diffexport.subjects.cases.expectation import Expected
from diffexport.tools.scan.examine import values_of, variants
from diffexport.tools.scan.variants import (
    AS_IS,
    DEFAULT_MODES,
    PARAMETER,
    RULES_OF_A_SCAN,
    WITHOUT_SYMBOLIC,
    of_variant,
)
from diffexport.values.mode import Mode
from diffexport.values.verdict import Outcome

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
    return Pipeline().check(case, TORCHSCRIPT, "ort-disabled", (torch.ones(size),))


def test_an_export_that_is_refused_is_an_answer():
    seen = verdict(Unsupported, 2)
    assert seen.outcome is Outcome.REFUSED
    assert "special_erfcx" in seen.reason


def test_inputs_that_eager_refuses_are_rejected_and_not_refused():
    case = make_case("scanned", Unsupported, inputs=["float32[*]"], rules=RULES_OF_A_SCAN)
    pipeline = Pipeline()
    seen = pipeline.check(case, TORCHSCRIPT, "ort-disabled", (torch.ones(2),), export_inputs=(torch.ones(3),))
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
    ("entry", "texts"),
    [
        ("float32[..., >=3]", ["float32[..., >=3]"]),
        ("just(0.5)", ["just(0.5)"]),
        ("booleans()", ["just(False)", "just(True)"]),
        ("sampled_from(['sum', 'mean'])", ["just('sum')", "just('mean')"]),
        ("sampled_from((0, -1, (1, 2)))", ["just(0)", "just(-1)", "just((1, 2))"]),
        (
            "tuples(arrays('float32[2]'), arrays('float32[2]'))",
            ["tuples(arrays('float32[2]'), arrays('float32[2]'))"],
        ),
    ],
)
def test_each_of_several_values_is_a_text_of_its_own(entry, texts):
    assert list(values_of(entry)) == texts


def test_every_value_of_an_argument_has_a_variant_beside_the_first_of_the_others():
    values = [("float32[..., >=1]",), ("just(0)", "just(-1)"), ("just('sum')", "just('mean')")]
    made = variants("package.module:Function", values, symbolic=True)
    assert [(one.name, one.target, one.inputs[1:]) for one in made] == [
        ("as is", "package.module:Function", ("just(0)", "just('sum')")),
        ("without its symbolic", "package.module:Function+without-symbolic", ("just(0)", "just('sum')")),
        ("behind a parameter", "package.module:Function+parameter", ("just(0)", "just('sum')")),
        ("argument 1 just(-1)", "package.module:Function", ("just(-1)", "just('sum')")),
        ("argument 2 just('mean')", "package.module:Function", ("just(0)", "just('mean')")),
    ]


def test_the_plainest_mode_of_each_exporter_does_for_other_values():
    modes = [Mode.parse(text) for text in DEFAULT_MODES]
    chosen = of_variant("argument 1 just(-1)", modes)
    assert {str(mode) for mode in chosen} == {"torchscript", "dynamo", "dynamo-strict"}
    assert len(chosen) == 3
