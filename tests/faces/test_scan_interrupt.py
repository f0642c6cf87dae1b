"""Ctrl-C in a scan keeps what was found, and the scan can be gone on with."""

import json
import signal
import time

import pytest

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


@pytest.mark.slow
def test_ctrl_c_in_a_scan_keeps_what_was_found_and_the_rest_can_follow(cli, launch, project):
    (project / "slow").mkdir()
    (project / "slow" / "__init__.py").write_text(SLOW)
    (project / "quick").write_text("")
    ran = launch("scan", "slow", *OPTIONS)
    ran.wait_for("slow.Wrong: diverges")
    until = time.monotonic() + 60
    while not (project / "waiting").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert ran.end(signal.SIGINT) == 1, ran.said + ran.errors
    assert ran.errors == ""
    assert "interrupted: go on with --resume" in ran.said
    assert "minimal input   0 float32[]" in ran.said
    assert ran.is_gone()
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
