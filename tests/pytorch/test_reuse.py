"""Reusing the exporter's tables changes nothing but the time."""

import contextlib

import pytest
import torch

from diffexport import Mode
from diffexport.backends import exporters
from diffexport.pytorch import dynamo
from diffexport.pytorch.reuse import reused_tables
from diffexport.subjects import catalogue

#: Each exports by torch.export.
pytestmark = pytest.mark.slow


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
    from torch.export import exported_program as program
    from torch.onnx._internal.exporter import _decomp, _registration

    before = (
        _registration.ONNXRegistry.__dict__["from_torchlib"],
        _decomp.create_onnx_friendly_decomposition_table,
        program._override_composite_implicit_decomp,
        program._split_decomp_table_to_cia_and_python_decomp,
    )
    with reused_tables() as possible:
        assert possible
        assert _decomp.create_onnx_friendly_decomposition_table is not before[1]
    after = (
        _registration.ONNXRegistry.__dict__["from_torchlib"],
        _decomp.create_onnx_friendly_decomposition_table,
        program._override_composite_implicit_decomp,
        program._split_decomp_table_to_cia_and_python_decomp,
    )
    assert after == before


def kernels_and_rules():
    from torch._subclasses.fake_impls import op_implementations_dict

    names = [(space, name) for space in ("aten", "prim") for name in dir(getattr(torch.ops, space))]
    packets = [getattr(getattr(torch.ops, space), name) for space, name in names]
    packets = [packet for packet in packets if isinstance(packet, torch._ops.OpOverloadPacket)]
    ops = [getattr(packet, name) for packet in packets for name in packet.overloads()]
    return {op: dict(op.py_kernels) for op in ops}, dict(op_implementations_dict)


def test_operators_are_left_as_the_shipped_export_leaves_them(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(dynamo, "reused_tables", contextlib.nullcontext)
        exported("clamp", Mode("dynamo"))
        kernels, rules = kernels_and_rules()
    exported("clamp", Mode("dynamo"))
    exported("clamp", Mode("dynamo"))
    assert len(kernels) > 1000
    assert kernels_and_rules() == (kernels, rules)


def test_while_exporting_operators_are_overridden_as_shipped(monkeypatch):
    import torch.export._trace as trace

    seen = []
    shipped = trace._export_to_aten_ir

    def spy(*args, **kwargs):
        kernels, rules = kernels_and_rules()
        seen.append(({op: sorted(map(str, own)) for op, own in kernels.items()}, set(rules)))
        return shipped(*args, **kwargs)

    exported("clamp", Mode("dynamo"))
    monkeypatch.setattr(trace, "_export_to_aten_ir", spy)
    exported("clamp", Mode("dynamo"))
    monkeypatch.setattr(dynamo, "reused_tables", contextlib.nullcontext)
    exported("clamp", Mode("dynamo"))
    assert len(seen) == 2
    assert seen[0] == seen[1]


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
