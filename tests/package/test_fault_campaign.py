"""benchmarks/faults.py sees what it is to count: each column is hit by what belongs in it, and by nothing else."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

_ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())


@pytest.fixture(scope="module")
def campaign():
    """The modules of the campaign, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(_ROOT / "benchmarks")
        names = (
            "faults",
            *(f"fault_injection.{name}" for name in ("observer", "counting", "commands", "victims")),
        )
        yield {name.rpartition(".")[2]: importlib.import_module(name) for name in names}


NAMES = ("doubled--torchscript--value--00000001", "wide--torchscript--value--00000002")
HEX = [float(number).hex() for number in range(8)]


def _tensor(numbers):
    return {"dtype": "float32", "shape": [len(numbers)], "strides": [1], "values": [HEX[n] for n in numbers]}


@pytest.fixture
def stored(tmp_path):
    """A folder with two whole findings, one of them with files beside it."""
    folder = tmp_path / "stored"
    folder.mkdir()
    inline = {
        "inputs": [_tensor([1, 2])],
        "export_inputs": [_tensor([0, 1])],
        "eager": [_tensor([2, 4])],
        "got": [_tensor([3, 5])],
    }
    values = np.zeros(300, "float32")
    beside = {}
    arrays_of = {"inputs": values, "export_inputs": values, "eager": values * 2, "got": values * 2 + 1}
    for role, array in arrays_of.items():
        np.save(folder / f"{role}.npy", array)
        beside[role] = [{"dtype": "float32", "shape": [300], "strides": [1], "file": f"{role}.npy"}]
    for name, arrays in zip(NAMES, (inline, beside), strict=True):
        head = {
            "diffexport": "regression",
            "case": name.partition("--")[0],
            "kind": "value",
            "where": "output[0]",
        }
        (folder / f"{name}.diffexport.json").write_text(json.dumps({**head, **arrays}))
    return folder


def _report(**changes):
    rows = [
        {"case": case, "mode": mode, "runtime": "ort-disabled", "verdict": verdict, "checks": 3}
        for case, verdict in (("doubled", "diverges"), ("wide", "diverges"), ("sound", "agrees"))
        for mode in ("torchscript", "torchscript,dynamic=true")
    ]
    findings = [
        {"id": name[-8:], "case": name.partition("--")[0], "kind": "value", "message": ""} for name in NAMES
    ]
    return {"exit_code": 1, "results": rows, "divergences": findings, "errors": [], "excluded": [], **changes}


@pytest.fixture
def counted(campaign, stored):
    """What is counted of a folder, a report and an end, each changed by a function or replaced."""

    def count(change=lambda folder: None, report=None, **end):
        change(stored)
        file = stored.parent / "report.json"
        file.write_text(json.dumps(_report() if report is None else report))
        ended = {"code": 1, "output": "FINDINGS", "seconds": 1.0, "hung": False, "left": (), **end}
        record = campaign["counting"].Record("kind", 0)
        noticed = frozenset({"odd"} if report and "odd" in str(report) else ())
        asked = ("doubled", "wide", "sound", *noticed)
        expected = campaign["observer"].Expected(frozenset(NAMES), asked=asked, noticed=noticed)
        campaign["observer"].watch_run(
            record, campaign["commands"].Ended(**ended), expected, folder=stored, report=file
        )
        return {key: number for key, number in record.counts.items() if number}

    return count


def _edit(name, **changes):
    def change(folder):
        path = folder / f"{name}.diffexport.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def _copy(folder):
    source = folder / f"{NAMES[0]}.diffexport.json"
    (folder / "doubled--torchscript--value--00000009.diffexport.json").write_text(source.read_text())


def _another(folder):
    _copy(folder)
    _edit("doubled--torchscript--value--00000009", kind="crash")(folder)


FOLDERS = {
    "nothing": (lambda folder: None, {}),
    "a finding is missing": (lambda f: (f / f"{NAMES[0]}.diffexport.json").unlink(), {"lost": 1}),
    "a file is cut off": (
        lambda f: (f / f"{NAMES[0]}.diffexport.json").write_text('{"diffexport": "regr'),
        {"torn": 1, "lost": 1},
    ),
    "a file beside it is missing": (lambda f: (f / "got.npy").unlink(), {"torn": 1, "lost": 1}),
    "a file beside it is of another": (
        lambda f: np.save(f / "got.npy", np.full(300, 7, "float32")),
        {"torn": 1, "lost": 1},
    ),
    "a file belongs to no finding": (lambda f: np.save(f / "old.npy", np.zeros(3)), {"torn": 1}),
    "a temporary file is left": (lambda f: (f / ".x.tmp").write_text(""), {"torn": 1}),
    "a finding is stored twice": (_copy, {"doubled": 1, "false": 1}),
    "a crash that nobody expects": (_another, {"false": 1}),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder(counted, name):
    change, counts = FOLDERS[name]
    assert counted(change) == counts


ROWS, SEEN = _report()["results"], _report()["divergences"]
REPORTS = {
    "a mode without a row": (_report(results=ROWS[:-1]), {"lies": 1}),
    "a row without a check": (_report(results=[*ROWS[:-1], {**ROWS[-1], "checks": 0}]), {"lies": 1}),
    "a case that is excluded": (_report(results=ROWS[:-2], excluded=[{"case": "sound"}]), {}),
    "a model of the project that is said to be untestable": (
        _report(errors=[{"case": "sound", "message": "died"}]),
        {"false": 1},
    ),
    "a finding twice": (_report(divergences=[*SEEN, SEEN[0]]), {"doubled": 1}),
    "a finding less": (_report(divergences=SEEN[1:]), {"lost": 1}),
    "another exit code": (_report(exit_code=0), {"lies": 1}),
    "a hostile model passes": (
        _report(results=[*ROWS, *({**row, "case": "odd"} for row in ROWS[-2:])]),
        {"lies": 1},
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report(counted, name):
    report, counts = REPORTS[name]
    assert counted(report=report) == counts


ENDS = {
    "exit code 0": ({"code": 0}, {"lies": 2}),
    "a traceback": (
        {"output": "Traceback (most recent call last):\n  File\nKeyError: 'x'\n"},
        {"tracebacks": 1},
    ),
    "two of them": (
        {"output": 2 * "Traceback (most recent call last):\n  File\nKeyError: 'x'\n"},
        {"tracebacks": 2},
    ),
    "it hangs": ({"code": None, "hung": True}, {"hangs": 1}),
    "a copy is left": ({"left": ("sleep 100000",)}, {"hangs": 1}),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_end(counted, name):
    end, counts = ENDS[name]
    assert counted(**end) == counts


def test_the_same_seed_plans_the_same_trials(campaign):
    planned = campaign["faults"].planned
    assert planned(1000, [], 3) == planned(1000, [], 3) != planned(1000, [], 4)
    assert sum(kind.each for kind, _ in planned(1000, [], 0)) >= 1000
    assert len({kind.name for kind, _ in planned(1000, [], 0)}) >= 12
    assert [(kind.name, number) for kind, number in planned(1000, ["kill-main:7"], 0)] == [("kill-main", 7)]
    assert 12 <= sum(kind.each for kind, _ in planned(12, [], 0)) <= 40


def test_an_unknown_kind_is_refused(campaign):
    with pytest.raises(ValueError, match="unknown kind 'kill-mian'"):
        campaign["faults"].planned(10, ["kill-mian"], 0)
