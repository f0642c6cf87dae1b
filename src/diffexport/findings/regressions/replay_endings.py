"""What it means that a process died, or did not end, while a stored regression was replayed in it."""

from __future__ import annotations

from diffexport.findings.regressions.replay_statuses import ReplayStep, Status
from diffexport.processes import Failed, Hung, Received
from diffexport.values import Kind

#: Seconds after which what was stored as a crash or a timeout counts as hanging.
FATAL_SECONDS = 120.0


def ending(
    kind: Kind | None, step: ReplayStep, received: Received, seconds: float, target: str = ""
) -> tuple[Status, str, bool]:
    """Return what a replay says whose process did not answer, why, and whether that is what was stored.

    Args:
        kind: of the stored regression; None where it has not been read.
        step: what was being done.
        received: what came in place of an answer.
        seconds: how long that step was waited for.
        target: of the stored regression, likewise.
    """
    doing = f"importing {target}" if target and step is ReplayStep.IMPORT else str(step)
    if isinstance(received, Failed):
        return Status.ERROR, f"{doing} raised {received.error}", False
    hung = isinstance(received, Hung)
    said = f"it still runs after {seconds:g} s" if hung else f"the process died ({received})"
    if step is not ReplayStep.CHECK or kind is None:
        return Status.ERROR, f"{doing}: {said}", False
    same = kind is (Kind.TIMEOUT if hung else Kind.CRASH)
    return Status.DIVERGES, said if same else f"differently than stored: {said}", same
