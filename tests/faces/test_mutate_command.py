"""``diffexport mutate``: how many planted bugs a check catches, and that it reports no control."""

import json

import pytest

from diffexport.explore.drawing import Drawing

MODELS = """
import torch

class Shifted(torch.nn.Module):
    def forward(self, a):
        return torch.relu(a) * 1.5 + 0.25

class Baked(torch.nn.Module):
    def forward(self, a):
        return a + int(a.shape[0])
"""
QUICK = ("--modes", "torchscript,dynamic=true", "--runtime", "ort-disabled", "-j0")


@pytest.fixture
def mutate(cli, project):
    (project / "plain.py").write_text(MODELS)

    def run(*args, code, quick=QUICK):
        file = project / "report.json"
        ran = cli("mutate", *args, *quick, "--json", file, code=code)
        return ran, json.loads(file.read_text())

    return run


def only(*names):
    return [word for name in names for word in ("--only", name)]


def test_so_many_bugs_are_planted_of_as_many_mutators(mutate):
    chosen = only("scaled-*", "halves-off", "wrong-at-1")
    quick = ("--input", "float32[N]", *chosen, "--most", 5, "--examples", 20)
    _, report = mutate("plain.py:Shifted", *quick, code=0)
    assert (report["planted"], report["skipped"]) == (5, [])
    assert [m["planted"] for m in report["mutators"] if not m["control"]] == [1] * 5


def test_what_the_time_was_not_enough_for_is_said(mutate):
    # What is equivalent takes all of its examples, which no machine does in this time.
    given = ("--input", "float32[N]", "--time", "2s", "--examples", 1_000_000)
    _, report = mutate("plain.py:Shifted", *given, code=None)
    (skipped,) = report["skipped"]
    assert skipped["reason"] == f"the time was over when {report['planted']} bugs were planted"


def test_bugs_are_caught_and_controls_are_not_reported(mutate):
    chosen = only("scaled-*", "sibling-operator", "wrong-at-a-constant", "frozen-cut", "times-one", "renamed")
    ran, report = mutate("plain.py:Shifted", "--input", "float32[N, M]", *chosen, "--examples", 60, code=0)
    assert report["missed"] == report["false_alarms"] == 0
    assert report["planted"] == report["caught"] + report["equivalent"]
    assert report["caught"] > 20
    # The unchanged export is a control, too.
    assert report["controls"] == 1 + 1 + 2
    assert 1 <= report["examples_needed"]["median"] <= report["examples_needed"]["max"] <= 60
    by_name = {m["name"]: m for m in report["mutators"]}
    assert by_name["scaled-1e-4"]["caught"] == by_name["scaled-1e-4"]["planted"] >= 3
    assert by_name["times-one"]["control"]
    assert by_name["times-one"]["planted"] == 2
    assert sum(m["caught"] for m in report["mutators"]) == report["caught"]
    assert "0 false alarms" in ran.out


def test_what_no_input_can_show_is_equivalent(mutate):
    # Behind relu there are no negative numbers to lose.
    ran, report = mutate(
        "plain.py:Shifted", "--input", "float32[N]", *only("negatives-lost"), "--examples", 5, code=0
    )
    verdicts = {s["where"]: s["judgement"] for s in report["survivors"]}
    assert list(verdicts.values()) == ["equivalent"] * report["equivalent"]
    assert any(where.startswith("output") for where in verdicts)
    assert "equivalent, by mutator: negatives-lost" in ran.out


def test_what_too_few_examples_miss_is_shown_with_an_input(mutate, monkeypatch):
    # Inputs that a comparison in the graph asks for would be found at once.
    monkeypatch.setattr(Drawing, "exact_samples", lambda *_: ())
    ran, report = mutate(
        "plain.py:Shifted", "--input", "float32[N]", *only("wrong-at-100"), "--examples", 1, code=1
    )
    assert report["missed"] >= 1
    assert report["exit_code"] == 1
    survivor = next(s for s in report["survivors"] if s["where"].startswith("input"))
    assert survivor["judgement"] == "missed"
    assert set(survivor["input"][0]["values"]) == {"0x1.9p+6"}
    assert "missed: wrong-at-100" in ran.out
    assert f"{report['caught']} of {report['caught'] + report['missed']} caught" in ran.out


def test_a_narrower_strategy_misses_nothing_that_it_cannot_meet(mutate):
    _, report = mutate(
        "plain.py:Shifted", "--input", "float32[N] in -1..1", *only("wrong-at-100"), "--examples", 5, code=0
    )
    assert (report["caught"], report["missed"]) == (0, 0)
    assert report["equivalent"] == report["planted"] > 0


def test_a_wrong_symbolic_is_caught(mutate):
    _, report = mutate("inline_and_symbolic", *only("wrong-symbolic"), "--examples", 20, code=0)
    assert report["planted"] == report["caught"] >= 3


def test_an_export_that_diverges_by_itself_is_not_mutated(mutate):
    ran, report = mutate(
        "plain.py:Baked", "--input", "float32[N]", *only("scaled-1e-4"), "--examples", 30, code=2
    )
    (skipped,) = report["skipped"]
    assert skipped["failed"]
    assert "the unchanged export is not as it should be" in skipped["reason"]
    assert "NOT TESTED" in ran.out
    assert report["planted"] == 0


def test_a_mode_that_refuses_is_skipped(mutate):
    _, report = mutate("aten_unsupported", "clamp", *only("scaled-1e-4"), "--examples", 30, code=0)
    (skipped,) = report["skipped"]
    assert (skipped["case"], skipped["failed"]) == ("aten_unsupported", False)
    assert report["caught"] == 2


def test_workers_find_the_same(mutate):
    args = ("clamp", "multi_output", *only("scaled-1e-4", "identity"), "--examples", 10)
    _, here = mutate(*args, code=0)
    _, there = mutate(*args, code=0, quick=(*QUICK[:-1], "-j", 2))
    for report in (here, there):
        del report["seconds"]
    assert here == there


WRONG = {
    "case": (["clmp"], "unknown case 'clmp'"),
    "mutator": (["clamp", "--only", "scaled-1"], "no mutator is called 'scaled-1'"),
    "mode": (["clamp", "--modes", "torchscrip"], "unknown mode or matrix 'torchscrip'"),
    "runtime": (["clamp", "--runtime", "tvm"], "unknown runtime 'tvm'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use(cli, name):
    arguments, message = WRONG[name]
    ran = cli("mutate", *arguments, code=2)
    assert message in ran.err
    assert not ran.out


def test_mutators_are_listed(cli):
    out = cli("mutate", "--list", code=0).out
    assert "  scaled-1e-5 " in out
    assert "  wrong-symbolic " in out
    assert out.index("controls:") < out.index("  double-negation ")
