"""Where regressions are kept: one failure under one name, the smallest of it; two failures never in one file."""

import dataclasses
import json

import numpy as np
import pytest

from diffexport.findings.regressions import Regression, files, load, save
from diffexport.findings.regressions.store import path_for
from diffexport.values.mode import Mode
from diffexport.values.place import Place
from diffexport.values.verdict import Kind, Stage


def regression(*values, **changes):
    array = np.array(values, np.float32)
    stored = Regression(
        case="model",
        target="models.py:model",
        mode=Mode("torchscript"),
        runtime="ort-disabled",
        stage=Stage.COMPARE,
        kind=Kind.VALUE,
        place=Place.output(0),
        signature="finite→finite",
        message="differs",
        inputs=(array,),
        export_inputs=(array,),
    )
    return dataclasses.replace(stored, **changes)


def test_a_smaller_one_replaces_a_bigger_one_and_not_the_reverse(tmp_path):
    path, written = save(regression(0, 0, 3), tmp_path)
    assert written
    assert save(regression(0, 0, 1, 2), tmp_path) == (path, False)
    assert load(path).inputs[0].tolist() == [0, 0, 3]
    assert save(regression(1), tmp_path) == (path, True)
    assert load(path).inputs[0].tolist() == [1]
    # A simpler mode counts for more than a smaller input.
    intricate = Mode("torchscript", opset=9)
    assert save(regression(mode=intricate), tmp_path) == (path, False)
    assert files([tmp_path]) == [path]


def test_an_unreadable_file_is_replaced(tmp_path):
    path, _ = save(regression(1), tmp_path)
    path.write_text("{")
    assert save(regression(1, 2, 3), tmp_path) == (path, True)
    assert load(path).inputs[0].tolist() == [1, 2, 3]


def test_large_tensors_and_their_side_files_are_replaced_together(tmp_path):
    path, _ = save(regression(*range(300)), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert load(path).inputs[0].tolist() == list(range(300))
    save(regression(*range(299)), tmp_path)
    assert load(path).inputs[0].tolist() == list(range(299))
    save(regression(7), tmp_path)
    assert load(path).inputs[0].tolist() == [7]


@pytest.mark.parametrize(
    "change",
    [
        {"case": "Model"},
        {"case": "mod el"},
        {"mode": Mode("dynamo")},
        {"runtime": "ort-all"},
        {"runtime": "reference"},
        {"stage": Stage.RUN},
        {"kind": Kind.INFINITY},
        {"place": Place.output(1)},
        {"place": Place.parse("output-0")},
        {"signature": "inf→finite"},
        {"signature": "finite→-finite"},
    ],
    ids=str,
)
def test_two_different_failures_have_two_names(tmp_path, change):
    one, other = regression(1), regression(1, **change)
    paths = {path_for(one, tmp_path).name.casefold(), path_for(other, tmp_path).name.casefold()}
    assert len(paths) == 2
    save(one, tmp_path)
    save(other, tmp_path)
    assert {load(path).identity for path in files([tmp_path])} == {one.identity, other.identity}


@pytest.mark.parametrize(
    "change",
    [
        {"mode": Mode("torchscript", opset=9, dynamic=True)},
        {"seed": 9},
        {"message": "differs by 3"},
        {"versions": {"torch": "3"}},
        {"target": "./models.py:model"},
        {"inputs": (np.zeros((2, 3), np.float32),)},
    ],
    ids=str,
)
def test_one_failure_has_one_name(tmp_path, change):
    assert path_for(regression(1), tmp_path) == path_for(regression(1, **change), tmp_path)


def test_before_any_runtime_the_runtime_is_no_part_of_the_name(tmp_path):
    early = [
        regression(1, stage=Stage.CONVERT, kind=Kind.EXPORT_ERROR, runtime=r)
        for r in ("ort-all", "reference")
    ]
    assert len({path_for(one, tmp_path) for one in early}) == 1


def test_a_name_that_a_person_recognises(tmp_path):
    name = path_for(regression(1), tmp_path).name
    assert name.startswith("model--torchscript--ort-disabled--value--output-0--")
    assert name.endswith(".diffexport.json")


def test_found_from_other_seeds_and_modes_it_is_the_same_file(check, project):
    first = check("models.py:SwappedOutputs", "--seed", "1", code=1)
    (name,) = first.files
    text = (project / "found" / name).read_text()
    modes = (
        "--modes",
        "torchscript,opset=9,do_constant_folding=false",
        "--runtime",
        "ort-all",
        "--jobs",
        "0",
    )
    again = check("models.py:SwappedOutputs", "--seed", "2", cheap=modes, code=1)
    assert again.files == [name]
    # The same size, so that what was there is kept to the last byte, its seed included.
    assert (project / "found" / name).read_text() == text
    assert json.loads(text)["seed"] == 1


def test_two_models_of_one_name_keep_a_file_each(check, project):
    (project / "one.py").write_text("from models import AddForSubtract as Namesake\n")
    (project / "two.py").write_text("from models import AddForSubtract as Namesake\n")
    inputs = ("--input", "int32[1]", "--input", "int32[1]")
    check("one.py:Namesake", *inputs, code=1)
    ran = check("two.py:Namesake", *inputs, code=1)
    targets = {load(path).target for path in files([project / "found"])}
    assert targets == {"one.py:Namesake", "two.py:Namesake"}
    assert len(ran.files) == 2
