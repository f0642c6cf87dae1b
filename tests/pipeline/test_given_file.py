"""A model that exists takes the place of every export; all other stages are the ordinary ones."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from diffexport import Mode, Outcome, make_case
from diffexport.backends.model_files import Artefact
from diffexport.pipeline import Pipeline

MODE, OTHER = Mode("dynamo"), Mode("torchscript")
INPUTS = (np.array([1, -2], np.float32),)


class Two(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x), torch.nn.functional.dropout(x, training=self.training)


CASE = make_case("two", Two, inputs=["float32[2]"], traits=())


def model(first="Relu"):
    """A model that gives the outputs of Two the other way round, with one that nobody asks for between them."""
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("same", "no", "relu")]
    nodes = [
        helper.make_node("Identity", ["given"], ["same"]),
        helper.make_node("Neg", ["given"], ["no"]),
        helper.make_node(first, ["given"], ["relu"]),
    ]
    given = [helper.make_tensor_value_info("given", TensorProto.FLOAT, [2])]
    graph = helper.make_graph(nodes, "graph", given, outputs)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def given(first="Relu", order=(2, 0), **options):
    return Artefact(model(first), MODE, ("given",), order, **options)


def test_the_outputs_are_compared_in_the_order_that_is_asked_for():
    pipeline = Pipeline.of_file(given())
    for mode in (MODE, OTHER):
        verdicts = pipeline.check_runtimes(CASE, mode, ("ort-all", "reference"), INPUTS)
        assert [verdict.outcome for verdict in verdicts] == [Outcome.AGREES] * 2
        assert [array.tolist() for array in verdicts[0].got] == [[1, 0], [1, -2]]
    assert Pipeline.of_file(given(order=(0, 2))).check(CASE, MODE, "ort-all", INPUTS).divergences


def test_a_wrong_model_diverges():
    verdict = Pipeline.of_file(given("Abs")).check(CASE, MODE, "ort-all", INPUTS)
    assert verdict.outcome is Outcome.DIVERGES


def test_what_is_said_of_a_file_differs_from_what_is_said_of_an_export():
    file, fresh = Pipeline.of_file(given(others=(OTHER,))), Pipeline()
    assert file.same_in_every_mode
    assert not fresh.same_in_every_mode
    assert file.known_modes(MODE) == (MODE, OTHER)
    assert fresh.known_modes(MODE) == (MODE,)


def test_the_modules_of_another_pipeline_are_used_so_that_they_are_built_once():
    fresh = Pipeline()
    file = Pipeline.of_file(given(), beside=fresh)
    assert file.prepare(CASE) is fresh.prepare(CASE)


def test_blocks_are_counted():
    pipeline = Pipeline.of_file(given())
    for _ in range(2):
        with pipeline.block(CASE, MODE, ("ort-all",)) as block:
            list(block.each([INPUTS] * 3))
    assert pipeline.blocks == 2
