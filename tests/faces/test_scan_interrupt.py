"""Ctrl-C in a scan keeps what was found, and the scan can be gone on with."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

# A test run that was started in the background ignores Ctrl-C, and so would its children.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{LISTENING}; from diffexport.cli import main; main()", "scan", "slow"]
OPTIONS = ["--modes", "torchscript", "--runtime", "ort-disabled", "--jobs", "1", "--json", "report.json"]

SLOW = """
import time
import torch
from torch.autograd import Function


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):
        return x - 1

    @staticmethod
    def symbolic(g, x):
        return g.op("Add", x, g.op("Constant", value_t=torch.tensor(1.0)))


class Waits(Function):
    @staticmethod
    def forward(ctx, x):
        open("waiting", "w").close()
        time.sleep(60 if not open("quick").read() else 0)
        return x + 1


class Last(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2
"""


def is_gone(group):
    """Whether no process of a group is left, soon: a helper of multiprocessing sees only later that it is alone."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_ctrl_c_in_a_scan_keeps_what_was_found_and_the_rest_can_follow(cli, project):
    (project / "slow").mkdir()
    (project / "slow" / "__init__.py").write_text(SLOW)
    (project / "quick").write_text("")
    process = subprocess.Popen(
        [*COMMAND, *OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        said = ""
        while "slow.Wrong: diverges" not in said:
            line = process.stdout.readline()
            assert line, f"it ended before anything was found:\n{said}\n{process.stderr.read()}"
            said += line
        until = time.monotonic() + 60
        while not (project / "waiting").exists() and time.monotonic() < until:
            time.sleep(0.05)
        # As the terminal does it: to every process of the group.
        os.killpg(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    said += rest
    assert process.returncode == 1, said + errors
    assert errors == ""
    assert "interrupted: go on with --resume" in said
    assert "minimal input   0 float32[]" in said
    assert is_gone(process.pid)
    report = json.loads((project / "report.json").read_text())
    assert report["interrupted"] is True
    (found,) = [own for own in report["functions"] if own["status"] == "diverges"]
    assert found["name"] == "slow.Wrong"
    (stored,) = (project / "tests" / "regressions").glob("*.json")
    assert [(project / own["regression"]) for own in found["findings"]] == [stored]

    (project / "quick").write_text("now")
    ran = cli("scan", "slow", *OPTIONS, "--resume", code=1)
    assert "1 of them done before" in ran.out
    report = json.loads((project / "report.json").read_text())
    assert report["interrupted"] is False
    assert {own["name"]: own["status"] for own in report["functions"]} == {
        "slow.Wrong": "diverges",
        "slow.Waits": "agrees",
        "slow.Last": "agrees",
    }
