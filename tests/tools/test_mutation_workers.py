"""Mutants that hang or end their process, and workers that are killed: the job goes on, and nothing is lost."""

import pytest

from diffexport.explore import Settings
from diffexport.tools.mutate import MutationJob, run, select
from diffexport.values import StepLimits

#: A model, in whose workers ONNX Runtime does something to the mutants that have one operator in place of another.
MODEL = """
import os, signal, time
from pathlib import Path
import onnxruntime
import torch

class Shifted(torch.nn.Module):
    def forward(self, a):
        {eager}
        return torch.relu(a) * 1.5 + 0.25

def once(act):
    if not Path({marker!r}).exists():
        Path({marker!r}).touch()
        act()

class Session(onnxruntime.InferenceSession):
    def __init__(self, model, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        self.has_sub, self.has_div = b"Sub" in model, b"Div" in model
        if self.has_sub:
            {load}

    def run(self, *args, **kwargs):
        if self.has_div:
            {run}
        return super().run(*args, **kwargs)

onnxruntime.InferenceSession = Session
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def report_of(tmp_path):
    def report(workers=1, **does):
        (tmp_path / "m.py").write_text(
            MODEL.format(
                **{"eager": "", "load": "pass", "run": "pass", **does}, marker=str(tmp_path / "marker")
            )
        )
        settings = Settings(
            examples=5, block=8, shrink=False, steps=StepLimits(check_seconds=6, export_seconds=120)
        )
        job = MutationJob(
            f"{tmp_path}/m.py:Shifted",
            "Shifted",
            ("float32[N]",),
            "torchscript,dynamic=true",
            ("ort-disabled",),
            settings,
            (),
            select(["sibling-operator", "negated-bool", "identity", "constant-half"]),
        )
        reports = []
        run([job], workers, reports.append)
        (one,) = reports
        return one

    return report


def verdicts(report):
    return [(outcome.mutator, outcome.where, str(outcome.verdict)) for outcome in report.outcomes]


@pytest.fixture
def undisturbed(report_of, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", onnxruntime.InferenceSession)
    return verdicts(report_of(workers=0))


def test_a_mutant_that_hangs_or_ends_its_process_is_caught(report_of, undisturbed):
    report = report_of(load="os.abort()", run="time.sleep(10**6)")
    assert verdicts(report) == undisturbed
    assert (report.skipped, report.failed) == ("", False)
    fatal = {
        outcome.message: outcome.kind for outcome in report.outcomes if outcome.kind in ("crash", "timeout")
    }
    assert fatal == {
        "loading it into ort-disabled ends the process (signal SIGABRT)": "crash",
        "running it on ort-disabled takes longer than its time limit (--check-timeout)": "timeout",
    }


def test_a_worker_that_is_killed_is_no_outcome(report_of, undisturbed):
    report = report_of(load="once(lambda: os.kill(os.getpid(), signal.SIGKILL))")
    assert verdicts(report) == undisturbed
    assert (report.skipped, report.failed) == ("", False)
    assert not [outcome for outcome in report.outcomes if outcome.kind == "crash"]


def test_what_is_killed_again_and_again_is_not_tested(report_of, undisturbed):
    report = report_of(load="os.kill(os.getpid(), signal.SIGTERM)")
    missing = set(undisturbed) - set(verdicts(report))
    assert [verdict for *_, verdict in missing] == ["caught"]
    assert report.failed
    assert "Add" in report.skipped
    assert "killed from outside 4 times (signal SIGTERM)" in report.skipped


def test_a_model_that_ends_the_process_is_not_blamed_on_a_mutant(report_of):
    report = report_of(eager="os._exit(0)")
    assert report.failed
    assert not report.outcomes
    assert report.skipped == "running the model itself ends the process (exit code 0)"


def test_an_original_that_hangs_is_not_mutated(report_of):
    report = report_of(load="pass", run="pass", eager="time.sleep(0 if torch.jit.is_tracing() else 10**6)")
    assert report.failed
    assert report.skipped.startswith("running the model itself takes longer than its time limit")
