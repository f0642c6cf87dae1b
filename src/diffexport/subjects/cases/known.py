"""Known divergences: findings accepted with a reason.

An entry is matched by case, mode pattern, runtime, kind, place, signature and traits of the input — all of
those it names have to match — and is tied to one stored regression. It lives as long as that regression
still diverges; after that the run fails and says that the entry is to be removed.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from diffexport.errors import ConfigError, DiffexportError, shown, suggestion
from diffexport.subjects.cases.toml_files import read_toml
from diffexport.values import (
    MOST_PATTERN,
    MOST_TEXT,
    Divergence,
    FailureKey,
    Kind,
    Mode,
    ModePattern,
    check_runtime_pattern,
)


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
        traits: traits of the input that must all hold (see [diffexport.arrays.input_traits][]).
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
        return self.speaks_of(case, mode, runtime, divergence.key) and self.admits(divergence.excess)

    def speaks_of(self, case: str, mode: Mode, runtime: str, key: FailureKey) -> bool:
        """Return whether the entry is about such a divergence, of whatever size."""
        return (
            key.kind is self.kind
            and self.concerns(case, mode, runtime)
            and fnmatch.fnmatchcase(key.place.text, _literal(self.where))
            and re.fullmatch(self.signature, key.signature) is not None
        )

    def admits(self, excess: float | None) -> bool:
        """Return whether a difference is not larger than is accepted; None where it is none of values."""
        return self.max_excess is None or (excess is not None and excess <= self.max_excess)

    def concerns(self, case: str, mode: Mode, runtime: str) -> bool:
        """Return whether the entry is about this case, mode and runtime (empty: before any is involved)."""
        return (
            any(fnmatch.fnmatchcase(case, pattern) for pattern in self.cases)
            and self.modes.matches(mode)
            and (not runtime or any(fnmatch.fnmatchcase(runtime, pattern) for pattern in self.runtimes))
        )

    def applies_to(self, versions: Mapping[str, str]) -> bool:
        """Return whether the installed versions are among those the entry is for."""
        return all(
            name in versions and specifier.contains(versions[name].partition("+")[0], prereleases=True)
            for name, specifier in self.versions.items()
        )


def _literal(where: str) -> str:
    """Let ``*`` alone be special in a place: brackets are part of the name there."""
    return re.sub(r"[\[?]", lambda sign: f"[{sign[0]}]", where)


def load_known(path: Path) -> tuple[Known, ...]:
    """Read a file of ``[[known]]`` tables.

    Raises:
        ConfigError: the file is not TOML, or an entry is incomplete or names something that does not exist.
    """
    document = read_toml(path)
    for key in document:
        if key != "known":
            raise ConfigError(f"{path}: unknown key {key!r}{suggestion(key, ['known'])}")
    return parse_known(document.get("known", []), source=path)


def parse_known(tables: Any, *, source: Path | None = None) -> tuple[Known, ...]:
    """Validate ``[[known]]`` tables.

    Raises:
        ConfigError: an entry is incomplete, doubled, or names something that does not exist.
    """
    place = str(source or "known divergences")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{place}: 'known' must be a list of tables; write [[known]], with two brackets")
    entries: dict[str, Known] = {}
    for number, table in enumerate(tables, start=1):
        name = table.get("id", "without id")
        where = f"{place}: known, entry {number} ({name if isinstance(name, str) else shown(name)})"
        entry = _parse_entry(table, where, source)
        if entry.id in entries:
            raise ConfigError(f"{where}: the id is already taken")
        entries[entry.id] = entry
    return tuple(entries.values())


def known_divergence(
    id: str,
    reason: str,
    *,
    kind: str,
    regression: str,
    modes: str = "*",
    cases: Iterable[str] = ("*",),
    **more: Any,
) -> Known:
    """Make an entry in Python, for ``known=`` of a case; arguments as the keys of a ``[[known]]`` table, see [Known][].

    Raises:
        ConfigError: it is incomplete, or names something that does not exist.
    """
    table = {"id": id, "reason": reason, "kind": kind, "regression": regression, "modes": modes}
    (entry,) = parse_known([{**table, "cases": list(cases), **more}])
    return entry


@functools.cache
def _table_model() -> Any:
    """Return the validator of one table; pydantic is imported by who has such a table only."""
    import pydantic

    text = Annotated[str, pydantic.Field(min_length=1, max_length=MOST_PATTERN)]
    texts = Annotated[list[text], pydantic.Field(min_length=1)]
    return pydantic.create_model(
        "KnownTable",
        __config__=pydantic.ConfigDict(extra="forbid", strict=True),
        id=(text, ...),
        reason=(Annotated[str, pydantic.Field(min_length=1, max_length=MOST_TEXT)], ...),
        cases=(texts, ...),
        modes=(text, ...),
        kind=(text, ...),
        regression=(text, ...),
        runtimes=(texts, ["*"]),
        where=(text, "*"),
        signature=(text, ".*"),
        traits=(list[text], []),
        max_excess=(Annotated[float, pydantic.Field(gt=0)] | None, None),
        versions=(dict[str, str], {}),
        may_agree=(bool, False),
    )


def _parse_entry(table: Mapping[str, Any], where: str, source: Path | None) -> Known:
    import pydantic

    from diffexport.arrays import check_trait

    model = _table_model()
    for key in table:
        if key not in model.model_fields:
            raise ConfigError(f"{where}: unknown key {key!r}{suggestion(key, model.model_fields)}")
    missing = [
        name for name, field in model.model_fields.items() if field.is_required() and not table.get(name)
    ]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    try:
        valid = model.model_validate(dict(table))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: {key}: {first['msg']} (it is {shown(first['input'])})") from None
    if valid.kind not in list(Kind):
        raise ConfigError(f"{where}: unknown kind {valid.kind!r}{suggestion(valid.kind, list(Kind))}")
    key = "modes"
    try:
        modes = ModePattern.parse(valid.modes)
        key = "signature"
        re.compile(valid.signature)
        key = "traits"
        check_trait(valid.traits)
        key = "runtimes"
        for pattern in valid.runtimes:
            check_runtime_pattern(pattern)
        key = "versions"
        versions = {name: SpecifierSet(text) for name, text in valid.versions.items()}
    except (re.error, DiffexportError, InvalidSpecifier, OverflowError, RecursionError) as error:
        raise ConfigError(f"{where}: {key}: {error}") from None
    return Known(
        id=valid.id,
        reason=" ".join(valid.reason.split()),
        cases=tuple(valid.cases),
        modes=modes,
        kind=Kind(valid.kind),
        regression=valid.regression,
        runtimes=tuple(valid.runtimes),
        where=valid.where,
        signature=valid.signature,
        traits=tuple(valid.traits),
        max_excess=valid.max_excess,
        versions=versions,
        may_agree=valid.may_agree,
        source=source,
    )
