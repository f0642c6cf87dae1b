"""The child process of a scan: takes jobs from a pipe and tells what it is about to do before it does it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from diffexport.processes import dumps, end_with_parent


@dataclass(frozen=True)
class Ready:
    """The process is warm and waits for a job."""


@dataclass(frozen=True)
class Done:
    """A job is done; ``error`` is an internal error of diffexport."""

    error: str = ""


def main(
    pipe: Connection, root: str, skip: Sequence[tuple[str, str]], memory: int, exporters: Sequence[str]
) -> None:
    """Examine what comes through a pipe until it is closed.

    Args:
        pipe: jobs come and events go.
        root: the folder to import from besides ``sys.path``; empty for none.
        skip: packages whose ``__init__`` must not be run, each with why.
        memory: bytes that may be allocated beyond what torch needs.
        exporters: what will be exported with.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = os.getpid()
    if hasattr(os, "setsid"):
        # What a package starts is to be ended with it.
        os.setsid()
    end_with_parent()
    # A package that asks for input is told that there is none; what it says nobody reads.
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    if root:
        sys.path.insert(0, root)

    def send(message: Any) -> None:
        if os.getpid() != process:
            # Forked off by what was imported or called, and come back as if nothing had been.
            os._exit(0)
        pipe.send_bytes(dumps(message))

    from diffexport.explore import warm_up
    from diffexport.infer.session import limit_memory
    from diffexport.tools.scan.examine import Examiner

    warm_up()
    _load_exporters(exporters)
    limit_memory(memory)
    examiner = Examiner(tuple(skip), send)
    send(Ready())
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            examiner.examine(job)
        except BrokenPipeError:
            return
        except Exception as error:  # noqa: BLE001 - told by the parent, with the Function it happened in
            import traceback

            where = traceback.extract_tb(error.__traceback__)[-1]
            send(Done(f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"))
        else:
            send(Done())


def _load_exporters(names: Sequence[str]) -> None:
    """Export something once with each exporter: what they load and build then is no part of any Function's time."""
    import torch

    from diffexport.backends.exporters import export
    from diffexport.values import Mode

    for exporter in names:
        export(torch.nn.ReLU(), (torch.ones(2),), Mode(exporter))
