"""A small project whose findings are known, and hostile models that are put beside it.

The exports of three models are wrong on purpose, each in one way that shows on nearly every input, so that a run over
two modes takes a second besides its imports and always stores the same three findings. A fourth model is sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MODES = ("torchscript", "torchscript,dynamic=true")
RUNTIME = "ort-disabled"
#: Where runs store what they find, and where they write their report, below the folder of the project.
REGRESSIONS, REPORT = "tests/regressions", "report.json"

PROJECT = """\
import diffexport
import torch


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def symbolic(g, x):
        one, two = (g.op("Constant", value_t=torch.tensor(number)) for number in (1.0, 2.0))
        return g.op("Add", g.op("Mul", x, two), one)


class Less(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x - 1

    @staticmethod
    def symbolic(g, x):
        return g.op("Add", x, g.op("Constant", value_t=torch.tensor(1.0)))


class Doubled(torch.nn.Module):
    def forward(self, x):
        return Twice.apply(x)


class Lessened(torch.nn.Module):
    def forward(self, x):
        return Less.apply(x)


class Sound(torch.nn.Module):
    def forward(self, x):
        return x + 1


doubled = diffexport.make_case("doubled", Doubled, inputs=["float32[2]"])
lessened = diffexport.make_case("lessened", Lessened, inputs=["float32[3]"])
#: Its inputs and outputs are stored in files beside that of the finding.
wide = diffexport.make_case("wide", Doubled, inputs=["float32[300]"])
sound = diffexport.make_case("sound", Sound, inputs=["float32[2]"])
"""

#: The cases of the project, and what each that diverges computes in eager and when it was exported.
CASES = ("doubled", "lessened", "wide", "sound")
DIVERGING = {
    "doubled": (lambda x: x * 2, lambda x: x * 2 + 1),
    "lessened": (lambda x: x - 1, lambda x: x + 1),
    "wide": (lambda x: x * 2, lambda x: x * 2 + 1),
}
#: The one kind of all of their findings.
KIND = "value"


def target(case: str) -> str:
    """Return the target that names a case of the project."""
    return f"project.py:{case}"


def is_right(case: str, given: np.ndarray, eager: np.ndarray, got: np.ndarray) -> bool:
    """Return whether what is stored of a finding of one of the cases belongs together."""
    expected, exported = DIVERGING[case]
    with np.errstate(all="ignore"):
        return bool(
            np.allclose(eager, expected(given), equal_nan=True)
            and np.allclose(got, exported(given), equal_nan=True)
        )


def write_project(folder: Path) -> None:
    """Write the project."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.py").write_text(PROJECT)
    (folder / "pyproject.toml").write_text("")


@dataclass(frozen=True)
class Deed:
    """Something hostile that a model does.

    Attributes:
        code: lines of Python.
        kinds: kinds of a finding that may be reported about its model; None: any.
        is_noticed: the model cannot pass: there has to be a finding about it or a reason why it was not tested.
        stages: where it can be done.
    """

    code: str
    kinds: frozenset[str] | None
    is_noticed: bool
    stages: tuple[str, ...] = ("import", "build", "export", "eager")


def _dies(code: str) -> Deed:
    return Deed(code, frozenset({"crash"}), True)


def _hangs(code: str) -> Deed:
    return Deed(code, frozenset({"timeout"}), True)


def _alters(code: str, *stages: str) -> Deed:
    return Deed(code, None, False, *([stages] if stages else []))


