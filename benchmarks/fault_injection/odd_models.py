"""ONNX files that are well-formed and odd, for ``compare``: each is refused with a reason, or compared."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fault_injection.stored_files import run_batch, watch_result
from fault_injection.trial import Trial, fault
from fault_injection.victims import RUNTIME, target

_MANY = 10
#: Each makes a model from onnx's helpers, ``h``, and its types, ``T``; see _WRITE.
MODELS: dict[str, str] = {
    "a sequence as input": "model([sequence], [at], [tensor('y')], [zero])",
    "an optional as input": "model([optional], [h.make_node('OptionalGetElement', ['x'], ['y'])], [tensor('y')])",
    "texts as input": "model([tensor('x', T.STRING)], [same], [tensor('y', T.STRING)])",
    "no inputs": "model([], [h.make_node('Identity', ['one'], ['y'])], [tensor('y')], [one])",
    "no outputs": "model([tensor('x')], [h.make_node('Identity', ['x'], ['y'])], [])",
    "no nodes": "model([tensor('x')], [], [tensor('x')])",
    "a size of 10^12": "model([tensor('x', shape=[10**12])], [add], [tensor('y', shape=[10**12])])",
    "a negative size": "model([tensor('x', shape=[-2])], [add], [tensor('y', shape=[-2])])",
    "65 dimensions": "model([tensor('x', shape=[1] * 65)], [add], [tensor('y', shape=[1] * 65)])",
    "no shape": "model([tensor('x', shape=None)], [add], [tensor('y', shape=None)])",
    "a node of an unknown domain": "model([tensor('x')], [odd], [tensor('y')])",
    "an unknown operator": "model([tensor('x')], [h.make_node('Nothing', ['x'], ['y'])], [tensor('y')])",
    "a circle": "model([tensor('x')], [h.make_node('Add', ['x', 'y'], ['y'])], [tensor('y')])",
    "an output that nothing makes": "model([tensor('x')], [add], [tensor('z')])",
    "twice the same name": "model([tensor('x')], [add, add], [tensor('y')])",
    "opset 9999": "model([tensor('x')], [add], [tensor('y')], opset=9999)",
    "opset 0": "model([tensor('x')], [add], [tensor('y')], opset=0)",
    "IR version 9999": "model([tensor('x')], [add], [tensor('y')], ir=9999)",
    "external data that is not there": "external('nowhere.bin')",
    "external data outside": "external('../../../../etc/passwd')",
    "external data in a device": "external('/dev/zero')",
    "a weight of 10^15 elements": "model([tensor('x')], [add], [tensor('y')], [huge])",
    "a text with a NUL": "model([tensor('x\\0')], [h.make_node('Identity', ['x\\0'], ['y'])], [tensor('y')])",
    "an output of 4 GiB": "model([tensor('x')], [expand], [tensor('y', shape=None)], [large])",
    "a thousand nodes in a row": "row(1000)",
    "twenty graphs in each other": "nested(20)",
}  # fmt: skip
_WRITE = """\
import json, sys
from onnx import TensorProto as T, helper as h

def tensor(name, dtype=T.FLOAT, shape=(2,)):
    return h.make_tensor_value_info(name, dtype, shape)

def model(inputs, nodes, outputs, weights=(), opset=17, ir=8):
    graph = h.make_graph(nodes, "odd", inputs, outputs, list(weights))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=ir)

add = h.make_node("Add", ["x", "x"], ["y"])
same = h.make_node("Identity", ["x"], ["y"])
odd = h.make_node("Odd", ["x"], ["y"], domain="odd")
at = h.make_node("SequenceAt", ["x", "zero"], ["y"])
expand = h.make_node("Expand", ["x", "large"], ["y"])
zero = h.make_tensor("zero", T.INT64, [], [0])
one = h.make_tensor("one", T.FLOAT, [2], [1.0, 1.0])
large = h.make_tensor("large", T.INT64, [3], [1024, 524288, 2])
huge = T(dims=[10**15], data_type=T.FLOAT, name="huge", raw_data=b"0000")
sequence = h.make_tensor_sequence_value_info("x", T.FLOAT, [2])
optional = h.make_value_info("x", h.make_optional_type_proto(h.make_tensor_type_proto(T.FLOAT, [2])))

def external(place):
    weight = T(dims=[2], data_type=T.FLOAT, name="w", data_location=T.EXTERNAL)
    weight.external_data.add(key="location", value=place)
    return model([tensor("x")], [h.make_node("Add", ["x", "w"], ["y"])], [tensor("y")], [weight])

def row(length):
    nodes = [h.make_node("Identity", [f"v{n}"], [f"v{n + 1}"]) for n in range(length)]
    return model([tensor("v0")], nodes, [tensor(f"v{length}")])

def nested(depth):
    graph = h.make_graph([h.make_node("Identity", ["x"], ["b"])], "inner", [], [tensor("b")])
    for number in range(depth):
        node = h.make_node("If", ["yes"], [f"b{number}"], then_branch=graph, else_branch=graph.__class__())
        graph = h.make_graph([node], f"g{number}", [], [tensor(f"b{number}")])
    yes = h.make_tensor("yes", T.BOOL, [], [True])
    return model([tensor("x")], list(graph.node), list(graph.output), [yes])

for path, text in json.load(open(sys.argv[1])).items():
    open(path, "wb").write(eval(text).SerializeToString())
"""


@fault("odd-onnx", "a well-formed ONNX file that is odd, for compare", share=20, each=_MANY)
def _odd_onnx(trial: Trial) -> None:
    chosen = trial.rng.sample(sorted(MODELS), _MANY)
    files = {str(trial.project / f"odd{number}.onnx"): MODELS[words] for number, words in enumerate(chosen)}
    write, wanted = trial.project / "write.py", trial.folder / "wanted.json"
    write.write_text(_WRITE)
    wanted.write_text(json.dumps(files))
    written = trial.start([str(wanted)], program=[str(write)]).finish(trial.limit)
    trial.record.commands.clear()
    if written.code:
        raise RuntimeError(written.output)
    for words, result in zip(chosen, run_batch(trial, _tasks(trial, list(files))), strict=True):
        # The model of the project adds one, and none of these does.
        watch_result(trial, words, result, (1, 2))


def _tasks(trial: Trial, files: Sequence[str]) -> list[list[str]]:
    options = ["--runtime", RUNTIME, "--examples", "2", *trial.limit_words()]
    options += ["--memory", "2GiB"] if "--memory" in trial.undisturbed.options else []
    return [["compare", file, target("sound"), *options] for file in files]
