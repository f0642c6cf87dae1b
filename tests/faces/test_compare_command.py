"""``diffexport compare``: an ONNX file and the model it is said to be of."""

import json
import shlex
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from diffexport.arrays.inputs import as_call
from diffexport.pipeline import Pipeline
from diffexport.subjects import catalogue
from diffexport.tools.mutate.surgery import Draft
from diffexport.values.mode import Mode

PLAIN = """
import torch

class Twice(torch.nn.Module):
    def forward(self, a, b):
        return 2 * a - b, a + b

class Drop(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, a):
        return self.drop(a)
"""
QUICK = ("--runtime", "ort-disabled", "--examples", "40", "-j0")


def value(name, *dims, dtype=TensorProto.FLOAT):
    return make_tensor_value_info(name, dtype, dims)


def save(path, nodes, inputs, outputs, *, constants=(), **options):
    graph = make_graph(nodes, "g", inputs, outputs, initializer=list(constants))
    proto = make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(proto)
    onnx.save_model(proto, str(path), **options)
    return path


def twice(path, *, dims=("N", "M"), order=("a", "b"), outputs=("first", "second"), scale=2.0, **options):
    """Twice as a graph whose inputs and outputs come in any order."""
    return save(
        path,
        [
            make_node("Mul", ["a", "two"], ["doubled"]),
            make_node("Sub", ["doubled", "b"], ["first"]),
            make_node("Add", ["a", "b"], ["second"]),
        ],
        [value(name, *dims) for name in order],
        [value(name, *dims) for name in outputs],
        constants=[numpy_helper.from_array(np.float32(scale), "two")],
        **options,
    )


@pytest.fixture
def compare(cli, project):
    (project / "plain.py").write_text(PLAIN)

    def run(*args, code, quick=QUICK):
        file = project / "report.json"
        ran = cli("compare", *args, *quick, "--json", file, code=code)
        return ran, json.loads(file.read_text())

    return run


def exported(name, mode):
    args = as_call((np.ones((2, 4), np.float32),))
    return Pipeline().export(catalogue.load(name), Mode.parse(mode), args).export.model


@pytest.fixture(scope="module")
def models():
    modes = {
        "torchscript": "clamp",
        "torchscript,dynamic=true": "partial_output",
        "dynamo,dynamic=true": "clamp",
    }
    return {mode: (name, exported(name, mode)) for mode, name in modes.items()}


@pytest.mark.parametrize("mode", ["torchscript", "torchscript,dynamic=true", "dynamo,dynamic=true"])
def test_an_untouched_export_agrees_or_is_known(compare, project, models, mode):
    name, model = models[mode]
    (project / "m.onnx").write_bytes(model)
    ran, report = compare("m.onnx", name, code=0)
    assert [r["mode"] for r in report["results"]] == [mode]
    assert report["artefact"] == "m.onnx"
    assert not report["divergences"]
    known = [r for r in report["results"] if r["known"]]
    assert bool(known) is mode.startswith("torchscript")
    assert f"diffexport: m.onnx against {name}" in ran.out
    assert ran.out.rstrip().endswith("all as expected")


def test_who_exported_a_file_need_not_be_said(compare, project, models):
    name, model = models["torchscript"]
    proto = onnx.load_model_from_string(model)
    proto.producer_name, proto.ir_version = "", 10
    for node in proto.graph.node:
        node.name = ""
    onnx.save_model(proto, str(project / "m.onnx"))
    _, report = compare("m.onnx", name, code=0)
    assert [list(r["known"]) for r in report["results"]] == [["clip-without-max-saturates"]]
    compare("m.onnx", name, "--mode", "dynamo", code=1)


PLANTS = {
    "scaled": lambda n, x: n("Mul", x, n.constant(1 + 1e-4, np.float32)),
    "clipped": lambda n, x: n("Min", x, n.constant(100, np.float32)),
    "at one value": lambda n, x: n(
        "Where", n("Equal", x, n.constant(0.3, np.float32)), n.constant(1, np.float32), x
    ),
    "frozen": lambda n, x: n("Expand", x, n.constant([2, 1])),
}


