"""The faces of the tool are tested as people meet them: by command, output, exit code and files left behind.

Commands run in this process unless a test is about processes. Models live in files of their own in a fresh
folder; each has a name of its own, so that no test depends on what another one left in a cache.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

# pytest's own sessions inside of tests forget the modules that they load; what is loaded before stays.
import diffexport.explore.replayer  # noqa: F401

#: Models whose ONNX export means something else than they do, and some that agree.
MODELS = '''
import torch
from torch.autograd import Function


def constant(g, value):
    return g.op("Constant", value_t=torch.tensor(float(value)))


class Subtract(Function):
    @staticmethod
    def forward(ctx, a, b):
        return a - b

    @staticmethod
    def symbolic(g, a, b):
        return g.op("Add", a, b)


class AddForSubtract(torch.nn.Module):
    def forward(self, a, b):
        return Subtract.apply(a, b)


class Pair(Function):
    @staticmethod
    def forward(ctx, a):
        return a + 1, a * 2

    @staticmethod
    def symbolic(g, a):
        return g.op("Mul", a, constant(g, 2)), g.op("Add", a, constant(g, 1))


class SwappedOutputs(torch.nn.Module):
    def forward(self, a):
        return Pair.apply(a)


class BakedDimension(torch.nn.Module):
    """The size of the first dimension becomes a constant of the graph."""

    def forward(self, a):
        return a + int(a.shape[0])


class BakedReshape(torch.nn.Module):
    def forward(self, a):
        return a.reshape(int(a.shape[0]), -1)


class Increment(torch.nn.Module):
    def forward(self, a):
        return a + 1


class Negate(Function):
    @staticmethod
    def forward(ctx, a):
        return -a

    @staticmethod
    def symbolic(g, a):
        return g.op("Sub", constant(g, 0), a)


class PositiveZero(torch.nn.Module):
    """Exported as 0 - a, which makes +0 of 0 where -a makes -0: nothing else differs."""

    def forward(self, a):
        return Negate.apply(a)
'''


@dataclass
class Ran:
    """What a command said and left with."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@pytest.fixture
def models():
    """The source of ``models.py``."""
    return MODELS


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder of a foreign project, with ``models.py`` in it, as the current folder."""
    (tmp_path / "models.py").write_text(MODELS)
    # Without a pyproject.toml of its own, one of a folder above would be found.
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(project, monkeypatch, capsys):
    """Run the command line in this process; ``code`` is what it has to leave with."""
    from diffexport.faces.cli import main

    def run(*args: object, code: int | None = None) -> Ran:
        monkeypatch.setattr(sys, "argv", ["diffexport", *map(str, args)])
        capsys.readouterr()
        left: str | int | None = 0
        try:
            main()
        except SystemExit as error:
            left = error.code
        captured = capsys.readouterr()
        ran = Ran(left or 0, captured.out, captured.err)
        assert "Traceback" not in ran.said, ran.said
        assert code is None or ran.code == code, f"exit code {ran.code}\n{ran.said}"
        return ran

    return run


#: The cheapest way to run: milliseconds an export, no worker processes.
CHEAP = ("--modes", "torchscript", "--runtime", "ort-disabled", "--jobs", "0")


@dataclass
class Reported(Ran):
    """A run with its report and the regression files it wrote."""

    report: dict
    files: list[str]

    @property
    def divergences(self) -> list[dict]:
        return self.report["divergences"]

    def summary(self) -> set[tuple]:
        """Every divergence as (stage, kind, what its inputs read)."""
        return {(d["stage"], d["kind"], *(x["reads"] for x in d["inputs"])) for d in self.divergences}


# A test run that was started in the background ignores Ctrl-C, and so would its children.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


class Launched:
    """The command line in a process and a group of its own."""

    def __init__(self, arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{LISTENING}; from diffexport.faces.cli import main; main()", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.said = self.errors = ""

    def wait_for(self, words):
        """Read what it prints until there are these words."""
        while words not in self.said:
            line = self.process.stdout.readline()
            assert line, f"it ended before {words!r}:\n{self.said}\n{self.process.stderr.read()}"
            self.said += line

    def end(self, sign, *, alone=False):
        """Send a signal, as the terminal does it to every process of the group; return the exit code."""
        (os.kill if alone else os.killpg)(self.process.pid, sign)
        rest, self.errors = self.process.communicate(timeout=60)
        self.said += rest
        return self.process.returncode

    def is_gone(self):
        """Whether soon no process of the group is left; a helper of multiprocessing sees late that it is alone."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.1)
        return False


@pytest.fixture
def launch(project):
    """Start the command line in a process of its own; whatever is left of its group at the end is killed."""
    launched = []

    def start(*arguments):
        launched.append(Launched(arguments))
        return launched[-1]

    yield start
    for one in launched:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


@pytest.fixture
def check(cli, project):
    """``diffexport run`` in the cheapest mode, with a report and a folder ``found`` for regressions."""

    def run(*args: object, code: int | None = None, cheap: tuple = CHEAP) -> Reported:
        file = project / "report.json"
        ran = cli("run", *args, *cheap, "--json", file, "--save", project / "found", code=code)
        report = json.loads(file.read_text())
        assert report["exit_code"] == ran.code
        stored = sorted(path.name for path in Path(project / "found").glob("*"))
        return Reported(ran.code, ran.out, ran.err, report, stored)

    return run


@pytest.fixture
def explore():
    """Explore a case without shrinking, which costs milliseconds; return the findings, and (mode, row) pairs."""
    from diffexport.explore.explorer import Explorer
    from diffexport.explore.settings import Settings
    from diffexport.findings.events.events import FindingMade, ModeFinished
    from diffexport.values.mode import Mode

    def run(case, *modes, known=(), examples=4, seed=0):
        settings = Settings(examples=examples, seed=seed, shrink=False)
        explorer = Explorer(case, ["ort-disabled"], settings, known)
        events = list(explorer.explore([Mode.parse(mode) for mode in modes]))
        findings = [event.finding for event in events if isinstance(event, FindingMade)]
        rows = [(e.mode, row) for e in events if isinstance(e, ModeFinished) for row in e.rows]
        return findings, rows

    return run
