"""Ctrl-C keeps what was found; a process that dies is a finding, and the run goes on."""

import json
import signal
import subprocess
import sys
import time

import pytest

from diffexport.explore.run_plan import RunPlan, events_of
from diffexport.explore.settings import Limits, Settings, StopAfter
from diffexport.findings.events.events import FindingMade, RunFinished
from diffexport.values.matrix import select_modes

ONE_WORKER = ("--runtime", "ort-disabled", "--jobs", "1", "--save", "found", "--json", "report.json")


@pytest.fixture
def started(launch):
    """``diffexport run`` with one worker and a dozen modes."""
    return lambda *target: launch("run", *target, "--modes", "torchscript,opset=9..20", *ONE_WORKER)


def test_ctrl_c_saves_and_summarises_what_was_found(started, project):
    ran = started("models.py:SwappedOutputs")
    ran.wait_for("NEW")
    assert ran.end(signal.SIGINT) == 1, ran.said + ran.errors
    assert ran.errors == ""
    assert "interrupted: what was found until then is above" in ran.said
    assert ran.said.rstrip().endswith("FINDINGS")
    assert "minimal input   0 float32[]" in ran.said
    (stored,) = (project / "found").iterdir()
    assert json.loads(stored.read_text())["inputs"][0]["values"] == ["0x0p+0"]
    report = json.loads((project / "report.json").read_text())
    assert (report["interrupted"], report["exit_code"]) == (True, 1)
    assert [d["regression"] for d in report["divergences"]] == [f"found/{stored.name}"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nobody_behind(started, project, sign):
    ran = started("models.py:SwappedOutputs")
    ran.wait_for("NEW")
    code = ran.end(sign, alone=True)
    assert ran.is_gone()
    assert len(list((project / "found").iterdir())) == 1
    if sign is signal.SIGTERM:
        assert code == 1
        assert "interrupted: what was found until then is above" in ran.said


def test_ctrl_c_while_workers_start_says_one_word(started):
    ran = started("models.py:Increment", "--input", "float32[N]")
    ran.wait_for("diffexport: Increment\n")
    time.sleep(1.5)  # a worker is importing torch, which takes longer
    assert ran.end(signal.SIGINT) == 130, ran.said + ran.errors
    assert ran.said.rstrip().endswith("interrupted")
    assert ran.errors == ""


INTERRUPTING = '''
import models

class {name}(models.{base}):
    """Raises KeyboardInterrupt, as Ctrl-C does, when it has been called often enough."""

    calls = 0

    def forward(self, a):
        {name}.calls += 1
        if {name}.calls == {calls}:
            raise KeyboardInterrupt
        return super().forward(a)
'''


def test_ctrl_c_while_shrinking_keeps_the_larger_input(check, project):
    text = INTERRUPTING.format(name="Shrinking", base="SwappedOutputs", calls=20)
    (project / "shrinking.py").write_text(text)
    ran = check("shrinking.py:Shrinking", code=1)
    (found,) = ran.divergences
    assert (found["kind"], found["shrunk"]) == ("structure", False)
    assert "(not shrunk: the run ended before)" in ran.out
    assert "interrupted: what was found until then is above" in ran.out
    assert len(ran.files) == 1


def test_ctrl_c_before_anything_was_found(check, project):
    text = INTERRUPTING.format(name="Agreeing", base="Increment", calls=20)
    (project / "agreeing.py").write_text(text)
    ran = check("agreeing.py:Agreeing", code=130)
    assert ran.report["interrupted"] is True
    assert ran.out.rstrip().endswith("interrupted")
    assert not ran.files


DYING = """
import os, signal
import torch

class Dies(torch.nn.Module):
    def forward(self, a):
        if self.training and bool((a > 100).any()):
            os.kill(os.getpid(), signal.SIGSEGV)
        return a + 1

class Lives(torch.nn.Module):
    def forward(self, a):
        return a + 1
"""
DEADLY = "torchscript,training=TRAINING"
MODES = ("torchscript", DEADLY, "torchscript,opset=9")


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """Run a model that kills its process in one mode, and one that does not; return folder, report, output."""
    folder = tmp_path_factory.mktemp("crashing")
    (folder / "dying.py").write_text(DYING)
    (folder / "pyproject.toml").write_text("")
    modes = [part for mode in MODES for part in ("--modes", mode)]
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "from diffexport.faces.cli import main; main()",
            "run",
            "dying.py:Dies",
            "dying.py:Lives",
            *modes,
            *ONE_WORKER,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ran.returncode, ran.stderr) == (1, ""), ran.stdout + ran.stderr
    return folder, json.loads((folder / "report.json").read_text()), ran.stdout


