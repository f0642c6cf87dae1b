"""Findings with one cause are told as one: the first, or the simplest, stands for it, and the others are its faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from diffexport.arrays import arrays_of
from diffexport.findings.events import Event, FaceFound, Finding, FindingMade
from diffexport.values import RUNTIMES, Mode, describe


class CauseGroups:
    """The findings of a run so far, by their causes. It is asked in one place, the driver of a run."""

    def __init__(self) -> None:
        #: By target and case: who stands for a cause, and the causes of all of its faces.
        self._groups: dict[tuple[str, str], list[_Group]] = {}

    def take(self, event: Event) -> Iterator[Event]:
        """Yield an event; in place of a finding whose cause was found before, that it is a face of it.

        A finding may show that two causes were one: an operator departs for any value, not for NaN and infinity alone.
        """
        if not isinstance(event, FindingMade):
            yield event
            return
        finding = event.finding
        groups = self._groups.setdefault((finding.target, finding.identity.case), [])
        holding = [one for one in groups if one.holds(finding)]
        if not holding:
            groups.append(_Group(finding))
            yield event
            return
        first, *others = holding
        yield first.add(finding)
        for group in others:
            groups.remove(group)
            yield first.join(group)

    def take_all(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield what [take][] does for each of some events."""
        for event in events:
            yield from self.take(event)


class _Group:
    """The findings of one cause."""

    def __init__(self, first: Finding) -> None:
        self._leader = first
        self._faces = [first]

    def holds(self, finding: Finding) -> bool:
        """Return whether a finding has this cause."""
        return any(is_one_cause(face, finding) for face in self._faces)

    def add(self, finding: Finding) -> FaceFound:
        """Add a finding of this cause."""
        of = self._leader.identity
        leads = simplicity(finding) < simplicity(self._leader)
        self._faces.append(finding)
        if leads:
            self._leader = finding
        return FaceFound(finding, of, leads)

    def join(self, other: _Group) -> FaceFound:
        """Take in the findings of another group, who have this cause as well."""
        of = self._leader.identity
        leads = simplicity(other._leader) < simplicity(self._leader)
        self._faces += other._faces
        if leads:
            self._leader = other._leader
        return FaceFound(other._leader, of, leads)


def is_one_cause(one: Finding, other: Finding) -> bool:
    """Return whether two findings of one case have one cause.

    Where the cause of one is not known, what shows in the same way, exported by one way of conversion, has.
    """
    if one.cause is not None and other.cause is not None:
        return one.cause.is_one_with(other.cause)
    if one.identity.key != other.identity.key or one.flaky != other.flaky:
        return False
    return _conversion(one) == _conversion(other) and one.identity.runtime == other.identity.runtime


def simplicity(finding: Finding) -> tuple[Any, ...]:
    """Return a sort key: the simplest finding of a cause stands for it.

    That is one that is shrunk, then one that an ordinary value shows, in the simplest mode, on the simplest runtime,
    with the fewest elements.
    """
    mode = Mode.parse(finding.mode)
    order = RUNTIMES.index(finding.runtime) if finding.runtime in RUNTIMES else len(RUNTIMES)
    given = arrays_of(finding.inputs)
    special, elements = not all(map(_is_finite, given)), sum(array.size for array in given)
    odd = len(mode.off_default)
    return finding.flaky, not finding.shrunk, special, odd, mode.complexity, order, elements


def _is_finite(array: Any) -> bool:
    if array.dtype.kind in "fc" or array.dtype.name == "bfloat16":
        return bool(np.isfinite(array.astype(np.complex128)).all())
    return True


def _conversion(finding: Finding) -> str:
    return describe(Mode.parse(finding.mode).exporter).conversion
