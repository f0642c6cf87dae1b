"""What exploring one mode leaves behind for the next ones of its case, as plain data that can be stored.

A failure that was found is not found again, the model's health is judged over all modes, and where modes share examples
those that export the same are explored once. A unit of work that is interrupted goes on as if it had not been when its
next [Explorer][diffexport.explore.Explorer] is given what each mode that is done has left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from diffexport.explore.health import Health, Joint
from diffexport.values import Identity, Kind, Place, Stage


class CarriedOver:
    """Watches what an explorer remembers.

    Args:
        findings: what is not found again, by identity.
        health: what the model accepts and rejects.
        explored: a key for each export that was explored.
    """

    def __init__(self, findings: dict[Identity, Any], health: Health, explored: set[str]) -> None:
        self._findings, self._health, self._explored = findings, health, explored
        self._told_findings: set[Identity] = set()
        self._told_keys: set[str] = set()
        self._told_shapes: tuple[set[Joint], set[Joint]] = set(), set()
        self._told_counts: tuple[int, int] = 0, 0
        self._told_reasons: dict[str, int] = {}

    def restore(self, earlier: Iterable[Mapping[str, Any]]) -> None:
        """Remember what [since_last][] gave after each of the modes that are done."""
        health = self._health
        for one in earlier:
            for parts in one.get("findings", ()):
                self._findings.setdefault(_identity(parts), None)
            self._explored.update(one.get("explored", ()))
            health.accepted += one.get("accepted", 0)
            health.rejected += one.get("rejected", 0)
            for reason, count in one.get("reasons", {}).items():
                health.reasons[reason] = health.reasons.get(reason, 0) + count
            health.good.update(map(_joint, one.get("good", ())))
            health.bad.update(map(_joint, one.get("bad", ())))
        self.since_last()

    def since_last(self) -> dict[str, Any]:
        """Return what is new since this was asked before; what there is nothing of is left out."""
        health = self._health
        reasons = {
            reason: count - self._told_reasons.get(reason, 0) for reason, count in health.reasons.items()
        }
        document = {
            "findings": [_parts(one) for one in self._findings if one not in self._told_findings],
            "explored": sorted(self._explored - self._told_keys),
            "accepted": health.accepted - self._told_counts[0],
            "rejected": health.rejected - self._told_counts[1],
            "reasons": {reason: count for reason, count in reasons.items() if count},
            "good": sorted(health.good - self._told_shapes[0]),
            "bad": sorted(health.bad - self._told_shapes[1]),
        }
        self._told_findings, self._told_keys = set(self._findings), set(self._explored)
        self._told_counts, self._told_reasons = (health.accepted, health.rejected), dict(health.reasons)
        self._told_shapes = set(health.good), set(health.bad)
        return {name: value for name, value in document.items() if value}


def _parts(identity: Identity) -> list[str]:
    return [
        identity.case,
        identity.exporter,
        identity.runtime,
        str(identity.stage),
        str(identity.kind),
        identity.place.text,
        identity.signature,
        identity.target,
    ]


def _identity(parts: list[str]) -> Identity:
    case, exporter, runtime, stage, kind, place, signature, target = parts
    return Identity(case, exporter, runtime, Stage(stage), Kind(kind), Place.parse(place), signature, target)


def _joint(shapes: Iterable[Iterable[int]]) -> Joint:
    return tuple(tuple(shape) for shape in shapes)
