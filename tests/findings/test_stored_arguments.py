"""Arguments in regression files, reports and scripts: what is read back is what was stored."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffexport import Call, Divergence, Kind, Mode, Stage
from diffexport.arrays.inputs import array_of
from diffexport.errors import RegressionFileError
from diffexport.explore.smaller_inputs import same_inputs
from diffexport.findings.events.events import Finding
from diffexport.findings.regressions import Regression, load, loads, save
from diffexport.findings.regressions.finding_store import FindingStore
from diffexport.findings.regressions.format import SUFFIX, dumps
from diffexport.findings.regressions.recording import regression_of
from diffexport.findings.regressions.stored_arguments import is_tensor
from diffexport.findings.reports.descriptions import describe, values
from diffexport.findings.reports.json_report import divergence_document
from diffexport.findings.reports.tally import Tally
from diffexport.values.call import paths
from diffexport.values.place import Place
from diffexport.values.verdict import Identity

ARRAY = np.array([1, 2], np.float32)
GRADIENT = torch.ones(2, 3).t().requires_grad_()
PLACED = torch.arange(8.0)[3:5]
CALL = Call(
    (ARRAY, (GRADIENT, [None, "text", {"deep": ARRAY}])),
    {"shape": (1, 2), "mask": PLACED, "again": PLACED, "scale": 2.5, "flag": True, "many": np.arange(300.0)},
)


def regression(inputs=CALL, **changes) -> Regression:
    stored = Regression(
        "model",
        "models.py:model",
        Mode("torchscript"),
        "ort-disabled",
        Stage.COMPARE,
        Kind.VALUE,
        Place.output(0),
        "finite→finite",
        "differs",
        inputs,
        inputs,
    )
    return replace(stored, **changes)


def same(one, other) -> None:
    mine, theirs = list(paths(one)), list(paths(other))
    assert [path for path, _ in mine] == [path for path, _ in theirs]
    for (_, a), (_, b) in zip(mine, theirs, strict=True):
        assert type(a) is type(b)
        if is_tensor(a):
            assert array_of(a).tobytes() == array_of(b).tobytes()
            assert array_of(a).strides == array_of(b).strides
        else:
            assert a == b
    of = [
        [n for n, (_, x) in enumerate(leaves) for (_, y) in leaves[:n] if x is y and is_tensor(x)]
        for leaves in (mine, theirs)
    ]
    assert of[0] == of[1]


def test_a_call_is_read_back_as_it_was(tmp_path: Path):
    path, _ = save(regression(), tmp_path)
    got = load(path)
    same(got.inputs, CALL)
    same(got.export_inputs, CALL)
    assert got.inputs.args[1][0].requires_grad
    assert got.inputs.args[1][0].stride() == (1, 3)
    assert got.inputs.kwargs["mask"].storage_offset() == 3
    assert got.inputs.kwargs["mask"] is got.inputs.kwargs["again"]
    assert got.inputs.args[0] is got.inputs.args[1][1][2]["deep"]
    assert len(list(tmp_path.glob("*.npy"))) == 2
    assert got.size == regression().size
    document = json.loads(path.read_text())
    assert list(document["kwargs"]) == list(CALL.kwargs)
    assert document["kwargs"]["again"]["same_as"] == 3
    assert document["kwargs"]["mask"]["offset"] == 3


def test_fields_that_say_nothing_are_left_out():
    text, _ = dumps(regression((ARRAY, ARRAY.copy(), 1)), "stem")
    for field in ("kwargs", "requires_grad", "offset", "same_as"):
        assert field not in text


STORED = sorted(Path(__file__).parents[1].joinpath("regressions").rglob(f"*{SUFFIX}"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name[:40])
def test_files_stored_before_stay_as_they_are(path: Path):
    assert dumps(load(path), path.name.removesuffix(SUFFIX))[0] == path.read_text()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("same_as", 1, "inputs[1]: same_as 1: no tensor of that number comes before"),
        ("same_as", -1, "inputs[1]: same_as -1: no tensor of that number comes before"),
        ("same_as", 0, "inputs[1]: same_as 0: that tensor is another one"),
        ("offset", -1, "inputs[1]: offset -1 is negative or too large"),
        ("offset", 2**60, "inputs[1]: offset 1152921504606846976 is negative or too large"),
        ("requires_grad", True, "inputs[1]: a tensor of int64 cannot require a gradient"),
        ("unknown", True, "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_refused(field: str, value: object, message: str):
    document = json.loads(dumps(regression((ARRAY, np.array([3]))), "stem")[0])
    document["inputs"][1][field] = value
    with pytest.raises(RegressionFileError) as error:
        loads(json.dumps(document), Path("file.json"))
    assert message in str(error.value)


def test_bad_keywords_are_named():
    document = json.loads(dumps(regression(), "stem")[0])
    document["kwargs"]["scale"] = {"type": "float", "value": "2.5"}
    with pytest.raises(
        RegressionFileError, match=r"file.json: kwargs\[scale\]: '2.5' is not a hexadecimal float"
    ):
        loads(json.dumps(document), Path("file.json"))
    document["kwargs"]["scale"] = {"type": "dict", "value": [1]}
    with pytest.raises(RegressionFileError, match=r"kwargs\[scale\]: a dict needs an object of values"):
        loads(json.dumps(document), Path("file.json"))


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({1: ARRAY}, "a dict with other keys than texts cannot be stored"),
        (namedtuple("Pair", "a b")(1, 2), "an argument of type Pair cannot be stored"),
        (object(), "an argument of type object cannot be stored"),
    ],
)
def test_what_cannot_be_stored_is_said(argument: object, said: str):
    with pytest.raises(RegressionFileError, match=said):
        dumps(regression((argument,)), "stem")


def finding(inputs=CALL) -> Finding:
    identity = Identity(
        "model", "torchscript", "ort-disabled", Stage.COMPARE, Kind.VALUE, Place.output(0), ""
    )
    divergence = Divergence(Stage.COMPARE, Kind.VALUE, Place.output(0), "", "differs")
    return Finding(
        identity, "model", "torchscript", "ort-disabled", divergence, inputs, inputs, (ARRAY,), (ARRAY,)
    )


def test_the_terminal_shows_every_argument():
    shown = values(CALL)
    assert shown.startswith(
        "[1, 2] float32[2], ([[1, 1], [1, 1], [1, 1]] float32[3, 2] requires_grad with strides [1, 3], [None, 'text', "
    )
    assert "{'deep': [1, 2] float32[2] (the same as x0)}])" in shown
    assert (
        "shape=(1, 2), mask=[3, 4] float32[2] at offset 3, again=[3, 4] float32[2] at offset 3 (the same as x3)"
        in shown
    )
    assert "scale=2.5, flag=True" in shown
    assert "exported with" not in "\n".join(describe(finding(), Tally(), FindingStore()))


def test_the_report_holds_every_argument():
    document = json.loads(json.dumps(divergence_document(finding(), Tally(), FindingStore())))
    assert [argument.get("reads") for argument in document["inputs"]] == ["[1, 2]", None]
    assert document["inputs"][1]["items"][0]["requires_grad"] is True
    assert document["inputs"][1]["items"][1]["items"][2]["items"]["deep"]["same_as"] == 0
    assert document["kwargs"]["again"]["same_as"] == 3
    assert document["kwargs"]["scale"] == {"type": "float", "value": "2.5"}
    assert document["export_kwargs"] == document["kwargs"]
    plain = divergence_document(finding((ARRAY,)), Tally(), FindingStore())
    assert (plain["kwargs"], plain["export_kwargs"]) == ({}, {})


def test_a_finding_becomes_a_regression_with_its_call(tmp_path: Path):
    path, _ = save(regression_of(finding()), tmp_path)
    same(load(path).inputs, CALL)


def test_the_minimiser_compares_any_arguments():
    other = Call(CALL.args, {**CALL.kwargs, "scale": 3.5})
    copied = Call((ARRAY.copy(), CALL.args[1]), CALL.kwargs)
    assert same_inputs(CALL, copied)
    assert not same_inputs(CALL, other)
    assert not same_inputs(CALL, CALL.args)
    assert not same_inputs(
        Call((np.ones(2), [np.ones(3), np.ones(2)])), Call((np.ones(2), [np.ones(3), np.zeros(2)]))
    )
