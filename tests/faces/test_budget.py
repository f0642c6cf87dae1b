"""``run`` under a budget: every mode has a verdict early, the time is kept, and rounds can be repeated."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOURCE = """
import os

import torch


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.where(x > 0.5, x * 2, x)

    @staticmethod
    def symbolic(g, x):
        return g.op("Mul", x, g.op("Constant", value_t=torch.tensor(2.0)))


class Planted(torch.nn.Module):
    def forward(self, x):
        return Doubling.apply(x)


class Right(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) + 1


class Slow(torch.nn.Module):
    def forward(self, x):
        if not torch.jit.is_tracing() and not torch.compiler.is_compiling():
            import time

            time.sleep(0.05)
        return x + 1


class Ending(torch.nn.Module):
    def forward(self, x):
        if not torch.jit.is_tracing() and not torch.compiler.is_compiling() and float(x.sum()) < -1:
            os._exit(3)
        return x * 2
"""
MODES = ("torchscript", "torchscript,dynamic=true", "dynamo")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "budgeted.py").write_text(SOURCE)
    return tmp_path


def run(
    folder: Path, target: str, *options: str, modes=MODES, inputs="float32[N>=1, 3]"
) -> tuple[int, dict, str]:
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    words = [word for mode in modes for word in ("--modes", mode)]
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from diffexport.faces.cli import main; main()"),
            *("run", f"budgeted.py:{target}", "--input", inputs, "--no-save", "--json", str(report)),
            *words,
            *options,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.returncode, json.loads(report.read_text()), done.stdout


def counts(document: dict) -> list[tuple]:
    return [
        (row["mode"], row["runtime"], row["verdict"], row["checks"], row["turns"])
        for row in document["results"]
    ]


def test_rounds_repeat_exactly_whatever_the_number_of_workers(folder):
    options = ("--rounds", "2", "--runtime", "ort-disabled", "--runtime", "reference")
    code, one, text = run(folder, "Planted", *options, "--jobs", "1")
    assert code == 1
    assert one["budget"]["rounds_done"] == 2
    assert "2 rounds after the first look (as asked)" in text
    (finding,) = [d for d in one["divergences"] if d["kind"] == "value"]
    assert finding["shrunk"]
    assert finding["mode"] == "torchscript"
    _, two, _ = run(folder, "Planted", *options, "--jobs", "2")
    _, none, _ = run(folder, "Planted", *options, "--jobs", "0")
    assert counts(one) == counts(two) == counts(none)
    ids = [sorted(d["id"] for d in document["divergences"]) for document in (one, two, none)]
    assert ids[0] == ids[1] == ids[2]


def test_a_slow_runtime_gets_fewer_samples(folder):
    _, document, _ = run(
        folder,
        "Right",
        "--rounds",
        "2",
        "--runtime",
        "ort-disabled",
        "--runtime",
        "reference",
        modes=("torchscript",),
    )
    checks = {row["runtime"]: row["checks"] for row in document["results"]}
    assert 0 < checks["reference"] < checks["ort-disabled"] / 2


def test_what_is_not_reached_is_said_and_is_not_agreement(folder):
    code, document, text = run(folder, "Right", "--time", "1s")
    assert code == 2
    assert {row["verdict"] for row in document["results"]} == {"unreached"}
    assert len(document["results"]) == 3 * len(document["runtimes"])
    assert {one["reason"] for one in document["untested"]} == {"not reached: the time was over"}
    assert document["budget"]["out_of_time"]
    assert "unreached" in text
    assert "NOT TESTED" in text


def test_the_time_is_kept_and_every_mode_has_a_verdict_by_then(folder):
    begun = time.monotonic()
    code, document, _ = run(folder, "Slow", "--time", "40s", "--jobs", "1")
    taken = time.monotonic() - begun
    assert {row["verdict"] for row in document["results"]} == {"agrees"}
    assert code == 0
    assert document["budget"]["out_of_time"]
    assert taken < 60
    # What Hypothesis finds slow is not drawn by the thousand.
    assert sum(document["budget"]["spent"].values()) < 50
    assert document["budget"]["spent"]["eager"] > 1


def test_a_model_that_ends_the_process_costs_its_checks_and_not_the_others(folder):
    code, document, _ = run(folder, "Ending", "--rounds", "1", "--runtime", "ort-disabled")
    assert code == 1
    assert {d["kind"] for d in document["divergences"]} == {"crash"}
    assert {row["mode"] for row in document["results"]} == set(MODES)
    assert all(row["checks"] for row in document["results"])


def test_models_of_ones_own_have_a_budget_by_default_and_the_catalogue_has_none(folder):
    _, own, text = run(folder, "Right", "--runtime", "ort-disabled", modes=("torchscript",))
    assert own["budget"]["seconds"] == 180
    assert own["results"][0]["examples"] > 0
    assert not own["budget"]["out_of_time"]
    assert "in turns, at most 3 min" in text
    _, asked, _ = run(folder, "Right", "--examples", "2", "--runtime", "ort-disabled", modes=("torchscript",))
    assert asked["budget"] is None


@pytest.mark.parametrize("text", ["soon", "0", "5m 5m", "-1s"])
def test_a_time_that_is_none_is_one_clear_line(folder, text):
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from diffexport.faces.cli import main; main()"),
            *("run", "budgeted.py:Right", f"--time={text}"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert f"--time: '{text}'" in done.stderr
    assert len(done.stderr.splitlines()) <= 3