#: What models do, by the kind of fault, each in several forms.
DEEDS: Mapping[str, tuple[Deed, ...]] = {
    "hang": (
        _hangs("while True: time.sleep(1)"),
        _hangs("while True: pass"),
        _hangs("signal.pause()"),
        _hangs("lock = threading.Lock(); lock.acquire(); lock.acquire()"),
        _hangs("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"),
        _hangs("os.read(os.pipe()[0], 1)"),
        _hangs("ctypes.CDLL(None).sleep(100000)"),
        _hangs("ctypes.PyDLL(None).sleep(100000)"),
    ),
    "abort": (
        _dies("os.abort()"),
        _dies("ctypes.CDLL(None).abort()"),
        _dies("signal.raise_signal(signal.SIGABRT)"),
        _dies("os.write(2, b'terminate called after throwing an instance of Error\\n'); os.abort()"),
    ),
    "segfault": (
        _dies("ctypes.string_at(0)"),
        _dies("signal.raise_signal(signal.SIGSEGV)"),
        _dies("ctypes.memset(1, 0, 64)"),
        _dies("signal.raise_signal(signal.SIGILL)"),
        _dies("signal.raise_signal(signal.SIGFPE)"),
        _dies("signal.raise_signal(signal.SIGBUS)"),
    ),
    "exit": (
        _dies("os._exit(0)"),
        _dies("os._exit(1)"),
        _dies("os._exit(77)"),
        _dies("os.execv('/bin/true', ['true'])"),
        _dies("ctypes.CDLL(None)._exit(0)"),
        _dies("ctypes.CDLL(None).exit(0)"),
    ),
    "raise": (
        Deed("raise SystemExit(0)", None, True),
        Deed("sys.exit()", None, True),
        Deed("raise GeneratorExit", None, True),
        Deed("class Odd(BaseException): pass\nraise Odd('odd')", None, True),
        Deed("def deeper(): return deeper()\ndeeper()", None, True),
        Deed("class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute", None, True),
        Deed("raise ValueError('x' * 3_000_000)", None, True),
        Deed("raise ValueError('\\ud800 \\x00 \\x1b[31m')", None, True),
        Deed("raise MemoryError", None, True),
    ),
    "fork": (
        _alters("os.fork()"),
        _alters("os.fork() or time.sleep(100000)"),
        _alters("os.fork() or os.setsid() or time.sleep(100000)"),
        _alters("if not os.fork(): raise SystemExit(0)"),
        _alters("if not os.fork(): raise RuntimeError('of the copy')"),
        _alters("if not os.fork(): os._exit(0)"),
        _alters("subprocess.Popen(['sleep', '100000'])"),
    ),
    "memory": (
        Deed("hoard.append(torch.empty(1 << 44, dtype=torch.uint8))", None, True),
        Deed("for _ in range(6): hoard.append(torch.ones(1 << 28))", None, True),
        Deed("for _ in range(24): hoard.append(bytearray(b'1' * (1 << 28)))", None, True),
        Deed("hoard.append([0] * (1 << 44))", None, True),
    ),
    "folder": (
        _alters("os.chdir('/')"),
        _alters("os.makedirs(f'gone{os.getpid()}', exist_ok=True); os.chdir(f'gone{os.getpid()}')"),
        _alters(
            "gone = tempfile.mkdtemp(); os.chdir(gone); os.rmdir(gone)",
        ),
        _alters("os.umask(0o777)"),
    ),
    "environment": (
        _alters("os.environ.clear()"),
        _alters(
            "os.environ['PATH'] = '/nowhere'; os.environ['HOME'] = '/nowhere'; os.environ['TMPDIR'] = '/nowhere'"
        ),
        _alters("sys.path[:] = []"),
        _alters("sys.argv[:] = ['x']"),
        _alters("warnings.simplefilter('error')"),
        _alters("logging.disable(logging.CRITICAL); logging.getLogger().handlers.clear()"),
        _alters(
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.default_int_handler)"
        ),
        _alters("sys.setrecursionlimit(120)", "export", "eager"),
        _alters("resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))"),
    ),
    "defaults": (
        _alters("torch.set_default_dtype(torch.float64)"),
        _alters("torch.set_default_device('meta')"),
        _alters("torch.set_grad_enabled(False)"),
        _alters("torch.set_num_threads(3)"),
        _alters("torch.use_deterministic_algorithms(True)"),
        _alters("torch.manual_seed(1); random.seed(1); numpy.random.seed(1)"),
        _alters("torch.set_flush_denormal(True)"),
        _alters("numpy.seterr(all='raise')"),
        _alters("torch.autograd.set_detect_anomaly(True)"),
        _alters("torch.set_printoptions(threshold=1)"),
    ),
    "patches": (
        _alters("torch.nn.Module.__call__ = lambda self, *a, **k: a[0]"),
        _alters("torch.Tensor.__mul__ = torch.Tensor.__add__"),
        _alters("torch.onnx.export = lambda *a, **k: None"),
        _alters("torch.allclose = lambda *a, **k: True; numpy.allclose = lambda *a, **k: True"),
        _alters("numpy.array = None; numpy.asarray = None"),
        _alters("json.dumps = lambda *a, **k: '{}'"),
        _alters("pickle.dumps = lambda *a, **k: b''"),
        _alters("open_before = os.open; os.open = lambda *a, **k: 1 / 0"),
        _alters("time.perf_counter = lambda: 0.0; time.monotonic = lambda: 0.0"),
        _alters("torch.autograd.Function.apply = classmethod(lambda cls, *a: a[0])"),
        _alters("sys.modules.pop('torch.onnx', None); sys.modules['onnx'] = None"),
        _alters("builtins.isinstance = lambda *a: True", "eager", "export"),
    ),
    "descriptors": (
        _alters("os.closerange(3, 256)"),
        _alters("os.close(1); os.close(2)"),
        _alters("os.closerange(0, 256)"),
        _alters("sys.stdout = sys.stderr = None"),
        _alters("sys.stdout.close(); sys.stderr.close()"),
        _alters(
            "for number in range(3, 40):\n    try: os.write(number, b'noise' * 40)\n    except OSError: pass"
        ),
        _alters("null = os.open('/dev/null', os.O_RDWR)\nfor number in range(3, 40): os.dup2(null, number)"),
    ),
    "noise": (
        _alters("print('x' * 20_000_000)"),
        _alters("os.write(1, b'y\\n' * 1_000_000); os.write(2, b'z\\n' * 1_000_000)"),
        _alters("sys.stderr.write('\\x1b[2J\\x00' * 100_000)"),
        _alters("for _ in range(20_000): warnings.warn(f'{time.time()}')"),
        _alters("logging.basicConfig(level=0)\nfor _ in range(20_000): logging.error('loud')"),
        _alters("os.write(1, b'Traceback of nothing\\n')"),
    ),
    "threads": (
        _alters("threading.Thread(target=time.sleep, args=(100000,)).start()"),
        _alters("atexit.register(time.sleep, 100000)"),
        _alters("threading.Timer(0.5, os._exit, (0,)).start()"),
        _alters("threading.Timer(0.5, os.abort).start()"),
        _alters("signal.setitimer(signal.ITIMER_REAL, 0.5)"),
        _alters(
            "signal.signal(signal.SIGALRM, lambda *_: 1 / 0); signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)"
        ),
    ),
}

