"""The child process of a scan: takes jobs and tells what it is about to do before it does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from diffexport.explore import to_be_sent, warm_up
from diffexport.processes import Handler, ParentProcess
from diffexport.tools.scan.examine import Examiner, InVariant, Progress


def prepare(parent: ParentProcess, skip: Sequence[tuple[str, str]], exporters: Sequence[str]) -> Handler:
    """Prepare a process that examines Functions; return what does a job.

    Args:
        parent: is told of what is done.
        skip: packages whose ``__init__`` must not be run, each with why.
        exporters: what will be exported with.
    """

    def tell(message: Any) -> None:
        if isinstance(message, Progress):
            parent.announce(message)
        elif isinstance(message, InVariant):
            parent.send(replace(message, event=to_be_sent(message.event)))
        else:
            parent.send(message)

    warm_up()
    _load_exporters(exporters)
    return Examiner(tuple(skip), tell).examine


def _load_exporters(names: Sequence[str]) -> None:
    """Export something once with each exporter: what they load and build then is no part of any Function's time."""
    import torch

    from diffexport.backends.exporters import export
    from diffexport.values import Mode

    for exporter in names:
        export(torch.nn.ReLU(), (torch.ones(2),), Mode(exporter))
