"""The one driver of exploration: whatever is explored, and whoever asks, what happens goes through here as events.

``diffexport run`` and ``compare`` drive a plan, [check][diffexport.check] a case, ``scan`` one mode of a variant and
``mutate`` a mutant. Those who store, count, print or send listen to the events; see [deliver][].
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace

from diffexport.explore.cause_groups import CauseGroups
from diffexport.explore.sample_checks import Announce
from diffexport.explore.settings import StopAfter
from diffexport.findings.events import (
    CheckStarting,
    Event,
    Finding,
    FindingMade,
    ModeFinished,
    RunFinished,
    Suspected,
)
from diffexport.values import (
    NO_DEADLINE,
    Deadline,
    DeadlinePassed,
    FailureKey,
    Identity,
    Kind,
)

#: What is driven: given whom to tell at once what cannot wait, it gives what happens as it happens.
Work = Callable[[Announce], Iterator[Event]]


class Suspects:
    """The divergences that are seen and not yet shrunk, and the findings that were made.

    Args:
        earlier: what an earlier run saw, and had no time to make a finding of.
    """

    def __init__(self, earlier: Iterable[Finding] = ()) -> None:
        self._seen: dict[Identity, Finding] = {}
        self._findings: set[Identity] = set()
        self._earlier = {finding.identity: finding for finding in earlier}

    def note(self, finding: Finding) -> None:
        """Keep a divergence as it looks at first sight."""
        self._seen.setdefault(finding.identity, finding)
        # It shows again, and what becomes of it is seen to where it does.
        self._earlier.pop(finding.identity, None)

    def knows(self, event: Event) -> bool:
        """Note what an event says of suspects; return whether it is a finding that was made before."""
        if isinstance(event, ModeFinished) and (event.turns is None or event.turns > 1):
            # What shows at a first look is made minimal in a later turn.
            self._settle(event)
        if not isinstance(event, FindingMade):
            return False
        is_known = event.finding.identity in self._findings
        self._findings.add(event.finding.identity)
        return is_known

    def _settle(self, mode: ModeFinished) -> None:
        """Forget what was seen in a mode that is done: what no finding came of is known, or was found before."""
        if mode.carried:
            self._seen = {
                identity: finding
                for identity, finding in self._seen.items()
                if (identity.case, finding.mode) != (mode.case, mode.mode)
            }

    def left(self) -> list[Finding]:
        """Return, at first sight, what no finding came of, in whichever exporter and on whichever runtime."""
        return self._unresolved({**self._earlier, **self._seen})

    def not_settled(self) -> list[Finding]:
        """Return what no finding came of although all is done: what an earlier run saw and this one did not, and what
        was seen in a mode that was given up. What ends a process or hangs was tried again, so that it is not among it.
        """
        fatal = (Kind.CRASH, Kind.TIMEOUT)
        return [finding for finding in self.left() if finding.divergence.kind not in fatal]

    def at_the_end(self, *, late: bool) -> list[FindingMade]:
        """Return the findings that are made of what no finding came of: as it was seen; if not for lack of time, it did
        not show again.
        """
        if late:
            return [FindingMade(finding) for finding in self.left()]
        return [FindingMade(replace(finding, flaky=True)) for finding in self.not_settled()]

    def _unresolved(self, among: Mapping[Identity, Finding]) -> list[Finding]:
        resolved = {_wherever(identity) for identity in self._findings}
        return [finding for identity, finding in among.items() if _wherever(identity) not in resolved]


def _wherever(identity: Identity) -> tuple[str, str, FailureKey]:
    """Return what of an identity stays the same when a simpler exporter or runtime is found to fail likewise."""
    return identity.target, identity.case, identity.key


def drive(
    work: Work,
    *,
    stop_after: StopAfter = StopAfter.NOTHING,
    announce: Announce | None = None,
    earlier: Iterable[Finding] = (),
    deadline: Deadline = NO_DEADLINE,
) -> Generator[Event, None, None]:
    """Drive some work to its end; give what happens, no finding twice, and [RunFinished][] last.

    Of findings with one cause the first is given as [FindingMade][], the others as [FaceFound][]. An interruption is
    raised again when what was not yet shrunk was given as findings: better a large input than a lost finding.

    Args:
        work: what is driven.
        stop_after: what ends it early.
        announce: told at once, besides the driver, what cannot wait for the next event.
        earlier: what an earlier run saw and made no finding of; given as it was seen where it does not show again.
        deadline: when the time of the work is over, which ends itself then.

    Raises:
        KeyboardInterrupt: the work was interrupted, or [deliver][] was.
    """
    started = time.perf_counter()
    suspects, groups = Suspects(earlier), CauseGroups()

    def at_once(event: Suspected | CheckStarting) -> None:
        if isinstance(event, Suspected):
            suspects.note(event.finding)
        if announce is not None:
            announce(event)

    def finished(*, interrupted: bool = False, stopped: bool = False, late: bool = False) -> RunFinished:
        return RunFinished(time.perf_counter() - started, interrupted, stopped, late)

    events = work(at_once)
    try:
        for event in events:
            if isinstance(event, Suspected | CheckStarting):
                # From another process, where it was announced.
                at_once(event)
            elif not suspects.knows(event):
                yield from groups.take(event)
                if stop_after is not StopAfter.NOTHING and isinstance(event, FindingMade):
                    _end(events)
                    yield finished(stopped=True)
                    return
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):  # who asks twice gets the same
            _end(events)
        yield from groups.take_all([FindingMade(finding, as_seen=True) for finding in suspects.left()])
        yield finished(interrupted=True)
        raise
    except DeadlinePassed:
        yield finished(late=True)
        return
    finally:
        _end(events)
    yield from groups.take_all(suspects.at_the_end(late=deadline.passed))
    yield finished(late=deadline.passed)


def _end(events: Iterator[Event]) -> None:
    """End some work where it stands; its processes end with it."""
    if isinstance(events, Generator):
        events.close()


def deliver(events: Generator[Event, None, None], *listeners: Callable[[Event], None]) -> None:
    """Give each event to every listener in turn: who stores first, who prints last.

    A listener that is interrupted is an interruption of the work. The event is given to it again, and to those whose
    turn it was not yet: what was seen is not lost for being in the making.

    Raises:
        KeyboardInterrupt: the work was interrupted, and what was seen by then has been delivered.
    """
    coming: Iterable[Event] = events
    event, left = None, list(listeners)
    while True:
        try:
            # A loop, as nothing can come between an event and its name here; behind a call, Ctrl-C can.
            for event in coming:
                while left:
                    left[0](event)
                    del left[0]
                event, left = None, list(listeners)
            return
        except KeyboardInterrupt as interruption:
            while event is not None and left:
                with contextlib.suppress(KeyboardInterrupt):
                    left[0](event)
                del left[0]
            event, left = None, list(listeners)
            # Work that was interrupted itself is at its end, and raises this again.
            coming = itertools.chain([events.throw(interruption)], events)
