"""Workers that die, hang or are killed: what is reported, and that the rest is done all the same."""

import os
import signal
import subprocess
import threading
from collections import Counter

import pytest

from diffexport.explore import RunPlan, Settings, events_of
from diffexport.findings.events import CaseFailed, FindingMade, ModeFinished, RowVerdict
from diffexport.findings.reports import EXIT_USAGE, Tally
from diffexport.values import Kind, Stage, StepLimits, select_modes

pytestmark = pytest.mark.slow

MODELS = """
import os, signal, time
import onnxruntime, torch

class Clamped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clamp(min=0.5)

    @staticmethod
    def symbolic(g, x):
        return g.op("Relu", x)

class Wrong(torch.nn.Module):
    def forward(self, x):
        return Clamped.apply(x)

class Right(torch.nn.Module):
    def forward(self, x):
        return x + 1

class EndsOnEmpty(torch.nn.Module):
    def forward(self, x):
        if x.numel() == 0:
            os._exit(0)
        return Clamped.apply(x)

class DiesInSymbolic(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        os.kill(os.getpid(), signal.SIGSEGV)

class Dies(torch.nn.Module):
    def forward(self, x):
        return DiesInSymbolic.apply(x)

class AddsOrDies(torch.autograd.Function):
    # Wrong in dynamo, and the end of the process in TorchScript.
    @staticmethod
    def forward(ctx, x):
        return x + 2 if torch.onnx.is_in_onnx_export() else x + 1

    @staticmethod
    def symbolic(g, x):
        os.kill(os.getpid(), signal.SIGSEGV)

class WrongOrDies(torch.nn.Module):
    def forward(self, x):
        return AddsOrDies.apply(x)

class Slow(torch.nn.Module):
    def forward(self, x):
        if not torch.jit.is_tracing():
            time.sleep(0.25)
        return x + 1

class HangsInSymbolic(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        while True:
            time.sleep(0.05)

class Hangs(torch.nn.Module):
    def forward(self, x):
        return HangsInSymbolic.apply(x)

class TakesTooMuch(torch.nn.Module):
    def forward(self, x):
        return x + torch.empty(1 << 42)[:1]

class TakesTooMuchToTrace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        return torch.empty(1 << 42)

class TakesTooMuchInExport(torch.nn.Module):
    def forward(self, x):
        return TakesTooMuchToTrace.apply(x)

def at_empty_inputs(end):
    run = onnxruntime.InferenceSession.run
    def runs(self, names, feeds, *more):
        if any(value.size == 0 for value in feeds.values()):
            end()
        return run(self, names, feeds, *more)
    onnxruntime.InferenceSession.run = runs

class PutNowhere(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        here = torch.zeros(min(len(x), 1), dtype=torch.int64)
        return x.clone().index_put_((here,), x[:1].clamp(min=-4.0))

    @staticmethod
    def symbolic(g, x):
        return g.op("Identity", x)

class AbortsOrPutsNowhere(torch.nn.Module):
    # The end of the process in the kernel for empty inputs, and wrong for some others.
    def __init__(self):
        super().__init__()
        at_empty_inputs(os.abort)

    def forward(self, x):
        return PutNowhere.apply(x)

class IsKilledAtEmptyInputs(Right):
    def __init__(self):
        super().__init__()
        at_empty_inputs(lambda: os.kill(os.getpid(), signal.SIGKILL))

class Forks(torch.nn.Module):
    forked = 0

    def forward(self, x):
        if Forks.forked < 3:
            Forks.forked += 1
            os.fork()
        return x + 1
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hostile.py").write_text(MODELS)
    return tmp_path


def plan(*names, modes="torchscript", limits=None, jobs=1, block=4, examples=3):
    return RunPlan(
        targets=tuple(f"hostile.py:{name}" for name in names),
        modes=select_modes([modes] if isinstance(modes, str) else modes),
        runtimes=("ort-disabled",),
        settings=Settings(examples=examples, block=block, steps=limits or StepLimits()),
        inputs=("float32[N]",),
        jobs=jobs,
    )


def carry_out(asked):
    events = list(events_of(asked))
    findings = [event.finding for event in events if isinstance(event, FindingMade)]
    rows = {event.mode: event.rows[0] for event in events if isinstance(event, ModeFinished)}
    failed = [event.message for event in events if isinstance(event, CaseFailed)]
    return findings, rows, failed


def seen(findings):
    return Counter((f.divergence.kind, f.divergence.stage) for f in findings)


def test_an_end_of_the_process_hides_nothing_behind_it(project):
    findings, rows, failed = carry_out(plan("EndsOnEmpty", modes="torchscript,dynamic=true"))
    assert seen(findings) == {(Kind.CRASH, Stage.EAGER): 1, (Kind.VALUE, Stage.COMPARE): 1}
    crash = next(f for f in findings if f.divergence.kind is Kind.CRASH)
    assert (crash.divergence.signature, crash.inputs[0].shape, crash.shrunk) == ("exit code 0", (0,), True)
    row = rows["torchscript,dynamic=true"]
    assert row.verdict is RowVerdict.DIVERGES
    # To its end: the check that is fatal was not made again.
    assert row.reason == ""
    assert not failed


def test_a_kernel_that_ends_the_process_for_empty_inputs_hides_no_wrong_value(project):
    asked = plan("AbortsOrPutsNowhere", modes="torchscript,dynamic=true", examples=30)
    findings, rows, failed = carry_out(asked)
    crash = [finding for finding in findings if finding.divergence.kind is Kind.CRASH]
    wrong = [finding for finding in findings if finding.divergence.stage is Stage.COMPARE]
    assert len(findings) == len(crash) + len(wrong)
    assert [(one.divergence.stage, one.divergence.signature) for one in crash] == [
        (Stage.RUN, "signal SIGABRT")
    ]
    assert "while ort-disabled runs the exported model" in crash[0].divergence.message
    assert [array.shape for array in crash[0].inputs] == [(0,)]
    assert Kind.VALUE in [finding.divergence.kind for finding in wrong]
    row = rows["torchscript,dynamic=true"]
    assert (row.verdict, row.reason) == (RowVerdict.DIVERGES, "")
    assert not failed


def test_a_check_that_is_killed_is_no_crash_and_ends_nothing(project):
    asked = plan("IsKilledAtEmptyInputs", modes="torchscript,dynamic=true", examples=30)
    findings, rows, failed = carry_out(asked)
    assert (findings, failed) == ([], [])
    row = rows["torchscript,dynamic=true"]
    assert (row.verdict, row.reason) == (RowVerdict.AGREES, "")
    assert row.out_of_memory > 0
    assert row.checks > row.out_of_memory


def test_a_crash_of_the_export_is_said_to_be_one(project):
    findings, rows, failed = carry_out(plan("Dies", modes=("torchscript", "torchscript,opset=17")))
    assert seen(findings) == {(Kind.CRASH, Stage.CONVERT): 1}
    assert "SIGSEGV while the model is exported" in findings[0].divergence.message
    assert {row.verdict for row in rows.values()} == {RowVerdict.DIVERGES}
    assert len(rows) == 2
    assert not failed


def test_a_simpler_mode_that_is_fatal_does_not_hide_a_finding(project):
    """A finding of dynamo is tried in TorchScript, which nobody asked for, and which ends the process."""
    findings, rows, failed = carry_out(plan("WrongOrDies", modes="dynamo"))
    assert {divergence for divergence, _ in seen(findings)} & {Kind.VALUE, Kind.INFINITY}
    assert not {divergence for divergence, _ in seen(findings)} & {Kind.CRASH, Kind.TIMEOUT}
    assert all(finding.shrunk and not finding.flaky and finding.mode == "dynamo" for finding in findings)
    assert list(rows) == ["dynamo"]
    assert rows["dynamo"].verdict is RowVerdict.DIVERGES
    assert not failed


@pytest.mark.parametrize("jobs", [0, 1], ids=["in this process", "in a worker"])
def test_what_does_not_end_is_a_finding(project, jobs):
    limits = StepLimits(export_seconds=5, check_seconds=60)
    findings, rows, failed = carry_out(plan("Hangs", limits=limits, jobs=jobs))
    assert seen(findings) == {(Kind.TIMEOUT, Stage.CONVERT): 1}
    assert "no end within 5 s while the model is exported" in findings[0].divergence.message
    assert rows["torchscript"].verdict is RowVerdict.DIVERGES
    assert not failed


def test_copies_of_a_worker_answer_nothing(project):
    findings, rows, failed = carry_out(plan("Forks", "Right"))
    assert (findings, failed) == ([], [])
    assert rows["torchscript"].verdict is RowVerdict.AGREES


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_killed_from_outside_are_replaced(project, number):
    """Three times in one run, whatever they are doing."""
    killed = []
    over = threading.Event()

    def kill():
        while len(killed) < 3 and not over.wait(0.2):
            for pid in children_of(os.getpid()):
                if pid not in killed and is_at_work(pid):
                    killed.append(pid)
                    os.kill(pid, number)
                    break

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        findings, rows, failed = carry_out(plan("Wrong"))
    finally:
        over.set()
        thread.join()
    assert len(killed) == 3
    assert seen(findings) == {(Kind.VALUE, Stage.COMPARE): 1}
    assert rows["torchscript"].verdict is RowVerdict.DIVERGES
    assert not failed


def test_a_worker_that_is_always_killed_leaves_its_mode_untested(project):
    over = threading.Event()

    def kill():
        while not over.wait(0.1):
            for pid in children_of(os.getpid()):
                if is_at_work(pid):
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        findings, rows, failed = carry_out(plan("Wrong"))
    finally:
        over.set()
        thread.join()
    assert not findings
    text = "its worker was killed from outside"
    assert any(text in message for message in (*failed, *(row.reason for row in rows.values())))
    assert all(row.verdict is RowVerdict.UNTESTED for row in rows.values())


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(text) for text in file.read().split()]


def is_at_work(pid):
    """Whether a worker has loaded torch: it has a few hundred megabytes then."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096 > 250 << 20
    except (OSError, IndexError):
        return False


