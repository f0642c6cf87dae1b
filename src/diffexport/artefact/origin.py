"""Who exported a model, and how: guessed from what exporters leave in it.

Known divergences are stated over modes, so that a file needs one. The guess can be overruled on the command line.

Measured on torch 2.13: both exporters call themselves ``pytorch``. The TorchScript exporter writes IR version 9 and
older; nodes are called ``/Exp``. The exporters built on ``torch.export`` write IR version 10 and (unless the version
was converted) metadata named ``pkg.torch``; nodes are called ``node_Exp_0``. Strict or not cannot be told.
"""

from __future__ import annotations

from typing import Any

from diffexport.mode import DEFAULT_OPSET, OPSETS, Mode


def mode_of(proto: Any) -> Mode:
    """Return the mode that a model was probably exported in; of its options the opset and dynamic axes alone."""
    exporter = exporter_of(proto)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    initializers = {tensor.name for tensor in proto.graph.initializer}
    free = any(
        not value.type.tensor_type.HasField("shape")
        or any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
        for value in proto.graph.input
        if value.name not in initializers
    )
    return Mode(exporter, opset=opset if opset in OPSETS[exporter] else DEFAULT_OPSET, dynamic=free)


def exporter_of(proto: Any) -> str:
    """Return the name of the exporter that a model most resembles the output of; ``dynamo`` where nothing tells."""
    nodes = proto.graph.node
    if any(entry.key.startswith("pkg.torch") for node in nodes for entry in node.metadata_props):
        return "dynamo"
    if any(node.name.startswith("/") for node in nodes):
        return "torchscript"
    if proto.producer_name == "pytorch" and proto.ir_version < 10:
        return "torchscript"
    return "dynamo"
