"""What a log shows of a long run."""

import io
import time

from rich.console import Console

from diffexport.findings.events.events import ModeFinished, RunStarted
from diffexport.findings.regressions.finding_store import FindingStore
from diffexport.findings.reports.tally import Tally
from diffexport.findings.reports.terminal import PROGRESS_EVERY, PROGRESS_SECONDS, Terminal


def test_a_log_gets_a_line_of_progress_now_and_then():
    log = io.StringIO()
    terminal = Terminal(Tally(), FindingStore(), console=Console(file=log, width=120))
    terminal.take(RunStarted(("clamp",), 2 * PROGRESS_EVERY, ("ort-all",), 4, 0, "nightly", False, {}))
    for _ in range(PROGRESS_EVERY - 1):
        terminal.take(ModeFinished("clamp", "torchscript", ()))
    assert "now clamp" not in log.getvalue()
    terminal.take(ModeFinished("clamp", "torchscript", ()))
    assert f"{PROGRESS_EVERY} of {2 * PROGRESS_EVERY:,} modes, now clamp torchscript" in log.getvalue()


def test_a_log_does_not_stay_silent_for_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    log = io.StringIO()
    terminal = Terminal(Tally(), FindingStore(), console=Console(file=log, width=120))
    terminal.take(RunStarted(("clamp",), 10, ("ort-all",), 4, 0, "nightly", False, {}))
    for _ in range(3):
        now[0] += PROGRESS_SECONDS / 2 + 1
        terminal.take(ModeFinished("clamp", "dynamo", ()))
    assert log.getvalue().count("now clamp dynamo") == 1
    assert "  2 of 10 modes, now clamp dynamo\n" in log.getvalue()
