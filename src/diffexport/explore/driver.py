"""The one driver of exploration: whatever is explored, and whoever asks, what happens goes through here as events.

``diffexport run`` and ``compare`` drive a plan, [check][diffexport.check] a case, ``scan`` one mode of a variant and
``mutate`` a mutant. Those who store, count, print or send listen to the events; see [deliver][].
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator

from diffexport.explore.sample_checks import Announce
from diffexport.explore.settings import StopAfter
from diffexport.findings.events import CheckStarting, Event, Finding, FindingMade, RunFinished, Suspected
from diffexport.values import DeadlinePassed, FailureKey, Identity

#: What is driven: given whom to tell at once what cannot wait, it gives what happens as it happens.
Work = Callable[[Announce], Iterator[Event]]


class Suspects:
    """The divergences that are seen and not yet shrunk, and the findings that were made."""

    def __init__(self) -> None:
        self._seen: dict[Identity, Finding] = {}
        self._findings: set[Identity] = set()

    def note(self, finding: Finding) -> None:
        """Keep a divergence as it looks at first sight."""
        self._seen.setdefault(finding.identity, finding)

    def resolve(self, finding: Finding) -> bool:
        """Note a finding that was made; return whether it is a new one."""
        is_new = finding.identity not in self._findings
        self._findings.add(finding.identity)
        return is_new

    def left(self) -> list[Finding]:
        """Return, at first sight, what no finding came of, in whichever exporter and on whichever runtime."""
        resolved = {_wherever(identity) for identity in self._findings}
        return [finding for identity, finding in self._seen.items() if _wherever(identity) not in resolved]


def _wherever(identity: Identity) -> tuple[str, str, FailureKey]:
    """Return what of an identity stays the same when a simpler exporter or runtime is found to fail likewise."""
    return identity.target, identity.case, identity.key


def drive(
    work: Work, *, stop_after: StopAfter = StopAfter.NOTHING, announce: Announce | None = None
) -> Generator[Event, None, None]:
    """Drive some work to its end; give what happens, no finding twice, and [RunFinished][] last.

    When the work is interrupted, what was seen and not yet shrunk is given as findings: better a large input than a
    lost finding. Then the interruption is raised again.

    Args:
        work: what is driven.
        stop_after: what ends it early.
        announce: told at once, besides the driver, what cannot wait for the next event.

    Raises:
        KeyboardInterrupt: the work was interrupted, or [deliver][] was.
    """
    started = time.perf_counter()
    suspects = Suspects()

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
            elif not isinstance(event, FindingMade):
                yield event
            elif suspects.resolve(event.finding):
                yield event
                if stop_after is not StopAfter.NOTHING:
                    _end(events)
                    yield finished(stopped=True)
                    return
    except KeyboardInterrupt:
        _end(events)
        yield from map(FindingMade, suspects.left())
        yield finished(interrupted=True)
        raise
    except DeadlinePassed:
        yield finished(late=True)
        return
    finally:
        _end(events)
    yield finished()


def _end(events: Iterator[Event]) -> None:
    """End some work where it stands; its processes end with it."""
    if isinstance(events, Generator):
        events.close()


def deliver(events: Generator[Event, None, None], *listeners: Callable[[Event], None]) -> None:
    """Give each event to every listener in turn: who stores first, who prints last.

    A listener that is interrupted is an interruption of the work.

    Raises:
        KeyboardInterrupt: the work was interrupted, and what was seen by then has been delivered.
    """
    event = next(events, None)
    while event is not None:
        try:
            for listen in listeners:
                listen(event)
            event = next(events, None)
        except KeyboardInterrupt as interruption:
            # Work that was interrupted itself is at its end, and raises this again.
            event = events.throw(interruption)
