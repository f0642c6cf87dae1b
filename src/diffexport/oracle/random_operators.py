"""Which calls of torch's random operators draw random numbers: many do only if an argument says so.

torch's tag ``nondeterministic_seeded`` is of an operator, not of a call: attention has it for a dropout that is
mostly 0. A call that draws nothing rounds like any other operator. Every operator with the tag is in one of the two
tables here; one that is in neither draws always.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

#: The arguments of a call by name, with the defaults of those that are not given.
Named = Mapping[str, Any]


def _drops(given: Named) -> bool:
    """Of dropouts: in training, with a probability other than 0 and 1; None is training."""
    return given.get("train") is not False and 0 < given["p"] < 1


def _attends_with_dropout(given: Named) -> bool:
    return bool(given["dropout_p"]) and given.get("dropout_mask") is None


def _drops_between_layers(given: Named) -> bool:
    return bool(given["train"] and given["dropout"]) and given.get("num_layers", 2) > 1


def _slopes_at_random(given: Named) -> bool:
    return bool(given["training"]) and given["lower"] != given["upper"]


def _tosses(given: Named) -> bool:
    """Of bernoulli: with a probability other than 0 and 1, a number or in a tensor."""
    return _is_open(given["p"] if given.get("p") is not None else given["self"])


def _counts_tosses(given: Named) -> bool:
    return _is_open(given["prob"])


def _waits(given: Named) -> bool:
    return bool(given["p"] != 1)


def _spreads(given: Named) -> bool:
    """Of normal: with a deviation other than 0."""
    return _any(given["std"], lambda std: std != 0)


def _has_width(given: Named) -> bool:
    return bool(given["from"] != given["to"])


def _has_range(given: Named) -> bool:
    return bool(given["low"] != given["high"])


def _has_rate(given: Named) -> bool:
    return _any(given["self"], lambda rate: rate != 0)


def _has_integers(given: Named) -> bool:
    """Of random integers: more than one may come."""
    low, high = given.get("low") or given.get("from") or 0, given.get("high", given.get("to"))
    return high is None or _any(high, lambda end: end - low > 1)


def _has_permutations(given: Named) -> bool:
    return bool(given["n"] > 1)


def _has_choice(given: Named) -> bool:
    """Of multinomial: more than one category may come."""
    return _any((given["self"] > 0).sum(-1), lambda count: count > 1)


def _never(given: Named) -> bool:  # noqa: ARG001
    return False


def _is_open(probability: Any) -> bool:
    return _any(probability, lambda p: (p != 0) & (p != 1))


def _any(value: Any, test: Callable[[Any], Any]) -> bool:
    """Return whether a test is true of a number, or of any element of a tensor."""
    return bool(torch.any(test(value))) if isinstance(value, Tensor) else bool(test(value))


def _each(names: str, condition: Callable[[Named], bool]) -> dict[str, Callable[[Named], bool]]:
    return dict.fromkeys(names.split(), condition)


#: Operators of which only some calls draw random numbers, by name as in the table of rounding rules.
RANDOM_IF: Mapping[str, Callable[[Named], bool]] = MappingProxyType(
    {
        **_each(
            "dropout alpha_dropout feature_dropout feature_alpha_dropout native_dropout _fused_dropout",
            _drops,
        ),
        **_each(
            "scaled_dot_product_attention _scaled_dot_product_attention_math"
            " _scaled_dot_product_attention_math_for_mps _scaled_dot_product_flash_attention"
            " _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention"
            " _scaled_dot_product_cudnn_attention _scaled_dot_product_fused_attention_overrideable"
            " _scaled_dot_product_efficient_attention_backward _scaled_dot_product_cudnn_attention_backward"
            " _efficient_attention_forward _flash_attention_forward _cudnn_attention_forward"
            " _cudnn_attention_backward _triton_scaled_dot_attention",
            _attends_with_dropout,
        ),
        **_each(
            "lstm gru rnn_tanh rnn_relu _lstm_mps _cudnn_rnn miopen_rnn _cudnn_init_dropout_state",
            _drops_between_layers,
        ),
        **_each("rrelu rrelu_with_noise rrelu_with_noise_functional", _slopes_at_random),
        # They draw nothing, whatever their arguments.
        **_each(
            "_fused_sdp_choice _nested_tensor_softmax_with_shape _flash_attention_forward_no_dropout_inplace",
            _never,
        ),
        "bernoulli": _tosses,
        "binomial": _counts_tosses,
        "geometric": _waits,
        **_each("normal normal_functional prims::normal", _spreads),
        "uniform": _has_width,
        "prims::uniform": _has_range,
        "poisson": _has_rate,
        **_each("randint randint_like random", _has_integers),
        "randperm": _has_permutations,
        "multinomial": _has_choice,
    }
)

#: Operators of which every call draws.
ALWAYS_RANDOM = frozenset(
    (
        *(
            "_fill_mem_eff_dropout_mask",
            "_sample_dirichlet",
            "_standard_gamma",
            "cauchy",
            "exponential",
            "log_normal",
        ),
        *("rand", "rand_like", "randn", "randn_like", "rngprims::philox_rand"),
        *("prims::inductor_seed", "prims::inductor_seeds"),
        *("prims::inductor_rand_eager_offset", "prims::inductor_rand_eager_offsets"),
    )
)
