"""Events of work that is done in this process, without what models print meanwhile."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from diffexport.chatter import captured
from diffexport.findings.events import Event


def quietly(events: Iterator[Event]) -> Iterator[Event]:
    """Give the events of some work; what is printed while it goes on is not shown, as it is not where workers do it."""
    try:
        while True:
            with captured():
                event = next(events, None)
            if event is None:
                return
            yield event
    finally:
        if isinstance(events, Generator):
            events.close()
