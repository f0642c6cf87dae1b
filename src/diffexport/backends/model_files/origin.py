"""Who exported a model, and how: guessed from what exporters leave in it.

Known divergences are stated over modes, so that a file needs one. The guess can be overruled on the command line.

Measured on torch 2.13: both exporters call themselves ``pytorch``. The TorchScript exporter writes IR version 9 and
older; nodes are called ``/Exp``. The exporters built on ``torch.export`` write IR version 10 and (unless the version
was converted) metadata named ``pkg.torch``; nodes are called ``node_Exp_0``. Strict or not cannot be told.
"""

from __future__ import annotations

from typing import Any

from diffexport.values import DEFAULT_OPSET, Mode, describe


def modes_of(proto: Any) -> tuple[Mode, ...]:
    """Return the modes that a model may have been exported in, the likeliest first; several where nothing tells.

    Of the options only the opset and free dimensions are known.
    """
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    initializers = {tensor.name for tensor in proto.graph.initializer}
    free = any(
        not value.type.tensor_type.HasField("shape")
        or any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
        for value in proto.graph.input
        if value.name not in initializers
    )
    return tuple(
        Mode(exporter, opset=opset if opset in describe(exporter).opsets else DEFAULT_OPSET, dynamic=free)
        for exporter in exporters_of(proto)
    )


def exporters_of(proto: Any) -> tuple[str, ...]:
    """Return the exporters that a model may be the output of."""
    nodes = proto.graph.node
    if any(entry.key.startswith("pkg.torch") for node in nodes for entry in node.metadata_props):
        return ("dynamo",)
    if any(node.name.startswith("/") for node in nodes):
        return ("torchscript",)
    if proto.producer_name == "pytorch":
        return ("torchscript",) if proto.ir_version < 10 else ("dynamo",)
    return ("dynamo", "torchscript")
