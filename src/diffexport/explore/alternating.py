"""A case whose inputs may be of several kinds: a mask of booleans, of integers, of floats.

Each kind has an explorer of its own. Modes are explored with the likeliest inputs first; the others are tried in the
usual modes at their first look and in the first round, and take turns after that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from diffexport.explore.explorer import Explorer
from diffexport.explore.sample_checks import Announce
from diffexport.explore.turns import Turn, odd_options
from diffexport.findings.events import Event, ModeFinished, Row
from diffexport.subjects.cases import Case
from diffexport.values import Mode


class AlternatingExplorer:
    """Explores a case with its likeliest inputs and with others.

    Args:
        main: explores it with the likeliest.
        others: explore it with the others; they share its findings.
    """

    def __init__(self, main: Explorer, others: Sequence[Explorer]) -> None:
        self._main, self._others = main, tuple(others)

    @property
    def case(self) -> Case:
        """The case with its likeliest inputs."""
        return self._main.case

    def explore(self, modes: Sequence[Mode], announce: Announce) -> Iterator[Event]:
        """Explore every mode; see [Explorer.explore][diffexport.explore.Explorer.explore]."""
        rows: dict[str, tuple[Row, ...]] = {}
        for event in self._main.explore(modes, announce):
            if isinstance(event, ModeFinished):
                rows[event.mode] = event.rows
            yield event
        for mode in modes:
            if str(mode) in rows and not odd_options(mode):
                last = ModeFinished(self.case.name, str(mode), rows[str(mode)])
                for event in self._with_others(last, mode, Turn(1), self._others, announce):
                    yield replace(event, turns=None) if isinstance(event, ModeFinished) else event

    def take_turn(self, mode: Mode, turn: Turn, announce: Announce) -> Iterator[Event]:
        """Take one turn of a mode; see [Explorer.take_turn][diffexport.explore.Explorer.take_turn]."""
        last: ModeFinished | None = None
        for event in self._main.take_turn(mode, turn, announce):
            if isinstance(event, ModeFinished):
                last = event
            else:
                yield event
        if last is not None:
            yield from self._with_others(last, mode, turn, self._in_turn(mode, turn), announce)

    def _in_turn(self, mode: Mode, turn: Turn) -> Sequence[Explorer]:
        """Return the explorers of other inputs that a mode is explored with in a turn."""
        if turn.number < 2:
            return () if odd_options(mode) else self._others
        number = turn.number % len(self._others)
        return self._others[number : number + 1]

    def _with_others(
        self, last: ModeFinished, mode: Mode, turn: Turn, others: Sequence[Explorer], announce: Announce
    ) -> Iterator[Event]:
        """Explore a mode with other inputs as well; what is counted is added to what ``last`` counts."""
        for explorer in others:
            if explorer.settings.limits.deadline.passed:
                break
            for event in explorer.take_turn(mode, replace(turn, rows=last.rows, opening=()), announce):
                if isinstance(event, ModeFinished):
                    last = replace(
                        last,
                        rows=event.rows,
                        carried=_carried(last.carried, event.carried),
                        spent=_added(last.spent, event.spent),
                    )
                else:
                    yield event
        yield last


def _carried(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is carried over of two; the health of a case is that of its likeliest inputs."""
    findings = [*one.get("findings", ()), *other.get("findings", ())]
    return {**one, **({"findings": findings} if findings else {})}


def _added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in (*one, *other)}
