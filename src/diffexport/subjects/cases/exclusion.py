"""Exclusions: modes that are not run for a case, each with a reason.

What is excluded is counted and said in every report. A divergence that is to be watched is better a
[known divergence][diffexport.subjects.cases.known]: that one is still checked, and says when it is fixed.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from diffexport.errors import ConfigError, DiffexportError, UsageError, shown, suggestion
from diffexport.values import MOST_PATTERN, MOST_TEXT, Mode, ModePattern


@dataclass(frozen=True)
class Exclusion:
    """Modes that are left out.

    Attributes:
        modes: pattern of the modes.
        reason: why, for a person.
        cases: globs of case names.
        source: the file it was read from.
    """

    modes: ModePattern
    reason: str
    cases: tuple[str, ...] = ("*",)
    source: Path | None = field(default=None, compare=False)

    def concerns(self, case: str, mode: Mode) -> bool:
        """Return whether the mode is left out for a case of that name."""
        return self.modes.matches(mode) and any(fnmatch.fnmatchcase(case, name) for name in self.cases)


class ScriptedExclusion(Exclusion):
    """Leaves out every exporter that takes no scripted model; its pattern names the built-in ones."""

    def concerns(self, case: str, mode: Mode) -> bool:  # noqa: ARG002 - whatever it is called
        """Return whether the mode's exporter takes no scripted model."""
        return not mode.description.takes_scripted


#: Why exporters are left out for scripted models.
SCRIPTED = ScriptedExclusion(
    ModePattern.parse("dynamo*"), "a scripted model goes through the TorchScript exporter only"
)


def excluding(mode: Mode, case: str, exclusions: Iterable[Exclusion]) -> Exclusion | None:
    """Return the first exclusion that leaves a mode out for a case of that name."""
    return next((one for one in exclusions if one.concerns(case, mode)), None)


def split_excluded(
    modes: Sequence[Mode], case: str, exclusions: Iterable[Exclusion]
) -> tuple[tuple[Mode, ...], tuple[tuple[Exclusion, int], ...]]:
    """Return the modes that are left, and each exclusion with how many modes it takes; the first that fits does."""
    kept: list[Mode] = []
    taken: dict[Exclusion, int] = {}
    among = tuple(exclusions)
    for mode in modes:
        one = excluding(mode, case, among)
        if one is None:
            kept.append(mode)
        else:
            taken[one] = taken.get(one, 0) + 1
    return tuple(kept), tuple(taken.items())


def exclusions_of(given: Mapping[str, str] | Iterable[Exclusion]) -> tuple[Exclusion, ...]:
    """Return exclusions from a mapping of mode patterns to reasons, as it is written on a case.

    Raises:
        UsageError: it is no such mapping, or a reason is missing.
        InvalidModeError: a pattern does not parse.
    """
    if not isinstance(given, Mapping):
        # A person may have written anything.
        written: Any = given
        entries = (written,) if isinstance(written, str | Exclusion) else tuple(written)
        for one in entries:
            if not isinstance(one, Exclusion):
                raise UsageError(
                    f"exclude={given!r} gives no reason; write exclude={{'dynamo-strict': 'why it is left out'}}"
                )
        return entries
    for pattern, reason in given.items():
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(
                f"exclude: {pattern!r} needs a reason, a text that is not empty; it is {reason!r}"
            )
    return tuple(
        Exclusion(ModePattern.parse(pattern), " ".join(reason.split())) for pattern, reason in given.items()
    )


@functools.cache
def _table_model() -> Any:
    """Return the validator of one table; pydantic is imported by who has such a table only."""
    import pydantic

    text = Annotated[str, pydantic.Field(min_length=1, max_length=MOST_PATTERN)]
    return pydantic.create_model(
        "ExclusionTable",
        __config__=pydantic.ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True),
        modes=(text, ...),
        reason=(Annotated[str, pydantic.Field(min_length=1, max_length=MOST_TEXT)], ...),
        cases=(Annotated[list[text], pydantic.Field(min_length=1)], ["*"]),
    )


def parse_exclusions(tables: Any, *, source: Path | None = None) -> tuple[Exclusion, ...]:
    """Validate ``[[exclude]]`` tables.

    Raises:
        ConfigError: an entry is incomplete, has an unknown key, or a pattern that matches nothing.
    """
    import pydantic

    place = str(source or "exclusions")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(
            f"{place}: 'exclude' must be a list of tables; write [[exclude]], with two brackets"
        )
    model = _table_model()
    exclusions = []
    for number, table in enumerate(tables, start=1):
        name = table.get("modes", "without modes")
        where = f"{place}: exclude, entry {number} ({name if isinstance(name, str) else shown(name)})"
        for key in table:
            if key not in model.model_fields:
                raise ConfigError(f"{where}: unknown key {key!r}{suggestion(key, model.model_fields)}")
        missing = [
            name
            for name, declared in model.model_fields.items()
            if declared.is_required() and not table.get(name)
        ]
        if missing:
            raise ConfigError(f"{where}: missing {', '.join(missing)}")
        try:
            valid = model.model_validate(table)
            pattern = ModePattern.parse(valid.modes)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise ConfigError(f"{where}: {key}: {first['msg']} (it is {shown(first['input'])})") from None
        except DiffexportError as error:
            raise ConfigError(f"{where}: modes: {error}") from None
        exclusions.append(Exclusion(pattern, " ".join(valid.reason.split()), tuple(valid.cases), source))
    return tuple(exclusions)
