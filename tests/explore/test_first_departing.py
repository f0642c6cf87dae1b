"""One bug is one finding, two are two: models with planted bugs are checked, and where they depart is named."""

import math

import numpy as np
import pytest
import torch

from diffexport import check, make_case
from diffexport.explore.causes import CauseFinder, Sighting
from diffexport.pipeline import Pipeline
from diffexport.values import CauseKind, Mode

NAN, INF = math.nan, math.inf


def f(*values):
    return np.array(values, "float32")


class Doubled(torch.autograd.Function):
    """Its symbolic adds 1 where forward doubles."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def symbolic(g, x):
        return g.op("Add", x, g.op("Constant", value_t=torch.tensor(1.0)))


class Squared(torch.autograd.Function):
    """Its symbolic gives the absolute value where forward squares."""

    @staticmethod
    def forward(ctx, x):
        return torch.square(x)

    @staticmethod
    def symbolic(g, x):
        return g.op("Abs", x)


class Twice(torch.nn.Module):
    """One bug that shows in both outputs."""

    def forward(self, x):
        y = Doubled.apply(x.exp())
        return y, y.sum()


class Two(torch.nn.Module):
    """Two bugs, each in an output of its own."""

    def forward(self, x):
        return Doubled.apply(x.exp()), Squared.apply(x.sin())


class Chain(torch.nn.Module):
    """Two bugs, one behind the other."""

    def forward(self, x):
        return Squared.apply(Doubled.apply(x.exp()).sin())


class Special(torch.nn.Module):
    """ONNX Runtime loses an infinity in a clamp without a maximum, and a NaN in a maximum over an axis."""

    def forward(self, x):
        return x.clamp(min=0.0).cos(), x.amax(0)


class Clamped(torch.nn.Module):
    """ONNX Runtime loses an infinity in two clamps, which is one bug."""

    def forward(self, x):
        return x.clamp(min=0.0), (x * 2).clamp(min=1.0)


def checked(model, *inputs, **options):
    options = {"modes": ["torchscript"], "runtimes": ["ort-disabled", "ort-all"], "examples": 8, **options}
    return check(model, inputs=list(inputs), **options)


def operators(result):
    assert all(finding.cause is not None for finding in result.findings), str(result)
    return sorted(finding.cause.operator for finding in result.findings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Twice, ["aten::mul"]),
        (Two, ["aten::mul", "aten::pow"]),
        (Special, ["aten::amax", "aten::clamp"]),
        (Clamped, ["aten::clamp"]),
    ],
)
def test_causes_are_findings(model, expected):
    result = checked(model, "float32[N]")
    assert operators(result) == expected, str(result)
    assert not any(finding.flaky for finding in result.findings)


@pytest.mark.slow
def test_one_bug_in_two_modes_is_one():
    result = checked(Twice, "float32[N]", modes=["torchscript", "torchscript,dynamic=true"])
    assert operators(result) == ["aten::mul"]
    assert result.faces_of(result.findings[0])
    (line,) = {finding.cause.line for finding in result.findings}
    assert "in forward: return x * 2" in line


class Halves(torch.autograd.Function):
    """Its symbolic takes halves to the even neighbour; the example is one."""

    @staticmethod
    def forward(ctx, x):
        return torch.floor(x + 0.5)

    @staticmethod
    def symbolic(g, x):
        return g.op("Round", x)


class Rounded(torch.nn.Module):
    def forward(self, x):
        return Halves.apply(x)


def departure(
    model, inputs, example=None, *, specs=("float32[N]",), mode="torchscript", runtime="ort-disabled"
):
    """Return where the export departs on some inputs."""
    pipeline, case = Pipeline(), make_case("model", model, inputs=list(specs))
    example = example or (f(0.5, -1.5, 2.5),)
    verdict = pipeline.check(case, Mode.parse(mode), runtime, inputs, export_inputs=example)
    seen = Sighting(Mode.parse(mode), runtime, inputs, example, verdict.divergences[0])
    return CauseFinder(pipeline, case).first_departing(seen)


def test_behind_one_another_the_first_is_named():
    assert departure(Chain, (f(0.0, 1.0, 2.0),)).step.key == "mul#0"


def test_a_wrong_operator_behind_a_right_one():
    found = departure(Special, (f(0.0, INF, 2.0),))
    assert (found.step.key, found.how) == ("clamp#0", "infinity")


@pytest.mark.parametrize("number", [0.5, 2.5])
def test_a_number_without_dimensions_is_paired_by_inputs_like_it(number):
    found = departure(Rounded, (f(number).reshape(()),), (f(0.5).reshape(()),), specs=("float32[]",))
    assert (found.step.key, found.how) == ("floor#0", "value")


def test_each_output_is_looked_at_by_itself():
    pipeline, case = Pipeline(), make_case("model", Two, inputs=["float32[N]"])
    inputs, mode = (f(0.5, 1.0),), Mode("torchscript")
    verdict = pipeline.check(case, mode, "ort-disabled", inputs, export_inputs=inputs)
    finder = CauseFinder(pipeline, case)
    keys = [
        finder.first_departing(Sighting(mode, "ort-disabled", inputs, inputs, each)).step.key
        for each in verdict.divergences
    ]
    assert keys == ["mul#0", "pow#0"]


class Random(torch.nn.Module):
    def forward(self, x):
        raise_later(x)
        return x.clamp(min=0.0)


def raise_later(x):
    if torch.is_inference_mode_enabled():
        raise RuntimeError("never")


@pytest.mark.slow
def test_what_cannot_be_exposed_leaves_the_finding_as_it_is(monkeypatch):
    import diffexport.explore.causes.exposed_graph as exposed

    monkeypatch.setattr(exposed, "MOST_BYTES", 10)
    assert departure(Random, (f(INF, 1.0, 2.0),)) is None
    result = checked(Random, "float32[N]")
    assert len(result.findings) >= 1


def test_an_eager_run_that_is_too_long_leaves_the_finding_as_it_is(monkeypatch):
    import diffexport.explore.causes.eager_steps as eager

    monkeypatch.setattr(eager, "MOST_BYTES", 3)
    assert departure(Random, (f(INF, 1.0, 2.0),)) is None


class Branch(torch.nn.Module):
    """The branch that the example takes is baked in."""

    def forward(self, x):
        if x.sum() > 10:
            return x.exp()
        return x.cos()


@pytest.mark.slow
def test_a_branch_that_is_baked_in_is_one_cause():
    result = checked(Branch, "float32[N]", ordinary=True)
    (finding,) = result.findings
    assert (finding.cause.how, finding.cause.conversions) == ("branch", ())
    assert "x.exp()" in finding.cause.line or "x.cos()" in finding.cause.line


class Lost(torch.autograd.Function):
    """pytorch#159295: an assignment through a mask and an index is lost."""

    @staticmethod
    def forward(ctx, r):
        out = r.new_zeros((r.shape[0], 2))
        mask = r > 0
        out[mask, 0] = r[mask]
        return out


