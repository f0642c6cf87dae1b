"""What a child process does with stored regressions: it replays one after the other, or makes the script of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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

    from diffexport.explore.kept_apart import snapshot
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
        before = snapshot()
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
        changes = before.put_back()
        return ReplayAnswer(judged, ", ".join((*changes.restored, *changes.lasting)))

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


#: What prepares a child process.
Entry = Callable[..., Handler]
