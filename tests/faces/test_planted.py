"""Bugs planted in models of one's own: each fails the run, with the minimal input, kind and stage."""

import pytest

from diffexport import make_case, rule
from diffexport.values.verdict import Kind, Stage

DYNAMIC = ("--modes", "torchscript,dynamic=true", "--runtime", "ort-disabled", "--jobs", "0")


def test_add_where_forward_subtracts(check):
    inputs = ("--input", "float32[...B]") * 2
    ran = check("models.py:AddForSubtract", *inputs, "--examples", "64", code=1)
    assert ("compare", "value", "0", "1") in ran.summary()
    (value,) = (d for d in ran.divergences if d["kind"] == "value")
    assert [x["values"] for x in value["eager"]] == [["-0x1p+0"]]
    assert [x["values"] for x in value["got"]] == [["0x1p+0"]]
    assert (value["mode"], value["runtime"], value["where"]) == ("torchscript", "ort-disabled", "output[0]")
    assert value["exporters"] == ["torchscript"]
    assert value["shrunk"]
    because = "`symbolic` of Subtract: exported without, inlined, it agrees"
    assert value["blame"] == {"stage": "conversion", "because": because}
    assert f"to blame        conversion: {because}" in ran.out
    assert "minimal input   0 float32[], 1 float32[]" in ran.out
    assert "eager           -1 float32[]" in ran.out
    assert "ort-disabled    1 float32[]" in ran.out
    assert ran.out.rstrip().endswith("FINDINGS")
    # a + b and a - b also differ in infinities and NaN: that has the same cause, and is told under it.
    assert len(ran.divergences) == len(ran.files) == 1
    faces = [(face["kind"], face["signature"]) for face in value["faces"]]
    assert len(set(faces)) == len(faces)
    assert set(faces) == {
        ("infinity", "finite→inf"),
        ("infinity", "finite→-inf"),
        ("infinity", "inf→-inf"),
        ("infinity", "-inf→inf"),
        ("infinity", "-inf→finite"),
        ("nan-placement", "NaN lost"),
        ("nan-placement", "NaN gained"),
    }


def test_swapped_outputs(check):
    ran = check("models.py:SwappedOutputs", code=1)
    assert ran.summary() == {("compare", "structure", "0")}
    assert "the outputs come in another order than in eager" in ran.out
    assert "to blame        conversion: `symbolic` of Pair" in ran.out
    assert len(ran.files) == 1


def test_a_dimension_baked_in_at_export(check):
    ran = check("models.py:BakedDimension", "--examples", "64", cheap=DYNAMIC, code=1)
    (found,) = ran.divergences
    assert (found["stage"], found["kind"]) == ("compare", "value")
    # In the mode that was asked for, though another exporter is the simpler one.
    assert found["mode"] == "torchscript,dynamic=true"
    (ran_on,), (exported,) = found["inputs"], found["export_inputs"]
    assert (exported["shape"], ran_on["shape"]) == ([2], [1])
    assert ran_on["values"] == ["0x0p+0"]
    assert found["blame"]["stage"] == "capture"
    assert f"exported with   {exported['reads']} float32{exported['shape']}" in ran.out


def test_a_reshape_baked_in_at_export(check):
    ran = check("models.py:BakedReshape", cheap=DYNAMIC, code=1)
    kinds = {(d["stage"], d["kind"]) for d in ran.divergences}
    assert ("run", "run-error") in kinds
    (error,) = (d for d in ran.divergences if d["kind"] == "run-error")
    assert error["inputs"][0]["shape"] != error["export_inputs"][0]["shape"]
    assert sum(error["inputs"][0]["shape"]) <= 2
    assert set(error["inputs"][0]["values"]) <= {"0x0p+0"}


def test_what_is_baked_in_agrees_where_shapes_are_static(check):
    ran = check("models.py:BakedDimension", code=0)
    assert not ran.divergences
    assert not ran.files
    assert [r["verdict"] for r in ran.report["results"]] == ["agrees"]


def test_one_element_suffices_where_dimensions_are_shared(check):
    ran = check("models.py:AddForSubtract", "--input", "int32[N]", "--input", "int32[N]", code=1)
    assert ran.summary() == {("compare", "value", "[0]", "[1]")}


def expecting(name, *arguments, **options):
    from torch import nn

    class Identity(nn.Module):
        def forward(self, a):
            return a + 1

    return make_case(name, Identity, inputs=["float32[N]"], rules=[rule("own", *arguments, **options)])


@pytest.fixture
def only(explore):
    """The one finding of a case in one mode: its stage, kind and message."""

    def run(case, mode="torchscript"):
        findings, _ = explore(case, mode)
        return [(f.divergence.stage, f.divergence.kind, f.divergence.message) for f in findings]

    return run


def test_a_refusal_that_does_not_come(only):
    ((stage, kind, message),) = only(expecting("refuses-never", "torchscript", "refuses", error="Python"))
    assert (stage, kind) == (Stage.CONVERT, Kind.UNEXPECTED_SUCCESS)
    assert message == "the export succeeds, though it is expected to refuse (own)"


def test_a_runtime_that_loads_what_it_should_not(only):
    ((stage, kind, message),) = only(expecting("loads-anyway", "torchscript", "unloadable"))
    assert (stage, kind) == (Stage.LOAD, Kind.UNEXPECTED_SUCCESS)
    assert message == "ort-disabled loads the model, though it is expected to refuse (own)"


def test_node_kinds_that_are_not_there(only):
    case = expecting("lacks-nodes", "torchscript", "unloadable", nodes=["prim::PythonOp"])
    _, kind, message = only(case)[0]
    assert kind is Kind.GRAPH_CONTRACT
    assert "prim::PythonOp" in message


@pytest.mark.parametrize(("error", "found"), [("Couldn't export Python operator", 0), ("another text", 1)])
def test_a_refusal_with_its_own_text_or_another(only, error, found):
    from torch import nn
    from torch.autograd import Function

    class Opaque(Function):
        @staticmethod
        def forward(ctx, a):
            return a + 1

    class Model(nn.Module):
        def forward(self, a):
            return Opaque.apply(a)

    mode = "torchscript,autograd_inlining=false"
    own = rule("own", mode, "refuses", error=error)
    seen = only(make_case(f"refuses-{found}", Model, inputs=["float32[N]"], rules=[own]), mode)
    assert len(seen) == found
    for stage, kind, message in seen:
        assert kind is Kind.EXPORT_ERROR
        assert stage in (Stage.CAPTURE, Stage.CONVERT)
        assert message.startswith("the export refuses otherwise than expected (own): ")
        assert "Couldn't export Python operator" in message


def test_a_rule_is_for_its_modes_alone(explore):
    case = expecting("opset-9-refuses", "torchscript,opset=9", "refuses", error="Python")
    findings, rows = explore(case, "torchscript,opset=9", "torchscript,opset=10")
    assert [finding.mode for finding in findings] == ["torchscript,opset=9"]
    assert [(mode, row.verdict) for mode, row in rows] == [
        ("torchscript,opset=9", "diverges"),
        ("torchscript,opset=10", "agrees"),
    ]
