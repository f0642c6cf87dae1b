"""Every higher-order operator of this torch under rounding noise: it runs, and later calls are as they were before."""

import importlib
import pkgutil

import pytest
import torch

from diffexport.oracle import Noise
from diffexport.pytorch import intercepted
from diffexport.pytorch.dispatch import higher_order_operators

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

#: Those that a model in Python does not call: they stand in graphs that torch.compile or torch.export has made.
ONLY_IN_GRAPHS = {
    "_export_tracepoint": "made by torch.export",
    "aoti_call_delegate": "a graph that Inductor has compiled",
    "auto_functionalized": "made where a graph is functionalised",
    "auto_functionalized_v2": "made where a graph is functionalised",
    "autograd_function_apply": "made by dynamo of an autograd Function",
    "call_torchbind": "a C++ object in an exported graph",
    "control_deps": "made by Inductor",
    "dynamo_bypassing_wrapper": "made by dynamo",
    "executorch_call_delegate": "a graph that ExecuTorch runs",
    "flat_apply": "made by dynamo",
    "flex_attention_backward": "runs in backward, after the model",
    "graphsafe_run_with_rng_state": "made where a graph is split for backward, on CUDA",
    "inductor_compiled_code": "made by Inductor",
    "inline_asm_elementwise": "CUDA only",
    "invoke_leaf_function": "made by dynamo",
    "invoke_quant": "a tracer of Inductor's",
    "invoke_quant_packed": "a tracer of Inductor's",
    "local_map_hop": "made of distributed tensors",
    "register_hook": "made by dynamo",
    "run_and_save_rng_state": "made where a graph is split for backward",
    "run_const_graph": "made by Inductor",
    "run_dtensor_rng_op": "made of distributed tensors",
    "run_with_rng_state": "made where a graph is split for backward",
    "trace_wrapped": "made by compiled autograd",
    "triton_kernel_wrapper_functional": "CUDA only",
    "triton_kernel_wrapper_mutation": "CUDA only",
    "while_loop_stack_output": "made by the backward of while_loop",
    "with_effects": "made where a graph is functionalised",
    "wrap_activation_checkpoint": "made by dynamo of a checkpoint",
}

X = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]])
WEIGHT = torch.tensor([[0.1, 0.7, -0.3], [1.3, -0.2, 0.4], [0.6, 0.9, -1.1]], requires_grad=True)


def linear(x):
    return x @ WEIGHT


def operator(name):
    return higher_order_operators()[name]


def while_loop():
    from torch._higher_order_ops.while_loop import while_loop

    return while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, torch.tanh(y) * 1.1), (torch.tensor(0), X))


def scan():
    from torch._higher_order_ops.scan import scan

    return scan(lambda carry, y: (carry * 1.1 + y, carry.exp()), torch.zeros(3), X)


def mapped():
    from torch._higher_order_ops.map import map as map_rows

    return map_rows(linear, X)


def associative_scan():
    from torch._higher_order_ops.associative_scan import associative_scan

    return associative_scan(lambda a, b: a * 1.1 + b, X, 0, combine_mode="generic")


def flex_attention():
    from torch.nn.attention.flex_attention import flex_attention

    given = [torch.linspace(-1, 2, 32).roll(n).reshape(1, 1, 4, 8) for n in (0, 5, 11)]
    return flex_attention(*given, score_mod=lambda score, b, h, i, j: score * 1.3)


def foreach_map():
    from torch._higher_order_ops.foreach_map import foreach_map

    return foreach_map(lambda y: y * 1.1, [X, X])


def custom_function_call():
    class Tripled(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x * 1.1

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, grad):
            return grad * 1.1

    return torch.vmap(Tripled.apply)(X)


def printed():
    torch._higher_order_ops.print("{}", 1)
    return X * 1.1


EXAMPLES = {
    "associative_scan": associative_scan,
    "cond": lambda: torch.cond(X.sum() > 0, linear, lambda x: x * 1.1, (X,)),
    "custom_function_call": custom_function_call,
    "flex_attention": flex_attention,
    "foreach_map": foreach_map,
    "hints_wrapper": lambda: operator("hints_wrapper")(linear, (X,), {}, hints={"key": 1}),
    "invoke_subgraph": lambda: torch.compiler.nested_compile_region(linear)(X),
    "map_impl": mapped,
    "out_dtype": lambda: operator("out_dtype")(torch.ops.aten.mul.Tensor, torch.float32, X, X),
    "print": printed,
    "scan": scan,
    "strict_mode": lambda: operator("strict_mode")(lambda x: (linear(x),), (X,)),
    "tag_activation_checkpoint": lambda: torch.utils.checkpoint.checkpoint(linear, X, use_reentrant=False),
    "while_loop": while_loop,
    "wrap": lambda: operator("wrap")(linear, X),
    "wrap_with_autocast": lambda: operator("wrap_with_autocast")(
        "cpu", torch.bfloat16, False, None, linear, X
    ),
    "wrap_with_set_grad_enabled": lambda: operator("wrap_with_set_grad_enabled")(False, linear, X),
}


def everything():
    """Every higher-order operator, with the modules imported that define them."""
    for module in pkgutil.iter_modules(torch._higher_order_ops.__path__):
        importlib.import_module(f"torch._higher_order_ops.{module.name}")
    importlib.import_module("torch._dynamo._trace_wrapped_higher_order_op")
    return set(higher_order_operators())


def test_every_one_has_an_example_or_a_reason():
    # A package that is imported by another test may have added its own.
    unknown = {
        name
        for name in everything() - EXAMPLES.keys() - ONLY_IN_GRAPHS.keys()
        if type(higher_order_operators()[name]).__module__.startswith("torch.")
    }
    assert not unknown


def flat(result):
    if isinstance(result, torch.Tensor):
        return [result.detach().clone()]
    return [tensor for item in result for tensor in flat(item)]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
@pytest.mark.parametrize("with_gradients", [True, False])
def test_it_runs_under_noise_and_afterwards_as_before(name, with_gradients):
    run = EXAMPLES[name]
    with torch.set_grad_enabled(with_gradients):
        before = flat(run())
        noise = Noise(0)
        with intercepted(noise):
            noisy = flat(run())
        after = flat(run())
    assert noise.disturbed
    assert any(not torch.equal(one, other) for one, other in zip(before, noisy, strict=True))
    for one, other in zip(before, noisy, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_call_that_comes_first_under_noise_leaves_nothing_behind():
    def first(x):
        return torch.cond(x.sum() > 0, linear, lambda x: x * 1.1, (x,))

    with intercepted(Noise(0)):
        first(X)
    assert torch.equal(first(X), linear(X))
    assert torch.equal(first(-X), -X * 1.1)


def test_a_compiled_model_runs_under_noise():
    compiled = torch.compile(lambda x: linear(x).exp(), backend="eager")
    noise = Noise(0)
    with intercepted(noise):
        compiled(X)
    assert noise.disturbed
    assert torch.equal(compiled(X), linear(X).exp())


@pytest.mark.parametrize(
    "name", ["cond", "map_impl", "scan", "while_loop", "associative_scan", "invoke_subgraph"]
)
def test_an_input_that_requires_a_gradient(monkeypatch, name):
    plain = flat(EXAMPLES[name]())
    monkeypatch.setitem(globals(), "X", X.clone().requires_grad_())
    noise = Noise(0)
    with intercepted(noise):
        noisy = flat(EXAMPLES[name]())
    assert noise.disturbed
    for one, other in zip(plain, noisy, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)
