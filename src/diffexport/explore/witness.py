"""A runtime that is only a witness: the reference evaluator, unless it was asked for by its name.

It tells the graph from the kernels that run it, and is no place where anybody runs a model. That it alone departs, or
cannot run what the others run, says something of it and nothing of the export.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from diffexport.values import Divergence, Outcome, Stage, Verdict

#: Where a runtime is involved.
_OF_RUNTIMES = (Stage.LOAD, Stage.RUN, Stage.COMPARE)

#: Whether a divergence is known and accepted, which says more than that it is a note.
IsAccepted = Callable[[Verdict, Divergence], bool]


def note_name(divergence: Divergence, runtime: str) -> str:
    """Return how a note is counted that says what a witness alone shows."""
    return f"{divergence.kind} on {runtime} alone"


def without_witnesses(
    verdicts: Sequence[Verdict], witnesses: Collection[str], is_accepted: IsAccepted
) -> tuple[list[Verdict], dict[str, list[Divergence]]]:
    """Return verdicts on one sample without what witnesses alone show, and that, by runtime.

    What another runtime shows as well stays, and all of it where no other runtime gives outputs.

    Args:
        verdicts: one for each runtime.
        witnesses: the names of those that are only witnesses.
        is_accepted: whether a divergence is known, and to be counted as that.
    """
    others = [verdict for verdict in verdicts if verdict.runtime not in witnesses]
    if len(others) == len(verdicts) or not any(verdict.got for verdict in others):
        return list(verdicts), {}
    shown = {divergence.key for verdict in others for divergence in verdict.divergences}
    left, alone = [], {}
    for verdict in verdicts:
        mine = [
            divergence
            for divergence in verdict.divergences
            if verdict.runtime in witnesses
            and divergence.stage in _OF_RUNTIMES
            and divergence.key not in shown
            and not is_accepted(verdict, divergence)
        ]
        if not mine:
            left.append(verdict)
            continue
        alone[verdict.runtime] = mine
        failing = tuple(divergence for divergence in verdict.divergences if divergence not in mine)
        agreed = Outcome.REFUSED if verdict.reason else Outcome.AGREES
        left.append(replace(verdict, divergences=failing, outcome=Outcome.DIVERGES if failing else agreed))
    return left, alone
