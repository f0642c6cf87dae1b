"""Stored regressions as tests: collecting reads none of them, and whatever one does, it fails as one test."""

from __future__ import annotations

import json
import os

import pytest

from diffexport.subjects import catalogue

#: The replays happen in a process of their own.
pytestmark = pytest.mark.slow

GOOD = json.loads(
    next(catalogue.regressions_folder().glob("clamp--torchscript--ort-disabled--*")).read_text()
)
BAD = {
    "abort": "import os\nos.abort()",
    "exits": "import os\nos._exit(0)",
    "interrupts": "raise KeyboardInterrupt",
    "hangs": "import time\ntime.sleep(1000)",
}


def write(pytester, name, document):
    path = pytester.path / f"{name}.diffexport.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))


@pytest.fixture
def hostile(pytester):
    """A project with hostile files and two good ones."""
    pytester.makepyprojecttoml("[tool.diffexport]\nimport_timeout = 8\n[tool.pytest.ini_options]\n")
    for name, text in BAD.items():
        (pytester.path / f"{name}_module.py").write_text(f"open('executed', 'w').close()\n{text}\n")
        write(pytester, name, {**GOOD, "target": f"{name}_module.py:x"})
    (pytester.path / "fine_module.py").write_text(
        "import torch\nclass Fine(torch.nn.Module):\n    def forward(self, x):\n        return x + 1\n"
    )
    write(pytester, "broken", "[" * 100_000)
    write(pytester, "deep", json.dumps(GOOD).replace('"seed": 0', f'"seed": {"9" * 5000}'))
    write(pytester, "outside", {**GOOD, "target": "../elsewhere.py:x"})
    for name in ("a_fine", "z_fine"):
        write(pytester, name, {**GOOD, "target": "fine_module.py:Fine"})
    return pytester


def run(pytester, *arguments):
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def test_each_bad_file_fails_with_a_few_lines(hostile):
    result = run(hostile, "-v")
    result.assert_outcomes(failed=7, passed=2)
    text = "\n".join(result.outlines)
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    for said in (
        "importing abort_module.py:x: the process died (signal SIGABRT)",
        "importing exits_module.py:x: the process died (exit code 0)",
        "importing interrupts_module.py raises KeyboardInterrupt",
        "importing hangs_module.py:x: it still runs after 8 s",
        "nested too deeply",
        "has an integer of 5,000 digits",
        "--allow-outside",
    ):
        assert said in text
    result.stdout.fnmatch_lines(["*z_fine.diffexport.json::replay PASSED*"])
    assert "there is no file ../elsewhere.py" in "\n".join(
        run(hostile, "outside.diffexport.json", "--diffexport-allow-outside").outlines
    )


def test_collecting_reads_nothing(hostile):
    os.mkfifo(hostile.path / "pipe.diffexport.json")
    result = run(hostile, "--collect-only", "-q")
    assert result.ret == 0
    assert sum(line.endswith("::replay") for line in result.outlines) >= 9
    assert not (hostile.path / "executed").exists()
