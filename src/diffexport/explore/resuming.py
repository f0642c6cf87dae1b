"""Which work is left of a run that was ended, and how it is known that a run is the same."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffexport.explore.settings import Settings
from diffexport.explore.units import Unit
from diffexport.findings.journal import History
from diffexport.infer.session import source_files
from diffexport.versions import installed

#: Most source files of one target that are looked into.
_MOST_FILES = 4000


def units_left(units: Sequence[Unit], history: History) -> list[Unit]:
    """Return the units of work that are left, those first in which something is still to be shrunk."""
    if not history:
        return list(units)
    return sorted(
        _left(units, history), key=lambda unit: bool(unit.modes) and not _is_suspected(unit, history)
    )


def _left(units: Iterable[Unit], history: History) -> Iterator[Unit]:
    replayed = {event.id for event in history.replayed}
    for unit in units:
        if not unit.modes:
            known = tuple(entry for entry in unit.known if entry.id not in replayed)
            if known:
                yield replace(unit, known=known)
            continue
        modes = tuple(mode for mode in unit.modes if not history.is_settled(unit.name, str(mode)))
        carried = history.carried(unit.name, unit.modes[0].exporter)
        # Where the model rejects inputs, what there is to say of that is said at the end of the unit.
        if modes or any(one.get("rejected") for one in carried):
            yield replace(unit, modes=modes, carried=carried)


def _is_suspected(unit: Unit, history: History) -> bool:
    return history.is_suspected(unit.name, unit.modes[0].exporter)


def settings_record(settings: Settings) -> dict[str, Any]:
    """Return everything of some settings that results depend on, as plain data."""
    return {
        "examples": settings.examples,
        "block": settings.block,
        "seed": settings.seed,
        "strict": settings.strict,
        "shrink": settings.shrink,
        "share": settings.share,
        "stop_after": settings.limits.stop_after.value,
        "steps": dataclasses.asdict(settings.steps),
        **(
            {}
            if settings.budget is None
            else {"rounds": settings.budget.rounds, "goes_on": settings.budget.goes_on}
        ),
        "scope": settings.scope.document(),
        "witnesses": list(settings.witnesses),
        "selected": None if settings.selected is None else _digest(map(str, settings.selected)),
    }


def what_is_asked(
    targets: Sequence[str],
    inputs: Mapping[str, Sequence[str]],
    modes: Iterable[object],
    runtimes: Sequence[str],
    settings: Settings,
    accepted: Iterable[object],
) -> dict[str, Any]:
    """Return everything that the results of a run depend on, as plain data; two runs of the same have the same.

    Args:
        targets: what is tested; a digest of their source belongs to it.
        inputs: the texts of the inputs of each, where they are known.
        modes, runtimes, settings: of the run.
        accepted: known divergences and exclusions.
    """
    return {
        "targets": list(targets),
        "inputs": {target: list(texts) for target, texts in inputs.items()},
        "modes": _digest(map(str, modes)),
        "runtimes": list(runtimes),
        "settings": settings_record(settings),
        "accepted": _digest(map(repr, accepted)),
        "versions": installed(),
        "source": {target: source_digest(target) for target in dict.fromkeys(targets) if ":" in target},
    }


def source_digest(target: str, folder: Path | None = None) -> str:
    """Return a digest of the source that a target is in: its file, or every module of its package."""
    state = hashlib.sha256()
    for number, file in enumerate(source_files(target, folder or Path.cwd())):
        if number >= _MOST_FILES:
            break
        with suppress(OSError):
            state.update(f"{file.name}\n".encode())
            state.update(hashlib.sha256(file.read_bytes()).digest())
    return state.hexdigest()[:16]


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
