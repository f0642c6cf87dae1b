"""Layouts: the same values at other places in memory.

A model sees a tensor's strides (``view`` refuses some, ``as_strided`` reads past them); the exported model never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.errors import suggestion

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]

#: Layouts, simplest first.
LAYOUTS = ("contiguous", "transposed", "stepped", "offset", "channels-last", "expanded")


def layouts(*, among: Sequence[str] = LAYOUTS) -> st.SearchStrategy[str]:
    """Draw the name of a layout; shrinks towards ``contiguous``.

    Raises:
        InvalidArgument: ``among`` is empty or holds an unknown name.
    """
    if not among:
        raise InvalidArgument("among is empty: there is no layout to draw")
    for name in among:
        _check(name)
    return st.sampled_from(sorted(among, key=LAYOUTS.index))


def _check(name: str) -> None:
    if name not in LAYOUTS:
        raise InvalidArgument(
            f"{name!r} is not a layout (known: {', '.join(LAYOUTS)}){suggestion(name, LAYOUTS)}"
        )


def lay_out(array: Array, layout: str, *, requires_grad: bool = False) -> torch.Tensor:
    """Return a tensor of the values of ``array`` in a layout.

    ``transposed`` has its last two axes swapped in memory, ``stepped`` takes every other element of its last axis,
    ``offset`` starts within its storage, ``channels-last`` has its second axis innermost, ``expanded`` has stride 0
    in its first axis and so repeats its first slice: its values are not those of ``array``. A layout that the
    rank does not have leaves the tensor contiguous. ``requires_grad`` is ignored for integers and bools.

    Raises:
        InvalidArgument: no such layout.
    """
    from diffexport.bridge import to_tensor

    _check(layout)
    tensor = to_tensor(np.array(array, order="C"))
    if layout == "transposed" and array.ndim >= 2:
        tensor = tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    elif layout == "stepped" and array.ndim:
        wide = tensor.new_zeros((*array.shape[:-1], 2 * array.shape[-1]))
        wide[..., ::2] = tensor
        tensor = wide[..., ::2]
    elif layout == "offset":
        storage = tensor.new_zeros(array.size + 3)
        storage[3:] = tensor.reshape(-1)
        tensor = storage[3:].view(array.shape)
    elif layout == "channels-last" and array.ndim >= 3:
        tensor = tensor.movedim(1, -1).contiguous().movedim(-1, 1)
    elif layout == "expanded" and array.ndim and array.shape[0] > 1:
        tensor = tensor[:1].clone().expand(array.shape)
    if requires_grad and (tensor.is_floating_point() or tensor.is_complex()):
        tensor = tensor.detach().requires_grad_()
    return tensor
