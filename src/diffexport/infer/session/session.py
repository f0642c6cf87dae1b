"""Inference in a child process, which may crash, hang, leave or eat memory without taking anything along."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from diffexport.infer.search import InferenceStatus
from diffexport.infer.session import cache
from diffexport.infer.session.child import IMPORTING, TRYING, WIDENING
from diffexport.infer.session.inference import Inference
from diffexport.infer.session.target_process import STARTING, ProcessGone, TargetProcess
from diffexport.values import name_in, place_of

#: Seconds for the module of a target to be imported, and for the child to answer after its time.
_IMPORT, _GRACE = 60.0, 3.0
#: How many candidates may end the process before the model is given up.
_DEATHS = 3
#: What looks a target up, by dotted name.
LOADER = "diffexport.subjects.targets.resolving.made_for_inference"


class InferenceSession:
    """Infers one target after another, in a child process that is started again whenever one ends it.

    Args:
        memory: bytes that the child may allocate beyond what torch needs.
        loader: dotted name of what returns the object that a target names; by default
            [look_up][diffexport.subjects.targets.look_up].
        folder: where the child works; by default here.
        cached: whether results are kept in, and taken from, ``.diffexport/``.
        import_seconds: the longest that importing the module of a target may take.
        deaths: how many candidates may end the process before a model is given up.
        process: the child process, where there is one already; it has its own limits and folder.
    """

    def __init__(
        self,
        *,
        memory: int = 4 << 30,
        loader: str = LOADER,
        folder: Path | None = None,
        cached: bool = True,
        import_seconds: float = _IMPORT,
        deaths: int = _DEATHS,
        process: TargetProcess | None = None,
    ) -> None:
        self._deaths = deaths
        self._loader, self._folder, self._cached = loader, folder, cached
        self._process = process or TargetProcess(memory=memory, folder=folder, import_seconds=import_seconds)
        #: Modules whose import ended the process, or did not end, and what was said then.
        self._broken: dict[str, Inference] = {}
        self._import_ended = False

    def __enter__(self) -> InferenceSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process."""
        self._process.close()

    def infer(
        self, target: str, *, seconds: float = 10.0, per_call: float = 2.0, roots: Sequence[Path] = ()
    ) -> Inference:
        """Work out how to call what a target names; nothing that it does raises here.

        Args:
            target: ``package.module:Qualified.Name`` or ``file.py:Qualified.Name``.
            seconds: the longest that may take, without starting the process and importing.
            per_call: the longest a single call may take, in seconds.
            roots: files and folders whose source may call it; by default its package, or its file.
        """
        place, name = place_of(target), name_in(target)
        if place in self._broken:
            return replace(self._broken[place], name=name, target=target)
        asked = (f"{seconds}", f"{per_call}", self._loader, *map(str, roots))
        key = cache.key(target, asked, self._folder) if self._cached else None
        kept = cache.load(key)
        if kept is not None:
            return kept
        made = self._infer(target, seconds, per_call, roots)
        if self._import_ended:
            self._broken[place] = made
        if made.ran or made.status is InferenceStatus.REJECTED:
            cache.store(key, made)
        return made

    def _infer(self, target: str, seconds: float, per_call: float, roots: Sequence[Path]) -> Inference:
        self._import_ended = False
        skipped: list[str] = []
        died: list[str] = []
        gone: ProcessGone | None = None
        started = time.monotonic()
        for _ in range(self._deaths):
            left = seconds - (time.monotonic() - started) if skipped and gone and gone.hung else seconds
            request = {
                "target": target,
                "seconds": max(left, 1.0),
                "per_call": per_call,
                "roots": list(map(str, roots)),
                "skipped": skipped,
                "loader": self._loader,
            }
            try:
                if self._process.begin():
                    self._process.wait()
                    started = time.monotonic()
                document = self._process.request(request, max(left, 1.0) + _GRACE)
                made = Inference.from_document(document)
            except ProcessGone as error:
                gone = error
                if gone.doing not in (TRYING, WIDENING):
                    self._import_ended = gone.doing == IMPORTING
                    break
                skipped.append(gone.value)
                died.append(gone.value if gone.doing == TRYING else "larger inputs")
                continue
            if died:
                note = f"calling it ended the process ({gone}) on {'; '.join(died)}"
                made = replace(made, notes=(*made.notes, note))
                if not made.ran and gone is not None:
                    made = _ended(target, gone, died)
            return made
        assert gone is not None
        return _ended(target, gone, died)


#: The name that docs/infer.md gives it.
Session = InferenceSession


def _ended(target: str, gone: ProcessGone, died: Sequence[str]) -> Inference:
    status = InferenceStatus.TIMEOUT if gone.hung else InferenceStatus.CRASH
    doing = {IMPORTING: "importing it", STARTING: "starting the process"}.get(
        gone.doing, f"calling it with {gone.value}"
    )
    if gone.doing == IMPORTING:
        status = InferenceStatus.TIMEOUT if gone.hung else InferenceStatus.IMPORT_ERROR
    tried = f"; tried: {'; '.join(died)}" if len(died) > 1 else ""
    message = (
        f"target {target!r}: {doing} ends the process or does not end ({gone.how}){tried}; {status.meaning}. "
        "Declare what it takes with --input, for instance --input 'float32[N, 3]'"
    )
    return Inference(status, message=message, tried=len(died), name=name_in(target), target=target)


def infer_target(
    target: str,
    *,
    seconds: float = 10.0,
    per_call: float = 2.0,
    memory: int = 4 << 30,
    roots: Sequence[Path] = (),
    loader: str = LOADER,
    cached: bool = True,
) -> Inference:
    """Work out in a child process how to call what a target names; see [InferenceSession][] for several of them.

    Args:
        target: ``package.module:Qualified.Name`` or ``file.py:Qualified.Name``.
        seconds: the longest that may take, without starting the process and importing.
        per_call: the longest a single call may take, in seconds.
        memory: bytes that the child may allocate beyond what torch needs.
        roots: files and folders whose source may call it; by default its package, or its file.
        loader: dotted name of what returns the object that a target names.
        cached: whether the result may be taken from, and is kept in, ``.diffexport/``.
    """
    with InferenceSession(memory=memory, loader=loader, cached=cached) as session:
        return session.infer(target, seconds=seconds, per_call=per_call, roots=roots)
