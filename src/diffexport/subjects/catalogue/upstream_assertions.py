"""What PyTorch's own export tests assert of a graph; each returns what is wrong, empty where it holds."""

from __future__ import annotations

import onnx


def scalar_is_attribute(model: onnx.ModelProto) -> str:
    """Return what is wrong unless each Clip has one input, and 2 as its attribute min."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    clips = [node for node in nodes if node.op_type == "Clip"]
    given = [{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in clips]
    inputs = [len(node.input) for node in clips]
    return "" if given == [{"min": 2.0}] and inputs == [1] else f"Clips have {inputs} inputs and {given}"


def custom_pair_comes_first(model: onnx.ModelProto) -> str:
    """Return what is wrong unless the first node is the custom one, with two outputs, in version 2 of its domain."""
    first = model.graph.node[0]
    versions = {entry.domain: entry.version for entry in model.opset_import}
    seen = (first.domain, first.op_type, len(first.output), versions.get("CustomNamespace"))
    return "" if seen == ("CustomNamespace", "Custom", 2, 2) else f"it is {seen}"


def python_op_comes_first(model: onnx.ModelProto) -> str:
    """Return what is wrong unless the first node is the Python operator."""
    first = model.graph.node[0]
    return (
        ""
        if (first.domain, first.op_type) == ("prim", "PythonOp")
        else f"it is {first.domain}::{first.op_type}"
    )


def modules_tell_them_apart(model: onnx.ModelProto) -> str:
    """Return what is wrong unless the two Python operators are of different modules."""
    nodes = [node for node in model.graph.node if node.op_type == "PythonOp"]
    modules = [a.s.decode() for node in nodes for a in node.attribute if a.name == "module"]
    return "" if len(nodes) == len(set(modules)) == 2 else f"there are {len(nodes)}, of the modules {modules}"


def shape_is_not_frozen(model: onnx.ModelProto) -> str:
    """Return what is wrong if a constant holds the three sizes that the output is reshaped to."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    tensors = [
        a.t for node in nodes if node.op_type == "Constant" for a in node.attribute if a.name == "value"
    ]
    values = [onnx.numpy_helper.to_array(tensor) for tensor in (*tensors, *model.graph.initializer)]
    frozen = [value.tolist() for value in values if value.dtype == "int64" and value.shape == (3,)]
    return f"constants hold the sizes {frozen}" if any(min(sizes) >= 0 for sizes in frozen) else ""


def aten_node_is_add(model: onnx.ModelProto) -> str:
    """Return what is wrong unless the ATen node names the operator add."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    asked = [
        a.s.decode()
        for node in nodes
        if node.op_type == "ATen"
        for a in node.attribute
        if a.name == "operator"
    ]
    return "" if asked == ["add"] else f"ATen nodes name {asked}"
