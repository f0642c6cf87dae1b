"""What goes from a worker to its parent arrives as it was, layouts included: a finding may be about one."""

import pickle

import numpy as np
import pytest
import torch

from diffexport.arrays.inputs import as_call, as_plain
from diffexport.processes.pickling import dumps
from diffexport.strategies import LAYOUTS, lay_out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (3,), (0, 2, 3, 1), (1, 1)])
def test_layouts_survive(layout, shape):
    tensor = as_call((lay_out(np.arange(np.prod(shape), dtype="float32").reshape(shape), layout),)).args[0]
    (sent,) = as_plain((tensor,))
    got = pickle.loads(dumps({"inputs": (sent,)}))["inputs"][0]
    assert type(got) is type(sent)
    again = as_call((got,)).args[0]
    assert torch.equal(again, tensor)
    assert again.stride() == as_call((sent,)).args[0].stride()
    assert again.storage_offset() == tensor.storage_offset()


def test_other_arrays_are_pickled_as_ever():
    for array in (
        np.arange(6)[::-1],
        np.array([None, "a"], object),
        np.arange(6).reshape(2, 3).T,
        np.array(3),
    ):
        got = pickle.loads(dumps(array))
        np.testing.assert_array_equal(got, array)
        assert got.dtype == array.dtype
