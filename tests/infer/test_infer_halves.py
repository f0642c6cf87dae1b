"""A model of half precision is called with its own dtype; what would fit is said where it is called with another."""

import pytest
import torch
from torch import nn

import diffexport
from diffexport.arrays import float_dtypes
from diffexport.infer import infer


@pytest.mark.parametrize(("dtype", "name"), [(torch.float16, "float16"), (torch.bfloat16, "bfloat16")])
def test_it_is_called_with_the_dtype_of_its_parameters(dtype, name):
    model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2)).to(dtype)
    assert infer(model).inputs == (f"{name}[..., 4]",)


def test_several_dtypes_are_told_in_order():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4).half())
    assert float_dtypes(model) == ("float32", "float16")
    assert float_dtypes(nn.ReLU()) == ()


def test_what_would_fit_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = nn.LayerNorm(4).half()
    result = diffexport.check(
        model, inputs=["float32[N, 4]"], modes="torchscript", runtimes="ort-disabled", examples=2
    )
    assert (
        "its parameters are float16; say what its inputs must be like, for instance --input 'float16[N, 3]'"
        in str(result)
    )