@pytest.mark.parametrize("mode", ["torchscript", "torchscript,dynamic=true", "dynamo,dynamic=true"])
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_found_and_no_known_divergence_hides_it(compare, project, models, mode, plant):
    name, model = models[mode]
    if plant == "frozen" and "dynamic" not in mode:
        pytest.skip("the dimensions are frozen anyway")
    draft = Draft(model)

    def edit(copy):
        copy.insert(copy.outputs[0], PLANTS[plant])
        copy.free_sizes()

    (project / "m.onnx").write_bytes(draft.changed(edit))
    ran, report = compare("m.onnx", name, "--fail-fast", code=1)
    assert report["exit_code"] == 1
    assert report["divergences"]
    assert ran.out.rstrip().endswith("FINDINGS")


def test_a_finding_is_minimal_and_its_line_finds_it_again(compare, project, cli):
    twice(project / "m.onnx", scale=2.001)
    ran, report = compare("m.onnx", "plain.py:Twice", code=1)
    (found,) = [d for d in report["divergences"] if d["kind"] == "value"]
    assert [x["reads"] for x in found["inputs"]] == ["[[1]]", "[[0]]"]
    assert (found["where"], found["shrunk"], found["regression"]) == ("output[0]", True, None)
    assert "  file            m.onnx on ort-disabled" in ran.out
    assert "exported with" not in ran.out
    assert "minimal input   [[1]] float32[1, 1], [[0]] float32[1, 1]" in ran.out
    words = shlex.split(found["reproduce"])
    assert words[:4] == ["diffexport", "compare", "m.onnx", "plain.py:Twice"]
    again = cli(*words[1:], "-j0", code=1)
    assert "minimal input   [[1]] float32[1, 1], [[0]] float32[1, 1]" in again.out


def test_the_file_says_what_a_model_without_specs_takes(compare, project):
    twice(project / "m.onnx", dims=("N", 3))
    _, report = compare("m.onnx", "plain.py:Twice", code=0)
    assert [r["verdict"] for r in report["results"]] == ["agrees"]
    # Any two shapes would mostly be rejected.
    assert report["results"][0]["rejected"] == 0
    assert report["results"][0]["checks"] > 100


def test_inputs_and_outputs_are_mapped_by_position_or_by_name(compare, project):
    twice(project / "m.onnx", order=("b", "a"), outputs=("second", "first"))
    compare("m.onnx", "plain.py:Twice", "--fail-fast", code=1)
    compare("m.onnx", "plain.py:Twice", "--input-name", "a", "--fail-fast", code=1)
    outputs = ("--output-name", "first", "--output-name", "second")
    for names in (["a", "b"], ["a=a"], ["1=b"]):
        inputs = [word for name in names for word in ("--input-name", name)]
        compare("m.onnx", "plain.py:Twice", *inputs, *outputs, code=0)
    _, report = compare("m.onnx", "plain.py:Twice", "--input-name", "a", "--output-name", "first", code=1)
    assert {d["kind"] for d in report["divergences"]} == {"structure"}


def test_external_data_are_found_beside_the_file(compare, project):
    folder = project / "models"
    folder.mkdir()
    twice(folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (folder / "w.bin").exists()
    compare("models/m.onnx", "plain.py:Twice", code=0)


def test_the_model_is_evaluated(compare, project):
    save(project / "m.onnx", [make_node("Identity", ["x"], ["y"])], [value("x", "N")], [value("y", "N")])
    compare("m.onnx", "plain.py:Drop", code=0)


def test_a_wrong_type_is_a_finding(compare, project):
    save(
        project / "m.onnx",
        [make_node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE)],
        [value("x", "N")],
        [value("y", "N")],
    )
    _, report = compare("m.onnx", "plain.py:Drop", code=1)
    assert "checker-error" in {d["kind"] for d in report["divergences"]}


