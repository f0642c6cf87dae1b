"""What a case has around its export: entered for each, taken back after each, and a leak is a failure."""

import contextlib

import numpy as np
import onnx
import pytest
import torch
from torch.onnx._internal.torchscript_exporter.registration import registry

from diffexport import Pipeline, make_case
from diffexport.backends import exporters
from diffexport.errors import TargetError, UsageError
from diffexport.pytorch import symbolics
from diffexport.subjects import catalogue
from diffexport.values.mode import Mode
from diffexport.values.verdict import Kind, Outcome

INPUTS = (np.array([0.5, -2.0], np.float32),)
OPERATOR = "prim::PythonOp"


class Doubles(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + x


class Model(torch.nn.Module):
    def forward(self, x):
        return Doubles.apply(x)


def doubled(g, x, **kwargs):
    return g.op("Add", x, x)


def other(g, x, **kwargs):
    return g.op("Sum", x, x)


@contextlib.contextmanager
def tidy():
    torch.onnx.register_custom_op_symbolic(OPERATOR, doubled, 1)
    try:
        yield
    finally:
        torch.onnx.unregister_custom_op_symbolic(OPERATOR, 1)


@contextlib.contextmanager
def forgetful():
    torch.onnx.register_custom_op_symbolic(OPERATOR, doubled, 1)
    yield


@contextlib.contextmanager
def scoped():
    yield
    torch.jit._trace._trace_module_map = {}


@contextlib.contextmanager
def in_export():
    from torch.onnx._internal.torchscript_exporter._globals import GLOBALS

    yield
    GLOBALS.in_onnx_export = True


@pytest.fixture
def users_own():
    """A symbolic that the user has registered, of the same operator and opset."""
    torch.onnx.register_custom_op_symbolic(OPERATOR, other, 1)
    yield other
    torch.onnx.unregister_custom_op_symbolic(OPERATOR, 1)


def case(around, **options):
    return make_case("Model", Model, inputs=["float32[...]"], around=around, **options)


def check(around, mode="torchscript", **options):
    return Pipeline().check(case(around, **options), Mode.parse(mode), "ort-disabled", INPUTS)


def impurities(verdict):
    return {d.signature for d in verdict.divergences if d.kind is Kind.IMPURE_EXPORT}


def test_each_export_happens_inside_of_it():
    entered = []

    @contextlib.contextmanager
    def counted():
        entered.append("in")
        with tidy():
            yield
        entered.append("out")

    exported = exporters.export(Model(), (torch.ones(2),), Mode("torchscript"), around=counted, repeat=True)
    assert entered == ["in", "out"] * 2
    assert exported.impurities == ()
    assert exported.repeat == ""
    (node,) = onnx.load_model_from_string(exported.model).graph.node
    assert (node.op_type, len(node.input)) == ("Add", 2)


@pytest.mark.parametrize(
    "mode",
    [
        "torchscript,opset=18",
        "torchscript,autograd_inlining=false",
        pytest.param("dynamo", marks=pytest.mark.slow),
    ],
)
def test_what_takes_everything_back_is_no_failure(mode):
    verdict = check(tidy, mode, traits=["symbolic-function"])
    assert verdict.outcome is Outcome.AGREES, verdict.divergences
    assert symbolics.registered() == {}


@pytest.mark.parametrize(
    ("around", "leak"),
    [
        (forgetful, f"custom symbolic {OPERATOR}"),
        (scoped, "torch.jit._trace._trace_module_map"),
        (in_export, "torch.onnx.is_in_onnx_export()"),
    ],
)
@pytest.mark.parametrize("mode", ["torchscript", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_a_leak_is_a_failure_and_does_not_reach_the_next_export(around, leak, mode):
    pipeline = Pipeline()
    verdict = pipeline.check(case(around), Mode.parse(mode), "ort-disabled", INPUTS)
    assert leak in impurities(verdict)
    assert verdict.outcome is Outcome.DIVERGES
    assert symbolics.registered() == {}
    assert torch.jit._trace._trace_module_map is None
    assert not torch.onnx.is_in_onnx_export()
    clean = pipeline.check(
        make_case("Clean", Model, inputs=["float32[...]"]), Mode("torchscript"), "ort-all", INPUTS
    )
    assert clean.outcome is Outcome.AGREES, clean.divergences


def test_a_leak_names_operator_and_opset():
    (found,) = [d for d in check(forgetful).divergences if d.kind is Kind.IMPURE_EXPORT]
    assert "the one for opset 1 is still registered" in found.message


def test_a_model_that_registers_while_it_runs_is_found_out():
    class Registers(torch.nn.Module):
        def forward(self, x):
            torch.onnx.register_custom_op_symbolic("mine::op", doubled, 9)
            return x + 1

    exported = exporters.export(Registers(), (torch.ones(2),), Mode("torchscript"))
    assert [change.text for change in exported.impurities if not change.is_by_itself] == [
        "custom symbolic mine::op"
    ]
    assert symbolics.registered() == {}


@pytest.mark.parametrize(
    ("around", "state"), [(tidy, "is gone"), (forgetful, "was replaced")], ids=["unregistered", "replaced"]
)
def test_a_users_own_symbolic_is_missed_and_put_back(users_own, around, state):
    verdict = check(around, traits=["symbolic-function"])
    (found,) = [d for d in verdict.divergences if d.kind is Kind.IMPURE_EXPORT]
    assert f"the one for opset 1 {state}" in found.message
    assert symbolics.registered() == {(OPERATOR, 1): users_own}


def test_what_the_exporter_itself_leaves_registered_is_a_note():
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x + x

        @staticmethod
        def symbolic(g, x):
            return g.op("Add", x, x)

    class AppliesOwn(torch.nn.Module):
        def forward(self, x):
            return Own.apply(x)

    verdict = Pipeline().check(
        make_case("AppliesOwn", AppliesOwn, inputs=["float32[...]"]), Mode("torchscript"), "ort-all", INPUTS
    )
    assert verdict.outcome is Outcome.AGREES
    assert "custom symbolic ::Own" in {
        note.signature for note in verdict.notes if note.kind is Kind.STALE_GLOBALS
    }
    assert registry.get_function_group("::Own").get(20) is None


def test_a_registered_symbolic_counts_as_one_of_the_function():
    args = (torch.ones(2),)
    assert exporters.model_traits(Model(), args) == {"opaque-function"}
    assert exporters.model_traits(Model(), args, tidy) == {"symbolic-function"}
    # Without declared traits the rules go by that: nothing has to be inlined.
    assert check(tidy, "torchscript,autograd_inlining=false").outcome is Outcome.AGREES


@pytest.mark.parametrize("when", ["making or entering", "leaving"])
def test_what_raises_is_told_of_the_case(when):
    @contextlib.contextmanager
    def raising():
        if when != "leaving":
            raise RuntimeError("no such thing")
        yield
        raise RuntimeError("no such thing")

    said = f"^{when} what the case wants around its export raises RuntimeError: no such"
    with pytest.raises(TargetError, match=said):
        check(raising)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"around": tidy()}, "without calling it"),
        ({"around": "tidy"}, "does not make a context manager"),
        ({"custom_opsets": {"mine": 0}}, "takes a domain and a version"),
        ({"custom_opsets": {"": 1}}, "takes a domain and a version"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make_case("Model", Model, inputs=["float32[...]"], **options)


@pytest.mark.slow
def test_numbers_that_torch_counts_code_by_are_no_difference():
    """A module that is traced into within a Function leaves such a number in the stack traces of its nodes."""
    applies = catalogue.load("applies_module").build()
    exported = exporters.export(applies, (torch.ones(2, 3),), Mode("dynamo"), repeat=True)
    assert b"<eval_with_key>." in exported.model
    assert exported.repeat == ""
