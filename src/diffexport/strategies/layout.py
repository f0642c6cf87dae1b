"""Layouts: the same values at other places in memory.

A model sees a tensor's strides (``view`` refuses some, ``as_strided`` reads past them); the exported model never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.arrays import Array
from diffexport.errors import suggestion

if TYPE_CHECKING:
    import torch


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
    from diffexport.arrays import to_tensor

    _check(layout)
    # Memory is laid out by numpy, which takes a third of the time that torch takes over small tensors.
    if layout == "transposed" and array.ndim >= 2:
        tensor = to_tensor(np.array(array.swapaxes(-1, -2), order="C")).transpose(-1, -2)
    elif layout == "stepped" and array.ndim:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        tensor = (to_tensor(wide) if array.size else to_tensor(wide).new_zeros(wide.shape))[..., ::2]
    elif layout == "offset":
        storage = np.zeros(array.size + 3, array.dtype)
        storage[3:] = array.reshape(-1)
        tensor = to_tensor(storage)[3:].view(array.shape)
    elif layout == "channels-last" and array.ndim >= 3:
        order = (0, *range(2, array.ndim), 1)
        tensor = to_tensor(np.array(array.transpose(order), order="C")).movedim(-1, 1)
    elif layout == "expanded" and array.ndim and array.shape[0] > 1:
        tensor = to_tensor(np.array(array[:1], order="C")).expand(array.shape)
    else:
        tensor = to_tensor(np.array(array, order="C"))
    if layout in ("transposed", "channels-last") and tensor.is_contiguous():
        # With dimensions of size 1 there may be nothing to swap, and strides that mean nothing are not kept by copies.
        tensor = to_tensor(np.array(array, order="C"))
    if requires_grad and (tensor.is_floating_point() or tensor.is_complex()):
        tensor = tensor.detach().requires_grad_()
    return tensor
