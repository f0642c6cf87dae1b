"""Operators that are several in one, and the simple operators that compute the same.

A fused operator rounds as often as its parts do, and some have no float64 kernel: rounding noise is put on the parts.

Private names used here, checked on torch 2.13.0: the ATen operators ``_scaled_dot_product_flash_attention_for_cpu``,
``_scaled_dot_product_attention_math`` and ``mkldnn_rnn_layer``, and the mode number of an LSTM in the last one;
``torch._C._get_mkldnn_enabled`` and ``_set_mkldnn_enabled``, ``_dispatch_has_kernel_for_dispatch_key`` and
``DispatchKey``; ``OpOverload._op_dk``, ``decompose`` and ``py_kernels``.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

#: Where the kernel of a composite operator is.
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
#: What ``mkldnn_rnn_layer`` calls an LSTM.
_LSTM = 2


def is_composite(func: Any) -> bool:
    """Return whether an operator overload is defined by other operators, in C++ or in Python."""
    return _COMPOSITE in func.py_kernels or _has_kernel(func)


def by_parts(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the operators that a composite one is defined by.

    That is torch's own definition. A decomposition in Python, which other parts of torch register when they are
    imported, is taken only where there is no other.
    """
    return func._op_dk(_COMPOSITE, *args, **kwargs) if _has_kernel(func) else func.decompose(*args, **kwargs)


@functools.cache
def _has_kernel(func: Any) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE.name))


def attention(given: Mapping[str, Any]) -> Any:
    """Return what ``_scaled_dot_product_flash_attention_for_cpu`` does; NotImplemented with dropout.

    ``given`` are the arguments by name. The second result, which backward alone looks at, is empty.
    """
    query, key, value = given["query"], given["key"], given["value"]
    if given["dropout_p"]:
        return NotImplemented
    result, _ = by_parts(
        torch.ops.aten._scaled_dot_product_attention_math.default,
        query,
        key,
        value,
        given["attn_mask"],
        0.0,
        given["is_causal"],
        scale=given["scale"],
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return result, query.new_zeros(0)


@contextlib.contextmanager
def _without_mkldnn() -> Iterator[None]:
    """Let torch choose its own kernels; the public way to say so warns of graphics cards."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


def recurrent_layer(given: Mapping[str, Any]) -> Any:
    """Return what ``mkldnn_rnn_layer`` does; NotImplemented if that is no LSTM.

    ``given`` are the arguments by name. It is one layer in one direction, whatever the numbers of the network among the
    arguments say, and its input has time first, whatever ``batch_first`` says. The last result, which backward alone
    looks at, is empty.
    """
    if given["mode"] != _LSTM:
        return NotImplemented
    sequence, hidden, cell = given["input"], given["hx_"], given["cx_"]
    if given["reverse"]:
        sequence = sequence.flip(0)
    weights = [given[f"weight{number}"] for number in range(4 if given["has_biases"] else 2)]
    with _without_mkldnn():
        output, last, last_cell = by_parts(
            torch.ops.aten.lstm.input,
            sequence,
            [hidden.reshape(1, *hidden.shape[-2:]), cell.reshape(1, *cell.shape[-2:])],
            weights,
            given["has_biases"],
            1,
            0.0,
            given["train"],
            False,
            False,
        )
    if given["reverse"]:
        output = output.flip(0)
    return output, last.reshape(hidden.shape), last_cell.reshape(cell.shape), sequence.new_zeros(0)


#: By the full name of an operator; each takes the arguments by name, and returns NotImplemented where it does not
#: apply.
FUSED: Mapping[str, Callable[[Mapping[str, Any]], Any]] = MappingProxyType(
    {
        "aten::_scaled_dot_product_flash_attention_for_cpu": attention,
        "aten::mkldnn_rnn_layer": recurrent_layer,
    }
)