def test_a_process_that_dies_is_a_finding(crashed):
    folder, report, said = crashed
    (found,) = report["divergences"]
    assert (found["case"], found["mode"]) == ("Dies", DEADLY)
    assert (found["stage"], found["kind"], found["signature"]) == ("eager", "crash", "signal SIGSEGV")
    assert any(float.fromhex(value) > 100 for value in found["inputs"][0]["values"])
    assert (folder / found["regression"]).is_file()
    assert "the process ends with signal SIGSEGV while eager runs" in said
    assert said.rstrip().endswith("FINDINGS")


def test_the_run_goes_on_without_the_mode_that_killed_it(crashed):
    _, report, _ = crashed
    rows = {(row["case"], row["mode"]): row["verdict"] for row in report["results"]}
    others = {("Dies", "torchscript"), ("Dies", "torchscript,opset=9"), *(("Lives", mode) for mode in MODES)}
    assert {key for key, verdict in rows.items() if verdict == "agrees"} == others


def test_every_mode_has_one_row_after_a_crash(crashed):
    """Nothing is counted twice for having been done again, and the mode that crashed is not left out."""
    _, report, said = crashed
    rows = sorted((row["case"], row["mode"]) for row in report["results"])
    assert rows == sorted((case, mode) for case in ("Dies", "Lives") for mode in MODES)
    (row,) = (r for r in report["results"] if (r["case"], r["mode"]) == ("Dies", DEADLY))
    assert (row["verdict"], row["stage"], row["kind"]) == ("diverges", "eager", "crash")
    assert "5 agree, 1 NEW" in said


def test_a_stored_crash_is_replayed_in_a_process_of_its_own(crashed, monkeypatch):
    from diffexport.explore.stored_verdicts import judge_file

    folder, report, _ = crashed
    monkeypatch.chdir(folder)
    judged = judge_file(folder / report["divergences"][0]["regression"], {})
    assert (judged.status, judged.message) == ("STILL DIVERGES", "the process died (signal SIGSEGV)")


def test_a_run_that_fails_fast_stops_its_workers(project, monkeypatch):
    started = []
    begin = subprocess.Popen

    def noted(*args, **kwargs):
        started.append(begin(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    plan = RunPlan(
        targets=("models.py:SwappedOutputs", "single_output"),
        modes=select_modes(["torchscript"]),
        runtimes=("ort-disabled",),
        settings=Settings(examples=2, shrink=False, limits=Limits(stop_after=StopAfter.FIRST_FINDING)),
        jobs=1,
    )
    events = list(events_of(plan))
    assert [type(event) for event in events[-2:]] == [FindingMade, RunFinished]
    assert events[-1].stopped_early
    assert started
    assert all(process.returncode is not None for process in started)


LOCKING = """
import multiprocessing
import models

class Locking(models.SwappedOutputs):
    locks = []

    def forward(self, a):
        if not self.locks:
            # As a progress bar does it; where it is registered, it is missed when its process is killed.
            self.locks.append(multiprocessing.RLock())
            self.locks.append(multiprocessing.get_context("spawn").RLock())
        return super().forward(a)
"""

LOCKING_RUN = """
from diffexport.explore import RunPlan, Settings, events_of
from diffexport.values import select_modes

if __name__ == "__main__":
    settings = Settings(examples=2, shrink=False)
    plan = RunPlan(("locking.py:Locking",), select_modes(["torchscript"]), ("ort-disabled",), settings, jobs=1)
    for event in events_of(plan):
        print(type(event).__name__)
"""


def test_semaphores_of_workers_are_not_spoken_of(project):
    (project / "locking.py").write_text(LOCKING)
    (project / "script.py").write_text(LOCKING_RUN)
    ran = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, timeout=120, check=True
    )
    assert "FindingMade" in ran.stdout.split()
    assert "resource_tracker" not in ran.stderr
    assert ran.stderr == ""
