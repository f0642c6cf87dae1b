"""Reusing the exporter's tables changes nothing but the time."""

import contextlib

import pytest
import torch

from diffexport import Mode, catalogue, exporters
from diffexport.exporters import dynamo
from diffexport.exporters.reuse import reused_tables


def exported(name, mode):
    return exporters.export(catalogue.load(name).build(), (torch.ones(2, 5),), mode).model


class Twice(torch.nn.Module):
    def forward(self, x):
        return torch.ops.diffexport_test.twice(x)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("single_output", "dynamo"),
        ("partial_output", "dynamo-strict,opset=18,dynamic=true"),
        ("clamp", "dynamo,opset=21,optimize=false"),
        ("nested_autograd", "dynamo,opset=13"),
    ],
)
def test_the_graph_is_the_shipped_one_byte_for_byte(name, mode, monkeypatch):
    mode = Mode.parse(mode)
    reused = [exported(name, mode), exported(name, mode)]
    monkeypatch.setattr(dynamo, "reused_tables", contextlib.nullcontext)
    shipped = exported(name, mode)
    assert shipped is not None
    assert reused == [shipped, shipped]


def test_everything_is_put_back():
    from torch.onnx._internal.exporter import _decomp, _registration

    before = (
        _registration.ONNXRegistry.__dict__["from_torchlib"],
        _decomp.create_onnx_friendly_decomposition_table,
        torch._ops.OperatorBase.py_impl,
    )
    with reused_tables() as possible:
        assert possible
        assert _decomp.create_onnx_friendly_decomposition_table is not before[1]
    after = (
        _registration.ONNXRegistry.__dict__["from_torchlib"],
        _decomp.create_onnx_friendly_decomposition_table,
        torch._ops.OperatorBase.py_impl,
    )
    assert after == before


def test_a_missing_private_name_means_the_shipped_path(monkeypatch):
    from torch.onnx._internal.exporter import _decomp

    monkeypatch.delattr(_decomp, "create_onnx_friendly_decomposition_table")
    with reused_tables() as possible:
        assert not possible


def test_an_operator_registered_between_exports_is_treated_as_shipped(monkeypatch):
    first = exported("clamp", Mode("dynamo"))
    library = torch.library.Library("diffexport_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CompositeImplicitAutograd")
    reused = exporters.export(Twice(), (torch.ones(2),), Mode("dynamo"))
    assert exported("clamp", Mode("dynamo")) == first
    monkeypatch.setattr(dynamo, "reused_tables", contextlib.nullcontext)
    shipped = exporters.export(Twice(), (torch.ones(2),), Mode("dynamo"))
    assert (reused.model, reused.failure) == (shipped.model, shipped.failure)
