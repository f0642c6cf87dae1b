"""Known divergences: findings accepted with a reason.

An entry is matched by case, mode pattern, runtime, kind, place, signature and traits of the input — all of
those it names have to match — and is tied to one stored regression. It lives as long as that regression
still diverges; after that the run fails and says that the entry is to be removed.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from diffexport.errors import ConfigError, DiffexportError, suggestion
from diffexport.mode import Mode, ModePattern
from diffexport.verdict import Divergence, Kind


@dataclass(frozen=True)
class Known:
    """One accepted divergence.

    Attributes:
        id: a short name, unique in its file.
        reason: why it is accepted, for a person.
        cases: globs of case names.
        modes: pattern of the modes it shows in.
        kind: the kind of divergence.
        runtimes: globs of runtime names; ignored for what shows before any runtime is involved.
        where: glob of the place (``output[*]``).
        signature: regular expression that the whole signature must match.
        traits: traits of the input that must all hold (see [diffexport.traits][]).
        max_excess: for values, the largest difference accepted, as a multiple of the tolerance.
        regression: name of the stored regression file it is tied to.
        versions: package to version specifier; the entry exists only where all of them hold.
        may_agree: it depends on the processor whether the regression diverges, so that one that agrees is
            not taken for fixed. For rounding.
        source: the file it was read from.
    """

    id: str
    reason: str
    cases: tuple[str, ...]
    modes: ModePattern
    kind: Kind
    regression: str
    runtimes: tuple[str, ...] = ("*",)
    where: str = "*"
    signature: str = ".*"
    traits: tuple[str, ...] = ()
    max_excess: float | None = None
    versions: Mapping[str, SpecifierSet] = field(default_factory=dict, hash=False)
    may_agree: bool = False
    source: Path | None = field(default=None, compare=False)

    def accepts(self, case: str, mode: Mode, runtime: str, divergence: Divergence) -> bool:
        """Return whether the entry speaks of this divergence, traits of the input not yet considered."""
        if divergence.kind is not self.kind or not any(fnmatch.fnmatchcase(case, c) for c in self.cases):
            return False
        if not self.modes.matches(mode) or not fnmatch.fnmatchcase(divergence.where, _literal(self.where)):
            return False
        if runtime and not any(fnmatch.fnmatchcase(runtime, pattern) for pattern in self.runtimes):
            return False
        if self.max_excess is not None and (divergence.excess is None or divergence.excess > self.max_excess):
            return False
        return re.fullmatch(self.signature, divergence.signature) is not None

    def applies_to(self, versions: Mapping[str, str]) -> bool:
        """Return whether the installed versions are among those the entry is for."""
        return all(
            name in versions and specifier.contains(versions[name].partition("+")[0], prereleases=True)
            for name, specifier in self.versions.items()
        )


def _literal(where: str) -> str:
    """Let ``*`` alone be special in a place: brackets are part of the name there."""
    return re.sub(r"[\[]", "[[]", where)


_KEYS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "reason": str,
    "cases": list,
    "modes": str,
    "kind": str,
    "regression": str,
    "runtimes": list,
    "where": str,
    "signature": str,
    "traits": list,
    "max_excess": (int, float),
    "versions": dict,
    "may_agree": bool,
}
_REQUIRED = ("id", "reason", "cases", "modes", "kind", "regression")


def load(path: Path) -> tuple[Known, ...]:
    """Read a file of ``[[known]]`` tables.

    Raises:
        ConfigError: the file is not TOML, or an entry is incomplete or names something that does not exist.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    return parse(document.get("known", []), source=path)


def parse(tables: Sequence[Mapping[str, Any]], *, source: Path | None = None) -> tuple[Known, ...]:
    """Validate ``[[known]]`` tables.

    Raises:
        ConfigError: an entry is incomplete, doubled, or names something that does not exist.
    """
    entries: dict[str, Known] = {}
    for number, table in enumerate(tables, start=1):
        where = f"{source or 'known divergences'}: entry {number} ({table.get('id', 'without id')})"
        entry = _parse_entry(table, where, source)
        if entry.id in entries:
            raise ConfigError(f"{where}: the id is already taken")
        entries[entry.id] = entry
    return tuple(entries.values())


def _parse_entry(table: Mapping[str, Any], where: str, source: Path | None) -> Known:
    for key, value in table.items():
        if key not in _KEYS:
            raise ConfigError(f"{where}: unknown key {key!r}{suggestion(key, _KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise ConfigError(f"{where}: {key} has the wrong type ({type(value).__name__})")
    missing = [key for key in _REQUIRED if not table.get(key)]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    from diffexport import traits

    try:
        kind = Kind(table["kind"])
        modes = ModePattern.parse(table["modes"])
        re.compile(table.get("signature", ""))
        traits.check(table.get("traits", ()))
        versions = {name: SpecifierSet(text) for name, text in table.get("versions", {}).items()}
    except ValueError as error:
        if isinstance(error, DiffexportError | InvalidSpecifier):
            raise ConfigError(f"{where}: {error}") from None
        raise ConfigError(
            f"{where}: unknown kind {table['kind']!r}{suggestion(table['kind'], list(Kind))}"
        ) from None
    except (re.error, DiffexportError) as error:
        raise ConfigError(f"{where}: {error}") from None
    return Known(
        id=table["id"],
        reason=" ".join(table["reason"].split()),
        cases=tuple(table["cases"]),
        modes=modes,
        kind=kind,
        regression=table["regression"],
        runtimes=tuple(table.get("runtimes", ("*",))),
        where=table.get("where", "*"),
        signature=table.get("signature", ".*"),
        traits=tuple(table.get("traits", ())),
        max_excess=table.get("max_excess"),
        versions=versions,
        may_agree=table.get("may_agree", False),
        source=source,
    )


def find(
    entries: Iterable[Known],
    case: str,
    mode: Mode,
    runtime: str,
    divergence: Divergence,
    has_trait: Any,
) -> Known | None:
    """Return the first entry that accepts the divergence; ``has_trait`` tells traits of its inputs."""
    for entry in entries:
        if entry.accepts(case, mode, runtime, divergence) and all(has_trait(trait) for trait in entry.traits):
            return entry
    return None
