"""What a child process does with stored regressions: it replays one after the other, or makes the script of one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffexport.errors import DiffexportError
from diffexport.explore.judged import Judged, ReplayProgress, StoredRules
from diffexport.findings.regressions import Status
from diffexport.processes import STEPS, Handler, ParentProcess
from diffexport.subjects.cases import Known
from diffexport.values import StepLimits


@dataclass(frozen=True)
class ReplayRequest:
    """A file to be replayed."""

    path: Path


@dataclass(frozen=True)
class ReplayAnswer:
    """What came of it.

    Attributes:
        judged: what is said of the file.
        spoiled: what it has changed in the process, so that another one has to be replayed elsewhere; empty: nothing.
    """

    judged: Judged
    spoiled: str


def prepare_replays(
    parent: ParentProcess, known: Sequence[Known], rules: StoredRules, limits: StepLimits
) -> Handler:
    """Prepare a child process for replays; return what answers a request."""
    import torch

    from diffexport.explore.stored_verdicts import judge_file, tied_entries

    torch.set_num_threads(1)
    STEPS.limits = limits
    tied = tied_entries(known)

    last: list[ReplayProgress] = []

    def listener(progress: ReplayProgress) -> None:
        last[:] = [progress]
        parent.announce(progress)
        STEPS.begin("import", case="", mode="")

    def answer(request: ReplayRequest) -> ReplayAnswer:
        before = ProcessTraits.now()
        try:
            judged = judge_file(request.path, tied, rules=rules, listener=listener)
        except Exception:
            raise
        except BaseException as error:  # noqa: BLE001 - what user code raises to end a process ends one file
            text = f"{last[0]} raised {type(error).__name__}: {error}".removesuffix(": ")
            judged = Judged(request.path, Status.ERROR, False, "", text)
            return ReplayAnswer(judged, text)
        finally:
            STEPS.end()
        return ReplayAnswer(judged, before.changes())

    return answer


def prepare_scripts(_: ParentProcess, rules: StoredRules) -> Handler:
    """Prepare a child process that makes scripts; return what answers with the script of a file, or with an error."""
    from diffexport.findings.regressions import load
    from diffexport.findings.scripts import unexecuted_script

    def answer(path: Path) -> tuple[bool, str]:
        try:
            return True, unexecuted_script(load(path, largest=rules.largest), rules.project)
        except DiffexportError as error:
            return False, str(error)

    return answer


@dataclass(frozen=True)
class ProcessTraits:
    """What of a process a model may change, so that the next one is not treated as it would be alone."""

    folder: str
    environment: dict[str, str]
    settings: tuple[object, ...]
    functions: dict[str, dict[str, Any]]

    @classmethod
    def now(cls) -> ProcessTraits:
        """Look at this process."""
        import torch

        settings = (
            torch.get_default_dtype(),
            str(torch.get_default_device()),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            sys.getrecursionlimit(),
        )
        environment = {name: text for name, text in os.environ.items() if not name.startswith(_OF_TORCH)}
        return cls(_folder(), environment, settings, {name: _contents(name) for name in _WATCHED})

    def changes(self) -> str:
        """Return what has changed since; empty: nothing."""
        now = ProcessTraits.now()
        changed = [
            name
            for name, before, after in (
                ("the working directory", self.folder, now.folder),
                ("the environment", self.environment, now.environment),
                ("settings of torch or Python", self.settings, now.settings),
            )
            if before != after
        ]
        changed += [
            f"{name}.{key}"
            for name, contents in self.functions.items()
            for key, one in contents.items()
            if (other := now.functions[name].get(key, one)) is not one and not _is_of_torch(other)
        ]
        return ", ".join(changed[:5])


#: Where a model is likely to patch what others use.
_WATCHED = (
    "builtins",
    "torch",
    "torch.Tensor",
    "torch.nn.Module",
    "torch.nn.functional",
    "torch.onnx",
    "numpy",
)


#: Variables that torch sets itself when it is first asked to compile something.
_OF_TORCH = ("TORCH", "PYTORCH", "TRITON", "KMP_")


def _contents(name: str) -> dict[str, Any]:
    """Return what is in a module or a class."""
    holder = sys.modules.get(name)
    if holder is None:
        module, _, attribute = name.rpartition(".")
        holder = getattr(sys.modules.get(module), attribute, None)
    return dict(vars(holder)) if holder is not None else {}


def _is_of_torch(value: Any) -> bool:
    """Return whether a function is torch's: it wraps some of its own when its compiler is first loaded."""
    import torch

    code = getattr(value, "__code__", None)
    return code is not None and Path(code.co_filename).is_relative_to(Path(torch.__file__).parent)


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


#: What prepares a child process.
Entry = Callable[..., Handler]
