"""Operators that are random in name only: which calls draw numbers, and that all others have noise."""

import numpy as np
import pytest
import torch
from judging import excuses, judged
from torch import nn
from torch.nn import functional as F

from diffexport.oracle import Noise, rule_of
from diffexport.oracle.random_operators import ALWAYS_RANDOM, RANDOM_IF
from diffexport.pytorch import intercepted
from diffexport.pytorch.dispatch import described

X = torch.tensor([[0.3, -1.2, 0.7, 0.9], [1.1, 0.4, -0.6, -0.2]])
ATEN = torch.ops.aten


def tagged():
    """Every overload of torch's own that has the tag of random operators, described."""
    for name in sorted(torch._C._dispatch_get_all_op_names()):
        namespace, _, rest = name.partition("::")
        base, _, overload = rest.partition(".")
        if namespace not in ("aten", "prims", "prim", "rngprims", "quantized", "inductor"):
            continue
        try:
            func = getattr(getattr(getattr(torch.ops, namespace), base), overload or "default")
        except (AttributeError, RuntimeError):
            continue
        if torch.Tag.nondeterministic_seeded in func.tags:
            yield described(func)


def test_every_operator_with_the_tag_of_torch_is_in_one_table():
    names = {op.base for op in tagged()}
    assert len(names) > 50
    assert names - RANDOM_IF.keys() - ALWAYS_RANDOM == set()
    assert not RANDOM_IF.keys() & ALWAYS_RANDOM


#: A call that draws nothing, and one of the same operator that draws.
PAIRS = [
    (ATEN.native_dropout.default, (X, 0.5, False), (X, 0.5, True)),
    (ATEN.native_dropout.default, (X, 0.0, True), (X, 0.5, None)),
    (ATEN.native_dropout.default, (X, 1.0, True), (X, 0.1, True)),
    (ATEN.dropout.default, (X, 0.5, False), (X, 0.5, True)),
    (ATEN.alpha_dropout.default, (X, 0.5, False), (X, 0.5, True)),
    (ATEN.feature_dropout.default, (X, 0.0, True), (X, 0.5, True)),
    (ATEN.feature_alpha_dropout.default, (X, 0.5, False), (X, 0.5, True)),
    (ATEN.rrelu_with_noise.default, (X, X.clone(), 0.1, 0.3, False), (X, X.clone(), 0.1, 0.3, True)),
    (ATEN.rrelu.default, (X,), (X, 0.1, 0.3, True)),
    (ATEN.rrelu_with_noise_functional.default, (X, X, 0.2, 0.2, True), (X, X, 0.1, 0.3, True)),
    (ATEN.bernoulli.default, (torch.tensor([0.0, 1.0]),), (torch.tensor([0.5]),)),
    (ATEN.bernoulli.p, (X, 1.0), (X, 0.3)),
    (ATEN.bernoulli_.float, (X, 0.0), (X,)),
    (ATEN.bernoulli.Tensor, (X, torch.ones(2, 4)), (X, torch.full((2, 4), 0.1))),
    (ATEN.binomial.default, (torch.ones(2), torch.ones(2)), (torch.ones(2), torch.full((2,), 0.5))),
    (ATEN.geometric.default, (X, 1.0), (X, 0.5)),
    (ATEN.normal.Tensor_float, (X, 0.0), (X,)),
    (ATEN.normal.Tensor_Tensor, (X, torch.zeros(2, 4)), (X, torch.ones(2, 4))),
    (ATEN.normal_.default, (X, 1.0, 0.0), (X,)),
    (ATEN.uniform_.default, (X, 2.0, 2.0), (X,)),
    (ATEN.poisson.default, (torch.zeros(3),), (torch.ones(3),)),
    (ATEN.randint.default, (1, [3]), (2, [3])),
    (ATEN.randint.low, (4, 5, [3]), (4, 6, [3])),
    (ATEN.randint_like.Tensor, (X, torch.tensor(1)), (X, torch.tensor(3))),
    (ATEN.random_.to, (X, 1), (X, 2)),
    (getattr(ATEN.random_, "from"), (X, 2, 3), (X, 2, None)),
    (ATEN.randperm.default, (1,), (2,)),
    (ATEN.multinomial.default, (torch.tensor([0.0, 1.0]), 1), (torch.tensor([0.5, 1.0]), 1)),
    (ATEN._fused_dropout.default, (X, 1.0), (X, 0.5)),
    (ATEN.scaled_dot_product_attention.default, (X, X, X), (X, X, X, None, 0.1)),
    (ATEN._scaled_dot_product_attention_math.default, (X, X, X), (X, X, X, None, 0.1)),
    (ATEN._scaled_dot_product_flash_attention_for_cpu.default, (X, X, X), (X, X, X, 0.1)),
    (
        ATEN._scaled_dot_product_efficient_attention.default,
        (X, X, X, None, False),
        (X, X, X, None, False, 0.1),
    ),
    (
        ATEN.gru.input,
        (X, X, [], True, 2, 0.0, True, False, False),
        (X, X, [], True, 2, 0.5, True, False, False),
    ),
    (
        ATEN.lstm.data,
        (X, X, [X], [], True, 1, 0.5, True, False),
        (X, X, [X], [], True, 2, 0.5, True, False),
    ),
    (
        ATEN.rnn_tanh.input,
        (X, X, [], True, 2, 0.5, False, False, False),
        (X, X, [], True, 2, 0.5, True, False, False),
    ),
]


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_an_argument_says_whether_a_call_draws(number):
    func, drawing_nothing, drawing = PAIRS[number]
    rule = rule_of(described(func))
    assert not rule.is_random(drawing_nothing, {})
    assert rule.is_random(drawing, {})


