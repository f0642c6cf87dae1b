"""The smallest part of benchmarks/faults.py: one trial of each of some kinds, and 0 in every column."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
TRIALS = (
    "kill-main:0",
    "kill-worker-again:0",
    "exit-import:1",
    "closed-terminal:0",
    "special-report:1",
    "configuration:0",
)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched through /proc")
def test_nothing_is_lost_and_nothing_lies(tmp_path):
    report = tmp_path / "faults.json"
    only = [word for trial in TRIALS for word in ("--only", trial)]
    command = [sys.executable, _ROOT / "benchmarks" / "faults.py", *only, "--json", report]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    document = json.loads(report.read_text())
    wrong = {trial["kind"]: trial["remarks"] for trial in document["trials"] if any(trial["counts"].values())}
    assert not wrong
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(document["kinds"]) == len(TRIALS)
    assert document["injected"] >= len(TRIALS)
