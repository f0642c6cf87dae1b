"""What onnx.checker says of one thing under several names of nodes is one cause."""

import pytest

from diffexport.explore.cause_making import without_node_names

SAYS = (
    "onnx.checker rejects the model: Mismatched attribute type in '{}'. Expected: 'TENSOR', actual: 'STRING'"
)


def said(name):
    return without_node_names(SAYS.format(name))


@pytest.mark.parametrize(
    "name", ["Constant_14 : value", "/net/layers.0/self_attn/Constant_4 : value", "Constant : value"]
)
def test_names_of_nodes_do_not_count(name):
    assert said(name) == said("/Constant : value")


@pytest.mark.parametrize("name", ["/net/Cast_4 : value", "/net/Constant_4 : other"])
def test_kinds_and_attributes_do(name):
    assert said(name) != said("/net/Constant_4 : value")


def test_only_what_is_said_first_counts():
    text = "No Op registered for {} with domain_version of 8\n==> Context: Bad node spec for node. Name: {}"
    assert without_node_names(text.format("Erf", "/a")) == without_node_names(text.format("Erf", "/b"))
    assert without_node_names(text.format("Erf", "/a")) != without_node_names(text.format("Elu", "/a"))
