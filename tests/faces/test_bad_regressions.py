"""Regression files that are broken, newer or edited by hand: an ERROR each, and the others still replay."""

import copy
import json

import pytest

from diffexport.subjects import catalogue

GOOD = json.loads(
    next(catalogue.regressions_folder().glob("clamp--torchscript--ort-disabled--*")).read_text()
)


def edited(**changes):
    """Change fields, ``inputs__0__dtype`` being the dtype of the first input."""
    document = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *above, last = (int(part) if part.isdigit() else part for part in path.split("__"))
        inner = document
        for part in above:
            inner = inner[part]
        inner[last] = value
    return json.dumps(document)


def tensor(**changes):
    return edited(**{f"inputs__0__{key}": value for key, value in changes.items()})


BROKEN = {
    "truncated": (json.dumps(GOOD)[:300], "not JSON, or cut off"),
    "empty": ("", "not JSON, or cut off"),
    "another-document": ("[]", "not a regression file"),
    "nested-too-deep": ("[" * 100_000, "nested-too-deep"),
    "newer": (edited(version=4), "has format version 4, this diffexport reads up to 3; update diffexport"),
    "version-as-text": (edited(version="2"), "version"),
    "unknown-key": (edited(colour="red"), "colour: Extra inputs are not permitted"),
    "unknown-tensor-key": (tensor(colour="red"), "colour: Extra inputs are not permitted"),
    "unknown-mode": (edited(mode="torchscrip"), "did you mean 'torchscript'?"),
    "opset-out-of-range": (edited(mode="torchscript,opset=99"), "opset=99 is out of the range"),
    "unknown-kind": (edited(kind="valu"), "kind: Input should be"),
    "unknown-runtime": (edited(runtime="ort-dizabled"), "unknown runtime 'ort-dizabled'; did you mean"),
    "unknown-case": (edited(target="clmp"), "unknown case 'clmp'"),
    "wrong-shape": (tensor(shape=[2], strides=[1]), "shape [2] needs 2 values, there are 1"),
    "wrong-strides": (tensor(shape=[1]), "shape [1] and strides [] do not go together"),
    "negative-shape": (tensor(shape=[-1], strides=[1]), "inputs[0]: shape [-1]"),
    "huge-shape": (tensor(shape=[0, 2**62, 2**62], strides=[1, 1, 1], values=[]), "huge-shape"),
    "huge-strides": (tensor(shape=[1], strides=[10**40]), "strides"),
    "bad-float": (tensor(values=["0xzz"]), "inputs[0]: value 0 is '0xzz'"),
    "decimal-float": (tensor(values=[1.5]), "inputs[0]: value 0 is 1.5: expected a hexadecimal float"),
    "float-of-another-dtype": (tensor(values=["0x1p+300"]), "not a float32 value"),
    "unknown-dtype": (tensor(dtype="float33"), "float33"),
    "dtype-object": (tensor(dtype="object"), "object"),
    "dtype-text": (tensor(dtype="<U8"), "U8"),
    "dtype-longdouble": (tensor(dtype="longdouble"), "longdouble"),
    "dtype-big-endian": (tensor(dtype=">f4"), ">f4"),
    "too-few-inputs": (edited(inputs=[]), "raises in eager on the stored inputs"),
    "side-file-missing": (tensor(values=None, file="x.npy"), "x.npy cannot be read"),
    "side-file-elsewhere": (tensor(values=None, file="../x.npy"), "must lie beside the regression file"),
}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """Replay a folder of all broken files with a good one before and after them; return the judgements."""
    from diffexport.explore.stored_verdicts import judge_file, tied_entries

    folder = tmp_path_factory.mktemp("regressions")
    judged = {}
    for name, (text, _) in BROKEN.items():
        path = folder / f"{name}.diffexport.json"
        path.write_text(text)
        try:
            judged[name] = judge_file(path, tied_entries())
        except Exception as error:  # noqa: BLE001 - each file has a test of its own, below
            judged[name] = error
    return judged


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_an_error_that_says_what_is_wrong(replayed, name):
    judged = replayed[name]
    assert not isinstance(judged, Exception), f"{type(judged).__name__}: {judged}"
    assert judged.status == "ERROR"
    assert judged.is_error
    assert not judged.as_expected
    assert BROKEN[name][1] in judged.message


@pytest.mark.slow
def test_the_other_files_still_replay(cli, project):
    folder = project / "kept"
    folder.mkdir()
    for name in ("truncated", "newer", "bad-float", "unknown-mode"):
        (folder / f"{name}.diffexport.json").write_text(BROKEN[name][0])
    (folder / "a-good.diffexport.json").write_text(json.dumps(GOOD))
    (folder / "z-good.diffexport.json").write_text(json.dumps(GOOD))
    (folder / "not-ours.json").write_text("{}")
    ran = cli("replay", "kept", code=1)
    assert ran.out.splitlines()[-1] == "4 ERROR, 2 STILL DIVERGES"
    assert [line.split()[-1] for line in ran.out.splitlines() if line[:1].isupper()] == [
        f"{name}.diffexport.json"
        for name in ("a-good", "bad-float", "newer", "truncated", "unknown-mode", "z-good")
    ]


@pytest.mark.slow
def test_nothing_but_errors_is_wrong_use(cli, project):
    (project / "newer.diffexport.json").write_text(BROKEN["newer"][0])
    ran = cli("replay", "newer.diffexport.json", code=2)
    assert ran.out.startswith("ERROR           newer.diffexport.json")
    assert "update diffexport" in ran.out


@pytest.mark.slow
def test_show_refuses_a_broken_file(cli, project):
    (project / "x.diffexport.json").write_text(BROKEN["truncated"][0])
    assert "not JSON, or cut off" in cli("show", "x.diffexport.json", code=2).err


@pytest.mark.slow
def test_fixed_is_said_only_where_the_stored_inputs_agree(cli, project):
    """What now diverges otherwise — here the export itself fails — is not fixed."""
    agrees = tensor(values=["0x1p+0"])
    breaks = edited(export_inputs=[])
    (project / "agrees.diffexport.json").write_text(agrees)
    (project / "breaks.diffexport.json").write_text(breaks)
    assert cli("replay", "agrees.diffexport.json", code=0).out.startswith("FIXED ")
    ran = cli("replay", "breaks.diffexport.json")
    assert "FIXED" not in ran.out
    assert "agree" not in ran.out
    assert ran.code != 0
