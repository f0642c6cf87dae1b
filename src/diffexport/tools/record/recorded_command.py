"""A command that is run with a recorder in it, in each Python process that it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffexport.errors import UsageError
from diffexport.infer.recorded import Recorded
from diffexport.tools.record import argument_describer, call_recorder
from diffexport.tools.record.generalised_calls import targets_of

#: What Python runs when it starts. The folder is off the path again before anything of the command's is imported, and
#: a sitecustomize that was there before is run as if nothing had been.
_HOOK = """
import sys

def _loaded(name, file):
    import importlib.util
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def _go_on():
    own = sys.modules.pop("sitecustomize", None)
    sys.path[:] = [entry for entry in sys.path if entry != {folder!r}]
    try:
        import sitecustomize
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        if own is not None:
            sys.modules["sitecustomize"] = own

try:
    _describer = _loaded("diffexport_argument_describer", {describer!r})
    _loaded("diffexport_call_recorder", {recorder!r}).begin(_describer.Describer)
except Exception:
    pass
_go_on()
"""


@dataclass(frozen=True)
class RecordedRun:
    """What came of a command.

    Attributes:
        recorded: what it called.
        processes: how many of its processes called anything.
        problem: why it was not run to its end; empty if it was, whatever its exit code.
    """

    recorded: Recorded
    processes: int
    problem: str = ""


def record(command: Sequence[str], modules: Sequence[str] = ()) -> RecordedRun:
    """Run a command here, with its own output, and return what it called.

    Args:
        command: with its arguments.
        modules: which modules are recorded besides every ``autograd.Function``: ``package.module:Class``, with globs.

    Raises:
        UsageError: there is no such command, or it cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="diffexport-record-") as temporary:
        hook, results = Path(temporary, "hook"), Path(temporary, "calls")
        hook.mkdir()
        results.mkdir()
        text = _HOOK.format(
            recorder=call_recorder.__file__, describer=argument_describer.__file__, folder=str(hook)
        )
        (hook / "sitecustomize.py").write_text(text, encoding="utf-8")
        code = _run(command, _environment(hook, results, modules))
        files = sorted(results.glob("*.jsonl"))
        documents = [_lines(file) for file in files]
        recorded = Recorded(tuple(command), code, tuple(targets_of(documents, Path.cwd())))
        return RecordedRun(recorded, len(files), _ended(code))


def _environment(hook: Path, results: Path, modules: Sequence[str]) -> dict[str, str]:
    before = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": str(hook) + (os.pathsep + before if before else ""),
        call_recorder.FOLDER_VARIABLE: str(results),
        call_recorder.MODULES_VARIABLE: json.dumps(list(modules)),
    }


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a command to its end and return its exit code, negative for the signal that ended it.

    What is pressed on the keyboard goes to the command as well, which decides what becomes of it.
    """
    try:
        process = subprocess.Popen(list(command), env=environment)
    except FileNotFoundError:
        raise UsageError(
            f"there is no command {command[0]!r}; write for instance -- python script.py"
        ) from None
    except OSError as error:
        raise UsageError(f"the command {command[0]!r} cannot be run: {error.strerror or error}") from None
    if threading.current_thread() is not threading.main_thread():
        return process.wait()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _ended(code: int) -> str:
    if code == 0:
        return ""
    if code > 0:
        return f"the command failed with exit code {code}"
    try:
        return f"the command was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"the command was ended by signal {-code}"


def _lines(file: Path) -> list[dict[str, Any]]:
    """Return what one process wrote; a last line that it did not finish is left out."""
    documents = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            documents.append(json.loads(line))
        except ValueError:
            continue
    return [one for one in documents if isinstance(one, dict)]
