"""Large tensors in stored findings, reports and scripts: a few numbers, from which the same bits are made."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_stored_arguments import finding, regression

from diffexport.arrays import FilledArray, Filling, array_of, fill, in_few_bytes
from diffexport.errors import RegressionFileError
from diffexport.findings.regressions import LeftOut, decode_tensors, encode_tensor, load, save
from diffexport.findings.regressions.recording import regression_of
from diffexport.findings.regressions.stored_arguments import SeenTensors
from diffexport.findings.reports.descriptions import values
from diffexport.findings.reports.json_report import _value
from diffexport.findings.scripts.filled_values import _MAKERS, MAKERS, makers_used
from diffexport.findings.scripts.literals import literal
from diffexport.strategies import lay_out

SIDE = 4096


def image() -> np.ndarray:
    array = np.zeros((SIDE, SIDE), np.float32)
    array[17, 4] = np.nan
    return array


def noise(shape=(SIDE, SIDE)) -> FilledArray:
    return fill(Filling("float32", shape, "normal", ("0x0p+0", "0x1p+0"), 9, (((0, 3), "inf"),)))


def test_a_finding_of_4096_squared_is_a_file_of_a_few_kib(tmp_path: Path):
    outputs = {"eager": (np.array(noise()),), "got": (image() + 1,)}
    path, _ = save(regression((image(), noise()), **outputs), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_size < 8192
    got = load(path)
    assert got.inputs[0].tobytes() == image().tobytes()
    assert got.inputs[1].filling == noise().filling
    assert got.inputs[1].tobytes() == noise().tobytes()
    assert repr(got.got[0]) == "ones float32[4096, 4096] but [17, 4] = nan"
    left_out = got.eager[0]
    assert isinstance(left_out, LeftOut)
    assert left_out.shape == (SIDE, SIDE)
    assert repr(left_out).startswith("values from -3.4")
    assert values(got.eager) == repr(left_out)
    assert values(got.inputs).startswith(
        "zeros float32[4096, 4096] but [17, 4] = nan, normal(mean 0, deviation 1, seed 9)"
    )
    again, _ = save(replace(got, case="again"), tmp_path)
    assert load(again).eager == got.eager


def test_what_is_filled_is_of_version_2_and_everything_else_of_version_1(tmp_path: Path):
    plain, _ = save(regression((np.arange(3.0),)), tmp_path / "plain")
    filled, _ = save(regression((noise((20, 20)),)), tmp_path / "filled")
    weighted, _ = save(regression((np.arange(3.0),), weights="0123456789abcdef"), tmp_path / "weighted")
    versions = [json.loads(path.read_text())["version"] for path in (plain, filled, weighted)]
    assert versions == [1, 2, 2]
    assert load(weighted).weights == "0123456789abcdef"
    assert load(plain).weights == ""


def test_filled_tensors_keep_their_layout(tmp_path: Path):
    odd = lay_out(np.full((20, 30), 2.5, np.float32), "transposed", requires_grad=True)
    path, _ = save(regression((odd, [noise((20, 20))])), tmp_path)
    got = load(path).inputs
    assert got[0].stride() == odd.stride()
    assert got[0].requires_grad
    assert array_of(got[0]).tobytes() == array_of(odd).tobytes()
    assert got[1][0].tobytes() == noise((20, 20)).tobytes()
    assert not list(tmp_path.glob("*.npy"))


def changed(path: Path, **fields) -> Path:
    document = json.loads(path.read_text())
    document["inputs"][0]["filled"].update(fields.pop("filled", {}))
    document["inputs"][0].update(fields)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"filled": {"seed": 10}}, "it is not what was stored: its digest is"),
        ({"filled": {"family": "odd"}}, "unknown family 'odd'"),
        ({"filled": {"numbers": ["0x0p+0"]}}, "normal has 2 numbers, not 1"),
        ({"filled": {"numbers": ["0x0p+0", [1]]}}, "is no tensor"),
        ({"filled": {"placed": [[[0, 99], "nan"]]}}, r"there is no element \[0, 99\]"),
        ({"filled": {"seed": "x"}}, "integer"),
        ({"filled": {"more": 1}}, "Extra inputs"),
        ({"shape": [10**6, 10**6], "strides": [10**6, 1]}, "the limit for a stored regression"),
        ({"shape": [20, -20]}, "is no shape of a tensor that was stored"),
        ({"dtype": "object"}, "unknown dtype 'object'"),
        ({"digest": "0" * 16}, "a tensor of which there is a digest has no values"),
    ],
)
def test_what_cannot_be_filled_as_it_was_is_refused_with_the_reason(tmp_path: Path, change, said):
    path, _ = save(regression((noise((20, 20)),)), tmp_path)
    with pytest.raises(RegressionFileError, match=said):
        load(changed(path, **change))


def test_the_smaller_of_two_large_findings_is_kept(tmp_path: Path):
    random, simple = (np.array(noise()),), (image(),)
    path, _ = save(regression(random), tmp_path)
    assert save(regression(simple), tmp_path) == (path, True)
    assert save(regression(random), tmp_path) == (path, False)
    assert load(path).inputs[0].tobytes() == image().tobytes()
    assert not list(tmp_path.glob("*.npy"))


def test_reports_have_what_a_tensor_is_filled_with():
    document = _value(image(), SeenTensors())
    assert document["reads"] == "zeros but [17, 4] = nan"
    assert document["filled"]["placed"] == [[[17, 4], "nan"]]
    assert "values" not in document
    assert len(json.dumps(document)) < 500
    many = _value(np.arange(70_000.0), SeenTensors())
    assert "values" not in many
    assert len(many["digest"]) == 16
    assert len(_value(np.arange(300.0), SeenTensors())["values"]) == 300


def test_the_tensors_of_a_call_are_read_back_together():
    one, other = noise((20, 20)), np.arange(3.0)
    seen = SeenTensors()
    documents = json.loads(json.dumps([encode_tensor(value, seen) for value in (one, other, one)]))
    got = decode_tensors(documents)
    assert [array.tobytes() for array in got] == [one.tobytes(), other.tobytes(), one.tobytes()]
    assert got[0] is got[2]


def test_outputs_that_can_be_said_in_few_numbers_are_sent_so():
    assert isinstance(in_few_bytes(image()), FilledArray)


def test_a_finding_keeps_the_digest_of_the_weights():
    assert regression_of(replace(finding(), weights="ab")).weights == "ab"


FILLINGS = [
    Filling("float32", (3, 100), "constant", ("0x0p+0",), 0, (((0, 5), "nan"), ((2, 7), "-0x1p-3"))),
    Filling("bfloat16", (3, 100), "repeated", ("0x0p+0", "-0x1p+0", "inf")),
    Filling("uint64", (3, 100), "ramp", (2**63, 3, 17), 0, (((0, 0), 2**64 - 1),)),
    Filling("int8", (3, 100), "uniform", (-128, 127), 4),
    Filling("uint64", (3, 100), "uniform", (5, 2**64 - 1), 4),
    Filling("float16", (3, 100), "uniform", ("-0x1p+1", "0x1.8p+0"), 5),
    Filling("bfloat16", (3, 100), "normal", ("0x0p+0", "0x1p+2"), 6),
    Filling("complex64", (3, 100), "normal", ("0x0p+0", "0x1p+2"), 6, (((0, 0), ("nan", "inf")),)),
    Filling("complex64", (3, 100), "among", (("0x0p+0", "0x1p+0"), ("-0x0p+0", "nan")), 6),
    Filling("bool", (3, 100), "sparse", (4, False, True), 7, (((0, 0), True),)),
    Filling("float64", (3, 100), "sorted", ("-0x1p+0", "0x1p-3", "0x1p+3")),
]


@pytest.mark.parametrize("filling", FILLINGS, ids=lambda filling: f"{filling.family} {filling.dtype}")
def test_a_script_makes_the_same_bits_in_plain_numpy_and_torch(filling):
    array = fill(filling)
    text = literal(array)
    assert "base64" not in text
    scope = {"np": np, "torch": torch, "math": math}
    for maker in makers_used(text):
        exec(maker, scope)
    tensor = eval(text, scope)  # noqa: S307
    made = array_of(tensor)
    assert made.dtype == array.dtype
    assert made.shape == array.shape
    assert made.tobytes() == array.tobytes()


def test_every_function_that_a_script_may_need_is_needed_by_some_filling():
    assert {name for filling in FILLINGS for name in MAKERS if f"{name}(" in literal(fill(filling))} == set(
        _MAKERS
    )


def test_bits_that_no_literal_says_are_written_as_bytes():
    array = np.zeros(300, np.float32)
    array.view(np.uint32)[3] = 0x7FC00001
    assert "base64" in literal(array)