def test_every_condition_has_an_example_or_is_of_a_device_that_is_not_here():
    tried = {described(func).base for func, _, _ in PAIRS}
    conditions = {RANDOM_IF[name] for name in tried}
    others = {
        name for name, condition in RANDOM_IF.items() if condition not in conditions and name not in tried
    }
    # Those that never draw, and one of torch's references, which are not dispatched.
    assert others == {
        "_fused_sdp_choice",
        "_nested_tensor_softmax_with_shape",
        "_flash_attention_forward_no_dropout_inplace",
        "prims::uniform",
    }


def test_arguments_by_name_count_as_well():
    rule = rule_of(described(ATEN.bernoulli.default))
    assert rule.is_random((torch.tensor([0.5]),), {"generator": None})
    rule = rule_of(described(ATEN.scaled_dot_product_attention.default))
    assert rule.is_random((X, X, X), {"dropout_p": 0.5})


def attention(x):
    return F.scaled_dot_product_attention(x, x, x)


def grouped(x):
    return F.scaled_dot_product_attention(x, x[:, :1], x[:, :1], is_causal=True, enable_gqa=True)


def spread(module, *inputs):
    with torch.no_grad(), intercepted(noise := Noise(0)):
        result = module(*inputs)
    return noise, result


SEQUENCE = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 4, 5, 8)).astype(np.float32))
MODULES = {
    "attention": attention,
    "grouped attention": grouped,
    "masked attention": lambda x: F.scaled_dot_product_attention(x, x, x, torch.ones(5, 5).tril().bool()),
    "dropout of 0": lambda x: F.dropout(x * 1.1, 0.0),
    "dropout in eval mode": nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 3)).eval(),
    "alpha dropout in eval mode": nn.Sequential(nn.AlphaDropout(0.5), nn.Linear(8, 3)).eval(),
    "rrelu in eval mode": nn.Sequential(nn.RReLU(), nn.Linear(8, 3)).eval(),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("inference", [False, True])
def test_a_call_that_draws_nothing_has_noise(name, inference):
    with torch.inference_mode(inference):
        plain = MODULES[name](SEQUENCE)
        noise, result = spread(MODULES[name], SEQUENCE)
    assert noise.disturbed
    assert not noise.unrecomputed
    assert not torch.equal(plain, result)
    torch.testing.assert_close(plain, result, rtol=1e-5, atol=1e-6)


def test_attention_in_another_order_is_excused_and_a_wrong_one_is_not():
    x = SEQUENCE * 3

    def exported(scale):
        def function(_eager):
            wide = x.double()
            scores = (wide @ wide.transpose(-1, -2)).float() * scale
            weights = torch.exp(scores - scores.amax(-1, keepdim=True))
            return ((weights @ x) / weights.sum(-1, keepdim=True)).numpy()

        return function

    assert excuses(attention, (x,), exported(8**-0.5))
    assert judged(attention, (x,), exported(8**-0.5 * 1.00005)).found


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("packed", [False, True])
def test_recurrent_networks_have_noise_and_a_float64_path(kind, packed):
    torch.manual_seed(0)
    network = kind(8, 4, num_layers=2, bidirectional=True).eval()

    def run(x):
        if packed:
            x = nn.utils.rnn.pack_padded_sequence(x, [4, 4, 3, 2, 1])
        output = network(x)[0]
        return nn.utils.rnn.pad_packed_sequence(output)[0] if packed else output

    x = SEQUENCE[0]
    noise, result = spread(run, x)
    assert noise.disturbed
    assert not noise.unrecomputed
    torch.testing.assert_close(result, run(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_layer_of_mkldnn_is_run_by_its_parts(batch_first):
    torch.manual_seed(0)
    network = nn.LSTM(8, 4, batch_first=batch_first, bidirectional=True).eval()
    seen = []

    def handler(op, args, kwargs):
        seen.append(op.base)
        return op.run(*args, **kwargs)

    x = SEQUENCE[0]
    with torch.no_grad(), intercepted(handler):
        output, (hidden, cell) = network(x)
    assert "mkldnn_rnn_layer" not in seen
    assert {"addmm", "tanh", "sigmoid"} <= set(seen)
    expected, (last, last_cell) = network(x)
    for one, other in ((output, expected), (hidden, last), (cell, last_cell)):
        torch.testing.assert_close(one, other.detach())
    # In eval mode, so that it is torch's own layer that is excused for what another order of its sums gives.
    judgement = judged(
        Outputs(network), (x,), lambda eager: Outputs(network).double()(x.double()).detach().numpy()
    )
    assert judgement.found == []


class Outputs(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)[0]