def test_the_time_of_a_limit_is_that_of_one_step(project, monkeypatch):
    """Many short steps take longer than the limit together, those of one batch of samples too."""
    started = []
    begin = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *given, **more: started.append(1) or begin(*given, **more)
    )
    limits = StepLimits(export_seconds=60, check_seconds=5)
    findings, rows, failed = carry_out(plan("Slow", limits=limits, block=24))
    assert (findings, failed) == ([], [])
    assert rows["torchscript"].verdict is RowVerdict.AGREES
    assert rows["torchscript"].seconds > 6
    # None was ended, and its mode done again.
    assert len(started) == 1


@pytest.mark.parametrize("name", ["TakesTooMuch", "TakesTooMuchInExport"])
def test_memory_that_runs_out_is_neither_a_finding_nor_agreement(project, name):
    asked = plan(name, limits=StepLimits(memory=1 << 30))
    tally = Tally()
    for event in events_of(asked):
        tally.take(event)
    assert not tally.findings
    assert tally.exit_code == EXIT_USAGE
    (row,) = tally.rows()
    assert (row.verdict, row.rejected, row.checks) == (RowVerdict.UNTESTED, 0, 0)
    assert row.out_of_memory > 0
    (one,) = tally.untested()
    assert one.failed
    assert "memory ran out" in one.reason
