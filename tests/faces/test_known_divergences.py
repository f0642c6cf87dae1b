"""Known divergences: taken away, the tool finds them again; kept too long, it says so; they hide nothing else."""

import json
import shutil
import tomllib

import pytest
import tomli_w
import torch
from torch.autograd import Function

from diffexport import make_case
from diffexport.subjects import catalogue
from diffexport.subjects.cases import known as known_divergences
from diffexport.values.verdict import Kind

QUICK = ("--runtime", "ort-disabled", "--jobs", "0")


def entries():
    return {entry["id"]: entry for entry in tomllib.loads(catalogue.known_file().read_text())["known"]}


@pytest.fixture
def shipped(project, monkeypatch):
    """Replace the catalogue's known divergences and their regressions by copies; returns what rewrites them."""
    tables, folder = entries(), project / "catalogue"
    shutil.copytree(catalogue.regressions_folder(), folder)
    file = project / "known.toml"

    def rewrite(**changes):
        """Change entries; None removes one."""
        changed = {**tables, **{name.replace("_", "-"): value for name, value in changes.items()}}
        file.write_text(tomli_w.dumps({"known": [table for table in changed.values() if table is not None]}))
        return folder

    rewrite()
    monkeypatch.setattr(catalogue, "known_file", lambda: file)
    monkeypatch.setattr(catalogue, "regressions_folder", lambda: folder)
    return rewrite


def stored_names():
    return {path.name for path in catalogue.regressions_folder().glob("*.json")}


def test_without_its_entry_the_saturating_clip_is_found_again(check, shipped):
    name = entries()["clip-without-max-saturates"]["regression"]
    assert name in stored_names()
    assert check("clamp", code=0).divergences == []
    shipped(clip_without_max_saturates=None)
    ran = check("clamp", code=1)
    (found,) = ran.divergences
    assert (found["kind"], found["signature"]) == ("infinity", "inf→finite")
    assert [x["values"] for x in found["inputs"]] == [["inf"]]
    assert [x["values"] for x in found["eager"]] == [["inf"]]
    assert [x["values"] for x in found["got"]] == [["0x1.fffffep+127"]]
    assert (found["mode"], found["runtime"], found["shrunk"]) == ("torchscript", "ort-disabled", True)
    assert ran.files == [name]
    assert "minimal input   inf float32[]" in ran.out


def test_without_its_entry_the_misplaced_nan_is_found_again(check, shipped):
    name = entries()["topk-misplaces-nan"]["regression"]
    shipped(topk_misplaces_nan=None)
    # Found in a mode of another exporter as well, it is blamed on the simplest of those asked for that does the same.
    modes = ("--modes", "torchscript", "--modes", "dynamo")
    ran = check("partial_output", "--examples", "20", *modes, cheap=QUICK, code=1)
    assert name in ran.files
    found = next(d for d in ran.divergences if d["regression"].endswith(name))
    assert (found["kind"], found["mode"], found["runtime"]) == ("nan-placement", "dynamo", "ort-disabled")
    assert found["exporters"] == ["dynamo", "dynamo-strict", "torchscript"]
    (topped,) = found["inputs"]
    assert topped["shape"] == [3]
    assert sorted(topped["values"]) == ["0x0p+0", "0x0p+0", "nan"]
    # A NaN that is lost is the same bug as one that is moved.
    assert ran.divergences == [found]
    assert {face["signature"] for face in found["faces"]} <= {"NaN lost", "NaN moved"}
    assert found["cause"]["operator"] == "aten::topk"


def test_an_entry_whose_regression_agrees_is_to_be_removed(check, cli, shipped):
    folder = shipped()
    file = folder / entries()["clip-without-max-saturates"]["regression"]
    document = json.loads(file.read_text())
    document["inputs"][0]["values"] = ["0x1p+0"]
    file.write_text(json.dumps(document))
    ran = check("clamp", code=1)
    assert "fixed upstream: remove this entry" in ran.out
    assert "id 'clip-without-max-saturates'" in ran.out
    assert ran.out.rstrip().endswith("FINDINGS")
    # Still met, as an entry, by what was generated: it is stale and not a new divergence.
    assert ran.divergences == []
    assert {entry["id"]: entry["status"] for entry in ran.report["known"]} == {
        "clip-without-max-saturates": "fixed"
    }
    replayed = cli("replay", file, code=1)
    assert replayed.out.startswith("FIXED ")
    assert "fixed upstream: remove this entry (id 'clip-without-max-saturates'" in replayed.out


def test_an_entry_without_its_regression_fails(check, shipped):
    folder = shipped()
    (folder / entries()["clip-without-max-saturates"]["regression"]).unlink()
    ran = check("clamp", code=1)
    assert "its regression is not in" in ran.out
    assert "restore the file or remove the entry" in ran.out


def test_an_entry_tied_to_another_failure_fails(check, shipped):
    """The regression still diverges, but it is not the failure that the entry speaks of."""
    tables = entries()
    other = tables["modules-as-functions-leave-hooks"]["regression"]
    shipped(clip_without_max_saturates={**tables["clip-without-max-saturates"], "regression": other})
    ran = check("clamp", code=1)
    assert "clip-without-max-saturates" in ran.out


