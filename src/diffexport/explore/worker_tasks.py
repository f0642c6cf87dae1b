"""What is known of a unit that workers are on: what is done, what ended them, and what is to be done next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from diffexport.explore.turns import Turn, TurnOrder
from diffexport.explore.units import Unit
from diffexport.findings.events import (
    CaseFailed,
    CheckStarting,
    Event,
    Excluded,
    Finding,
    FindingMade,
    ModeFinished,
    Row,
    RowVerdict,
    Suspected,
)
from diffexport.findings.journal import History
from diffexport.pipeline import FatalCheck
from diffexport.values import FailureKey, Identity, Kind, Mode, counted

#: How often a mode is tried again after its worker was killed from outside.
MOST_KILLS = 5
#: After how many of these every check is announced: the model itself may be what kills it.
CAREFUL_AFTER_KILLS = 2
#: How many fatal checks of one mode are found out before the rest of it is left.
MOST_FATAL = 3
#: How often workers may end in one mode by a fault of what they do.
MOST_DEATHS = 10
#: How often one mode may take the whole time limit, and in how many modes of a unit the same step may.
MOST_HANGS = 3
_MOST_HANGING_MODES = 2
#: How often a worker may end in the same check although that is not fatal when it is made alone.
_MOST_UNEXPLAINED = 2


@dataclass
class Task:
    """A unit, and what came of it so far.

    Attributes:
        unit: what is to be done.
        finished: the modes that are done, as texts.
        careful: the modes in which every check is announced.
        every_mode_careful: the same for all of them, after something fatal.
        fatal: checks that are not to be made again.
        findings: those that were made of the unit.
        carried: what the modes that are done leave for the others.
        kills, deaths: by mode: how often its worker was killed from outside, and how often it ended otherwise.
        asked: the modes that the worker was asked to do last.
        fatal_keys: the failures that fatal checks showed.
        given_up: nothing of it can be tested any more.
        turns: whose turn it is, where modes are explored in turns; else None.
        worker: who was asked last, and remembers the unit.
    """

    unit: Unit
    finished: set[str] = field(default_factory=set)
    careful: set[str] = field(default_factory=set)
    every_mode_careful: bool = False
    fatal: list[FatalCheck] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    carried: list[Mapping[str, Any]] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    asked: tuple[Mode, ...] = ()
    fatal_keys: set[FailureKey] = field(default_factory=set)
    given_up: bool = False
    turns: TurnOrder | None = None
    worker: Any = None
    _generation: int = 0
    _judged: bool = False
    _blame: bool = True
    _unexplained: Counter[tuple[str, str]] = field(default_factory=Counter)
    _hangs: dict[FailureKey, set[str]] = field(default_factory=dict)
    _said: set[Excluded] = field(default_factory=set)
    #: Seen by the worker, and not yet made findings of.
    _suspects: dict[Identity, Finding] = field(default_factory=dict)

    @property
    def left(self) -> tuple[Mode, ...]:
        """The modes that are not done."""
        return tuple(mode for mode in self.unit.modes if str(mode) not in self.finished)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to ask a worker for, now that it has done what it was asked."""
        if self.turns is not None:
            return self.given_up or (self._judged and self.turns.next() is None)
        return self.given_up or set(self.left) <= set(self.asked)

    @property
    def wants_worker(self) -> bool:
        """Whether something is left to do, after its worker was lost; a unit without modes replays regressions."""
        if self.turns is not None:
            return not self.is_done
        return not self.given_up and (bool(self.left) or not self.unit.modes)

    def is_careful(self, mode: str) -> bool:
        """Return whether every check of a mode is announced."""
        return self.every_mode_careful or mode in self.careful

    @property
    def urgency(self) -> tuple[int, ...]:
        """Sort key of what is next: replays first, then what is explored in one go, then turns in their order."""
        if self.turns is None:
            return (1,) if self.unit.modes else (0,)
        return 2, *self.turns.key

    def request_to(self, worker: Any) -> Unit:
        """Return what a worker is asked to do next; where another one remembers the unit, with all that is known."""
        if worker is not self.worker:
            self.forget_worker()
            self.worker = worker
        return self.request() if self.turns is None else self._turn_request(self.turns)

    def forget_worker(self) -> None:
        """Let whoever is asked next begin with what the events have told."""
        self.worker = None
        self._generation += 1

    def _turn_request(self, turns: TurnOrder) -> Unit:
        """Return the turn that a worker is asked to take; after the last, that the health of the case is judged."""
        following = turns.next()
        mode, turn = following or (None, Turn(0))
        self._judged = following is None
        self.asked = () if mode is None else (mode,)
        careful = self.every_mode_careful or (mode is not None and str(mode) in self.careful)
        return replace(
            self.unit,
            modes=self.asked,
            turn=turn,
            generation=self._generation,
            settings=replace(self.unit.settings, careful=careful, blame=self._blame),
            before=tuple(self.findings),
            suspects=tuple(self._suspects.values()),
            carried=(*self.unit.carried, *self.carried),
            fatal=tuple(self.fatal),
        )

    def request(self) -> Unit:
        """Return what a worker is asked to do next."""
        left = self.left
        careful = bool(left) and self.is_careful(str(left[0]))
        # A mode to be careful in goes alone, so that the others are not slowed down.
        self.asked = left[:1] if careful and not self.every_mode_careful else left
        return replace(
            self.unit,
            modes=self.asked,
            settings=replace(self.unit.settings, careful=careful, blame=self._blame),
            before=tuple(self.findings),
            carried=(*self.unit.carried, *self.carried),
            fatal=tuple(self.fatal),
        )

    def take(self, event: Event) -> bool:
        """Note an event; return whether it says anything new."""
        if isinstance(event, ModeFinished):
            if self.turns is None:
                self.finished.add(event.mode)
            elif event.turns is not None:
                self.turns.take(event)
                if event.turns > 1:
                    # Whatever turn comes after a first look begins with making findings of what was seen before.
                    self._suspects.clear()
            else:
                # It is left.
                self.turns.leave_out(event.mode)
            self.carried.append(event.carried)
        elif isinstance(event, Suspected):
            if self.turns is not None:
                self._suspects.setdefault(event.finding.identity, event.finding)
        elif isinstance(event, FindingMade):
            self.findings.append(event.finding)
            self._suspects.pop(event.finding.identity, None)
        elif isinstance(event, CaseFailed) and self.turns is not None:
            self.given_up = True
        elif isinstance(event, Excluded):
            is_new = event not in self._said
            self._said.add(event)
            if self.turns is not None:
                for mode in event.texts:
                    self.turns.leave_out(mode)
            return is_new
        return True

    def go_on(self, history: History) -> None:
        """Take note of the turns that an earlier run has done of it, and of what it found."""
        modes = set(map(str, self.unit.modes))
        for event in history.turns:
            if event.case == self.unit.name and event.mode in modes and self.turns is not None:
                self.turns.next()
                self.take(event)
        self.findings += [one for one in history.findings if one.identity.case == self.unit.name]

    def without_blame(self) -> None:
        """Find out no more which stage departs first: that ends the worker."""
        self._blame = False

    def is_explained(self, check: CheckStarting) -> bool:
        """Return whether a check that ends workers, but not when it is made alone, was seen to do so often enough."""
        key = check.mode, repr((check.inputs, check.export_inputs))
        self._unexplained[key] += 1
        return self._unexplained[key] >= _MOST_UNEXPLAINED

    def note_fatal(self, check: FatalCheck) -> Iterator[Event]:
        """Note what is not to be done again; give up the modes that would only wait for the same once more."""
        self.fatal.append(check)
        self.every_mode_careful = True
        if all(str(mode) != check.mode for mode in self.unit.modes):
            return
        self.kills[check.mode] = min(self.kills[check.mode], CAREFUL_AFTER_KILLS - 1)
        if sum(one.mode == check.mode for one in self.fatal) >= MOST_FATAL:
            starved = check.divergence.kind is Kind.OUT_OF_MEMORY
            what = (
                "for which memory ran out; a worker has more with --memory" if starved else "that were fatal"
            )
            yield from self.give_up(check.mode, f"left after {MOST_FATAL} checks {what}")
        if check.divergence.kind is not Kind.TIMEOUT:
            return
        modes = self._hangs.setdefault(check.divergence.key, set())
        if modes and check.mode not in self.finished:
            # The same once more, on other inputs or in another mode: each further one would take the whole limit, too.
            yield from self.give_up(check.mode, "left after the same step did not end a second time")
        modes.add(check.mode)
        if len(modes) < _MOST_HANGING_MODES:
            return
        for mode in self.left:
            if str(mode) not in modes:
                yield from self.give_up(
                    str(mode), f"not tried: {check.divergence.message} in {counted(len(modes), 'mode')}"
                )

    def give_up(self, mode: str, reason: str) -> Iterator[Event]:
        """Leave out a mode, and say why; without one, all of them."""
        if not mode:
            yield from self.give_up_all(reason)
            return
        self.finished.add(mode)
        if self.turns is not None:
            self.turns.leave_out(mode)
        yield ModeFinished(
            self.unit.name, mode, tuple(self._row(mode, name, reason) for name in self.unit.runtimes)
        )

    def _row(self, mode: str, runtime: str, reason: str) -> Row:
        """Return the row of a mode that is left: it diverges where something fatal is known, else it is untested."""
        fatal = [
            check.divergence
            for check in self.fatal
            if check.mode == mode and (not check.runtimes or runtime in check.runtimes)
        ]
        starved = [divergence for divergence in fatal if divergence.kind is Kind.OUT_OF_MEMORY]
        fatal = [divergence for divergence in fatal if divergence not in starved]
        counted = () if self.turns is None else self.turns.rows_of(mode)
        before = next((row for row in counted if row.runtime == runtime), Row(runtime))
        row = replace(
            before,
            reason=reason,
            diverging=before.diverging + len(fatal),
            out_of_memory=before.out_of_memory + len(starved),
        )
        for divergence in fatal:
            row.worsen(RowVerdict.DIVERGES, divergence.stage, divergence.kind)
        return row

    def give_up_all(self, reason: str) -> Iterator[Event]:
        """Leave out every mode that is left, and say why."""
        self.given_up = True
        yield CaseFailed(self.unit.name, reason)
        for mode in self.left:
            yield from self.give_up(str(mode), reason)