def test_a_note_fails_when_strict(compare, project):
    zero = numpy_helper.from_array(np.float32(0), "zero")
    save(
        project / "m.onnx",
        [make_node("Add", ["x", "zero"], ["y"])],
        [value("x", "N")],
        [value("y", "N")],
        constants=[zero],
    )
    compare("m.onnx", "plain.py:Drop", code=0)
    _, report = compare("m.onnx", "plain.py:Drop", "--strict", code=1)
    (found,) = report["divergences"]
    assert found["kind"] == "sign-of-zero"
    assert found["reproduce"].endswith("--strict")


def test_a_worker_does_the_same(compare, project):
    twice(project / "m.onnx", scale=2.001)
    args = ("m.onnx", "plain.py:Twice")
    here, there = (compare(*args, code=1, quick=(*QUICK[:4], "-j", jobs))[1] for jobs in ("0", "1"))
    assert [d["id"] for d in here["divergences"]] == [d["id"] for d in there["divergences"]]


WRONG = {
    "no file": (["absent.onnx", "clamp"], "absent.onnx: there is no such file"),
    "not onnx": (["plain.py", "clamp"], "plain.py: not an ONNX model"),
    "target": (["m.onnx", "clmp"], "unknown case 'clmp'"),
    "attribute": (["m.onnx", "plain.py:Twize"], "unknown attribute 'Twize'"),
    "count": (
        ["m.onnx", "clamp"],
        "m.onnx has 2 inputs ('a', 'b'), but clamp takes 1 tensor; say with --input",
    ),
    "counted specs": (
        ["m.onnx", "plain.py:Twice", "--input", "float32[N]"],
        "--input gives 1 tensor",
    ),
    "dtype": (
        ["m.onnx", "plain.py:Twice", *["--input", "int64[N, M]"] * 2],
        "input 0 ('a'): --input says int64[N, M], the file declares float32[N, M]",
    ),
    "rank": (
        ["m.onnx", "plain.py:Twice", *["--input", "float32[N]"] * 2],
        "the number of dimensions does not fit",
    ),
    "input name": (["m.onnx", "plain.py:Twice", "--input-name", "c"], "unknown graph input 'c'"),
    "argument": (["m.onnx", "plain.py:Twice", "--input-name", "z=a"], "unknown argument 'z'"),
    "output name": (["m.onnx", "plain.py:Twice", "--output-name", "c"], "unknown graph output 'c'"),
    "runtime": (["m.onnx", "plain.py:Twice", "--runtime", "tvm"], "unknown runtime 'tvm'"),
    "mode": (["m.onnx", "plain.py:Twice", "--mode", "torchscrip"], "unknown exporter 'torchscrip'"),
    "spec": (["m.onnx", "plain.py:Twice", "--input", "float33"], "unknown dtype 'float33'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use(cli, project, name):
    (project / "plain.py").write_text(PLAIN)
    twice(project / "m.onnx")
    arguments, message = WRONG[name]
    ran = cli("compare", *arguments, "-j0", code=2)
    assert message in ran.err
    assert not ran.out


def test_a_model_that_always_raises_is_not_tested(compare, project):
    (project / "raises.py").write_text(
        "import torch\nclass Model(torch.nn.Module):\n    def forward(self, a):\n        raise ValueError('no')\n"
    )
    save(project / "m.onnx", [make_node("Identity", ["x"], ["y"])], [value("x", "N")], [value("y", "N")])
    ran, report = compare("m.onnx", "raises.py:Model", code=2)
    assert "the model raises in eager on every one of" in report["errors"][0]["message"]
    assert ran.out.rstrip().endswith("NOT TESTED")


def test_a_file_exported_by_torch_itself_with_names_of_its_own(compare, project):
    class Twice(torch.nn.Module):
        def forward(self, a, b):
            return 2 * a - b, a + b

    args = (torch.ones(2, 3), torch.ones(2, 3))
    names = {"input_names": ["left", "right side"], "output_names": ["out/1", "_2"]}
    axes = {"left": {0: "batch size"}, "right side": {0: "batch size"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Twice(), args, project / "m.onnx", dynamo=False, dynamic_axes=axes, **names)
    compare("m.onnx", "plain.py:Twice", code=0)