class MaskIndex(torch.nn.Module):
    def forward(self, r):
        return Lost.apply(r)


@pytest.mark.slow
def test_an_assignment_that_is_lost_is_one_cause_whatever_the_value():
    result = checked(MaskIndex, "float32[N]")
    assert operators(result) == ["aten::index_put"], str(result)
    assert result.findings[0].divergence.kind == "value"


class Refuses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.special.bessel_j0(x)


class AlsoRefuses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.special.bessel_j1(x)


class OneRefusal(torch.nn.Module):
    def forward(self, x):
        return Refuses.apply(x)


class OtherRefusal(torch.nn.Module):
    def forward(self, x):
        return AlsoRefuses.apply(x)


@pytest.mark.slow
def test_export_errors_are_told_apart_by_their_operators_and_not_by_modes():
    modes = ["torchscript", "torchscript,dynamic=true", "torchscript,opset=12"]
    causes = []
    for model in (OneRefusal, OtherRefusal):
        result = checked(model, "float32[N]", modes=modes, examples=2)
        (finding,) = result.findings
        assert finding.cause.kind is CauseKind.ERROR
        assert "bessel" in finding.divergence.message
        causes.append(finding.cause)
    assert not causes[0].is_one_with(causes[1])
    assert [cause.operator for cause in causes] == ["aten::special_bessel_j0", "aten::special_bessel_j1"]
    assert "in forward: return torch.special.bessel_j0(x)" in causes[0].line