_HOSTILE = """\
import atexit, builtins, ctypes, json, logging, os, pathlib, pickle, random, resource, signal, subprocess, sys
import tempfile, threading, time, warnings

import diffexport
import numpy
import torch

hoard, calls = [], []


def deed():
    calls.append(1)
    if {only_first} and len(calls) > 1:
        return
    descriptor = os.open({mark!r}, os.O_WRONLY | os.O_CREAT, 0o600)
    os.close(descriptor)
{code}


{at_import}


class Plain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        {at_symbolic}
        return g.op("Add", x, g.op("Constant", value_t=torch.tensor(1.0)))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        {at_build}

    def forward(self, x):
        if torch.onnx.is_in_onnx_export():
            {at_export}
        else:
            {at_eager}
        return Plain.apply(x)


{name} = diffexport.make_case({name!r}, Model, inputs=["float32[2]"])
"""


@dataclass(frozen=True)
class Hostile:
    """A hostile model.

    Attributes:
        name: of its module and of its case.
        deed: what it does.
        stage: when: import, build, export, symbolic or eager.
        condition: an expression over ``x`` without which an eager run does nothing.
        only_first: it does so once in each process.
    """

    name: str
    deed: Deed
    stage: str
    condition: str = ""
    only_first: bool = False

    @property
    def target(self) -> str:
        """The target that names it."""
        return f"{self.name}.py:{self.name}"

    @property
    def words(self) -> str:
        """What it does when, in a line."""
        first = " ".join(self.deed.code.split())
        when = f" if {self.condition}" if self.condition else ""
        return f"{self.name}: {first[:90]} in {self.stage}{when}{', once' if self.only_first else ''}"

    def mark(self, folder: Path) -> Path:
        """Return the file that is there as soon as the deed was begun."""
        return folder / f"{self.name}.mark"

    def write(self, folder: Path, marks: Path) -> None:
        """Write the module.

        Args:
            folder: of the project.
            marks: where the mark is left.
        """
        calls = {
            f"at_{stage}": "deed()" if stage == self.stage else "pass"
            for stage in ("import", "build", "export", "symbolic", "eager")
        }
        if self.stage == "eager" and self.condition:
            calls["at_eager"] = f"if {self.condition}: deed()"
        code = "\n".join(f"    {line}" for line in self.deed.code.splitlines())
        text = _HOSTILE.format(
            name=self.name,
            code=code,
            mark=str(self.mark(marks)),
            only_first=self.only_first,
            **calls,
        )
        (folder / f"{self.name}.py").write_text(text)