def test_a_project_keeps_entries_of_its_own(check, cli, project):
    first = check("models.py:SwappedOutputs", code=1)
    entry = {
        "id": "swapped",
        "reason": "the symbolic was written in a hurry",
        "cases": ["SwappedOutputs"],
        "modes": "torchscript",
        "kind": "structure",
        "regression": first.files[0],
    }
    table = {"tool": {"diffexport": {"regressions": "found", "known": [entry]}}}
    (project / "pyproject.toml").write_text(tomli_w.dumps(table))
    ran = check("models.py:SwappedOutputs", code=0)
    assert "known swapped: met in 1 (mode, runtime) pair" in ran.out
    assert [r["verdict"] for r in ran.report["results"]] == ["known"]
    replayed = cli("replay", "found", code=0)
    assert "known: swapped — the symbolic was written in a hurry" in replayed.out
    # The same entry for another kind accepts nothing.
    table["tool"]["diffexport"]["known"][0]["kind"] = "value"
    (project / "pyproject.toml").write_text(tomli_w.dumps(table))
    assert [d["kind"] for d in check("models.py:SwappedOutputs", code=1).divergences] == ["structure"]


def test_an_entry_is_for_the_name_of_the_case_and_not_of_the_variable(check, project):
    (project / "cases.py").write_text(
        "from diffexport import make_case\nfrom models import SwappedOutputs\n"
        'CASE = make_case("pretty", SwappedOutputs, inputs=["float32[N]"])\n'
    )
    first = check("cases.py:CASE", code=1)
    assert [d["case"] for d in first.divergences] == ["pretty"]
    entry = {
        "id": "pretty",
        "reason": "accepted",
        "cases": ["pretty"],
        "modes": "torchscript",
        "kind": "structure",
        "regression": "gone.diffexport.json",
    }
    table = {"tool": {"diffexport": {"regressions": "found", "known": [entry]}}}
    (project / "pyproject.toml").write_text(tomli_w.dumps(table))
    ran = check("cases.py:CASE", code=1)
    assert ran.report["cases"] == ["pretty"]
    assert "its regression is not in" in ran.out
    table["tool"]["diffexport"]["known"][0]["regression"] = first.files[0]
    (project / "pyproject.toml").write_text(tomli_w.dumps(table))
    ran = check("cases.py:CASE", code=0)
    assert [(k["id"], k["status"]) for k in ran.report["known"]] == [("pretty", "diverges")]


class HalfClamp(Function):
    """Clamps, and adds 1 to what is above 2, which its symbolic forgets."""

    @staticmethod
    def forward(ctx, a):
        return a.clamp(min=0) + (a > 2)

    @staticmethod
    def symbolic(g, a):
        return g.op("Clip", a, g.op("Constant", value_t=torch.tensor(0.0)))


class HalfClampModel(torch.nn.Module):
    def forward(self, a):
        return HalfClamp.apply(a)


def half_clamp(name):
    return make_case(name, HalfClampModel, inputs=["float32[N]"])


def test_the_entry_hides_no_other_bug_of_the_same_model(explore):
    known = known_divergences.load_known(catalogue.known_file())
    findings, _ = explore(half_clamp("clamp"), "torchscript", known=known, examples=20)
    assert [(f.divergence.kind, f.divergence.signature) for f in findings] == [(Kind.VALUE, "finite→finite")]
    (inputs,) = findings[0].inputs
    assert (inputs > 2).any()
    # What the entry is about is met as well where it is not accepted.
    findings, _ = explore(half_clamp("clamp"), "torchscript", known=(), examples=20)
    assert {f.divergence.kind for f in findings} == {Kind.VALUE, Kind.INFINITY}


SATURATES = {
    "id": "saturates",
    "reason": "as in the catalogue",
    "cases": ["narrow-*"],
    "modes": "torchscript,opset=11..20",
    "kind": "infinity",
    "runtimes": ["ort-*"],
    "where": "output[0]",
    "signature": "inf→finite",
    "traits": ["inf"],
    "regression": "narrow.diffexport.json",
}


def test_an_entry_accepts_what_it_names(explore):
    known = known_divergences.parse_known([SATURATES])
    findings, _ = explore(half_clamp("narrow-clamp"), "torchscript", known=known, examples=20)
    assert Kind.INFINITY not in {finding.divergence.kind for finding in findings}


@pytest.mark.parametrize(
    "change",
    [
        {"cases": ["narrow"]},
        {"modes": "torchscript,opset=11..19"},
        {"modes": "dynamo*"},
        {"kind": "value"},
        {"runtimes": ["reference", "ort-basic"]},
        {"where": "output[1]"},
        {"signature": "inf→fin"},
        {"traits": ["inf", "nan"]},
        {"traits": ["export:inf"]},
    ],
    ids=str,
)
def test_an_entry_accepts_nothing_else(explore, change):
    known = known_divergences.parse_known([{**SATURATES, **change}])
    findings, _ = explore(half_clamp("narrow-clamp"), "torchscript", known=known, examples=20)
    saturated = [f for f in findings if f.divergence.kind is Kind.INFINITY]
    assert [f.divergence.signature for f in saturated] == ["inf→finite"]
    assert {f.divergence.kind for f in findings} == {Kind.INFINITY, Kind.VALUE}
