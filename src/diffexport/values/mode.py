"""Modes: one export configuration as an immutable value with a text form that parses back to it.

The text form is ``exporter[,option=value]*`` and leaves out every option at its default, so that the
simplest mode of an exporter is just its name::

    dynamo
    dynamo-strict,opset=25,dynamic=true
    torchscript,opset=9,operator_export_type=ONNX_FALLTHROUGH
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from diffexport.errors import InvalidModeError, UnknownNameError, suggestion
from diffexport.values.exporter_descriptions import (
    DEFAULT_OPSET,
    EXPORTERS,
    FUNCTIONS_MIN_OPSET,
    OPTIONS,
    OPTIONS_BY_NAME,
    ExporterDescription,
    Option,
    Value,
    describe,
    exporter_names,
    exporters_matching,
)


@dataclass(frozen=True)
class Mode:
    """One way of exporting. Immutable, hashable, ordered from simple to intricate by [complexity][].

    ``added`` has the options that only the exporter of another package honours, as far as they are off their default,
    in its order of them; [of][] and [parse][] fill it.

    Raises:
        InvalidModeError: an unknown exporter, a value an option does not take, an opset out of the
            exporter's range, or an option the exporter does not honour set to other than its default.
        PlugInError: the exporter is one of another package's, and of no use.
    """

    exporter: str = "dynamo"
    opset: int = DEFAULT_OPSET
    dynamic: bool = False
    keep_initializers_as_inputs: bool = False
    optimize: bool = True
    operator_export_type: str = "ONNX"
    do_constant_folding: bool = True
    training: str = "EVAL"
    autograd_inlining: bool = True
    export_modules_as_functions: bool = False
    scoped: bool = False
    added: tuple[tuple[str, Value], ...] = field(default=(), kw_only=True)
    _text: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            described = describe(self.exporter)
        except UnknownNameError:
            known = exporter_names()
            raise InvalidModeError(
                f"unknown exporter {self.exporter!r}{suggestion(self.exporter, known)}"
            ) from None
        for option in OPTIONS:
            _validate(described, option, getattr(self, option.name))
        for name, value in self.added:
            of_its_own = described.option(name)
            if of_its_own is None or name in OPTIONS_BY_NAME or value == of_its_own.default:
                raise InvalidModeError(
                    f"{name}={_show(value)} is no option that only {self.exporter!r} has, off its default"
                )
            _validate(described, of_its_own, value)
        if self.export_modules_as_functions and self.opset < FUNCTIONS_MIN_OPSET:
            raise InvalidModeError(
                f"export_modules_as_functions needs opset ≥ {FUNCTIONS_MIN_OPSET} "
                f"(local functions came with IR version 8), not opset={self.opset}"
            )
        object.__setattr__(self, "_text", self._render())

    def _render(self) -> str:
        off = [f"{name}={_show(self.value(name))}" for name in self.off_default]
        return ",".join((self.exporter, *off))

    def __str__(self) -> str:
        return self._text

    @property
    def description(self) -> ExporterDescription:
        """What is known of the exporter."""
        return describe(self.exporter)

    def honours(self, option: str) -> bool:
        """Return whether the exporter honours an option."""
        return self.description.option(option) is not None

    def value(self, option: str) -> Value:
        """Return the value of an option, its default where the exporter does not honour it.

        Raises:
            KeyError: there is no such option.
        """
        if option in OPTIONS_BY_NAME:
            value: Value = getattr(self, option)
            return value
        declared = self.description.option(option)
        if declared is None:
            raise KeyError(option)
        return dict(self.added).get(option, declared.default)

    @property
    def off_default(self) -> tuple[str, ...]:
        """Names of the options that are off their default."""
        options = self.description.options
        return tuple(option.name for option in options if self.value(option.name) != option.default)

    @property
    def complexity(self) -> tuple[int, int, int, str]:
        """Sort key, simplest first: exporter, number of options off their default, opset distance, text."""
        order = self.description.order
        return order, len(self.off_default), abs(self.opset - DEFAULT_OPSET), self._text

    def options(self) -> dict[str, Value]:
        """Return every option the exporter honours with its value, defaults included."""
        return {option.name: self.value(option.name) for option in self.description.options}

    @classmethod
    def of(cls, exporter: str, options: Mapping[str, Any]) -> Mode:
        """Make a mode from a mapping of options.

        Raises:
            InvalidModeError: see [Mode][].
        """
        common = {name: value for name, value in options.items() if name in OPTIONS_BY_NAME}
        rest = {name: value for name, value in options.items() if name not in OPTIONS_BY_NAME}
        if not rest:
            return cls(exporter, **common)
        described = cls(exporter).description
        for name in rest:
            if described.option(name) is None:
                known = [option.name for option in described.options]
                raise InvalidModeError(f"unknown option {name!r} of {exporter!r}{suggestion(name, known)}")
        added = [
            (o.name, rest[o.name]) for o in described.options if rest.get(o.name, o.default) != o.default
        ]
        return cls(exporter, **common, added=tuple(added))

    @classmethod
    def parse(cls, text: str) -> Mode:
        """Parse the text form.

        Raises:
            InvalidModeError: the text names no exporter, option or value, or a combination that cannot be.
        """
        exporter, pairs = _split(text)
        values: dict[str, Any] = {}
        known: Mapping[str, Option] = OPTIONS_BY_NAME
        if exporter not in EXPORTERS and exporter in exporter_names():
            known = _options_of((exporter,))
        for name, raw in pairs:
            if name not in known:
                raise InvalidModeError(f"unknown option {name!r} in mode {text!r}{suggestion(name, known)}")
            if name in values:
                raise InvalidModeError(f"option {name!r} is given twice in mode {text!r}")
            values[name] = _parse_value(known[name], raw, text)
        return cls.of(exporter, values)


assert OPTIONS_BY_NAME.keys() <= {f.name for f in fields(Mode)}


def _validate(described: ExporterDescription, option: Option, value: Value) -> None:
    if type(value) is not type(option.default):
        raise InvalidModeError(
            f"{option.name} takes {_kind(option.default)}, not {value!r} ({type(value).__name__})"
        )
    if option not in described.options:
        if value != option.default:
            raise InvalidModeError(
                f"{option.name}={_show(value)}: the exporter {described.name!r} does not honour this option "
                f"(only {', '.join(option.exporters)})"
            )
        return
    allowed = described.values_of(option)
    if value not in allowed:
        if option.name == "opset":
            low, high = min(described.opsets), max(described.opsets)
            raise InvalidModeError(
                f"opset={value} is out of the range of {described.name!r}, which exports opset {low} to {high}"
            )
        texts = [_show(choice) for choice in allowed]
        raise InvalidModeError(
            f"{option.name}={_show(value)} is not a value of {option.name}{suggestion(_show(value), texts)}"
        )


def _options_of(exporters: tuple[str, ...]) -> dict[str, Option]:
    """Return every option that some exporter may be given, by name: the built-in ones, and those of their own."""
    own = {option.name: option for name in exporters for option in describe(name).options}
    return {**OPTIONS_BY_NAME, **own}


@dataclass(frozen=True)
class ModePattern:
    """A set of modes in text form: what is not mentioned matches anything.

    ``*`` matches every mode; the exporter may be a glob; a value may be a range or alternatives::

        torchscript
        dynamo*,opset=13..14
        torchscript,operator_export_type=ONNX|ONNX_ATEN_FALLBACK
    """

    text: str
    exporter: str
    conditions: tuple[tuple[str, frozenset[Value]], ...]

    @classmethod
    def parse(cls, text: str) -> ModePattern:
        """Parse a pattern.

        Raises:
            InvalidModeError: it names no exporter, option or value that exists.
        """
        exporter, pairs = _split(text)
        matching = exporters_matching(exporter)
        if not matching:
            raise InvalidModeError(
                f"mode pattern {text!r}: no exporter matches {exporter!r}{suggestion(exporter, exporter_names())}"
            )
        known = _options_of(matching) if pairs else {}
        conditions: list[tuple[str, frozenset[Value]]] = []
        for name, raw in pairs:
            if name not in known:
                raise InvalidModeError(
                    f"unknown option {name!r} in mode pattern {text!r}{suggestion(name, known)}"
                )
            values: set[Value] = set()
            for alternative in dict.fromkeys(raw.split("|")):
                values |= _parse_range(known[name], alternative, matching, text)
            if any(name == other for other, _ in conditions):
                raise InvalidModeError(f"option {name!r} is given twice in mode pattern {text!r}")
            conditions.append((name, frozenset(values)))
        return cls(text, exporter, tuple(conditions))

    def matches(self, mode: Mode) -> bool:
        """Return whether ``mode`` is in the set. An option the exporter does not honour never matches."""
        if not fnmatch.fnmatchcase(mode.exporter, self.exporter):
            return False
        return all(mode.honours(name) and mode.value(name) in values for name, values in self.conditions)

    def __str__(self) -> str:
        return self.text


def is_pattern(text: str) -> bool:
    """Return whether ``text`` uses pattern syntax and so may stand for more than one mode."""
    return any(sign in text for sign in ("*", "?", "..", "|"))


def _split(text: str) -> tuple[str, list[tuple[str, str]]]:
    parts = [part.strip() for part in text.split(",")]
    if not parts[0] or "=" in parts[0]:
        raise InvalidModeError(
            f"mode {text!r} does not begin with an exporter; expected EXPORTER[,OPTION=VALUE]… with EXPORTER "
            f"one of {', '.join(exporter_names())}"
        )
    pairs = []
    for part in parts[1:]:
        name, equals, raw = part.partition("=")
        if not equals or not name or not raw:
            raise InvalidModeError(f"in mode {text!r}: {part!r} is not OPTION=VALUE")
        pairs.append((name.strip(), raw.strip()))
    return parts[0], pairs


def _parse_value(option: Option, raw: str, text: str) -> Value:
    if isinstance(option.default, bool):
        if raw not in ("true", "false"):
            raise InvalidModeError(f"in mode {text!r}: {option.name} takes true or false, not {raw!r}")
        return raw == "true"
    if isinstance(option.default, int):
        if not re.fullmatch(r"\d{1,4}", raw):
            raise InvalidModeError(f"in mode {text!r}: {option.name} takes a whole number, not {raw!r}")
        return int(raw)
    if raw not in option.values:
        choices = [str(value) for value in option.values]
        raise InvalidModeError(
            f"in mode {text!r}: {raw!r} is not a value of {option.name}{suggestion(raw, choices)}"
        )
    return raw


def _parse_range(option: Option, raw: str, exporters: tuple[str, ...], text: str) -> set[Value]:
    """Return the values that ``raw`` stands for and that some of the exporters accepts; at least one."""
    honouring = [one for one in map(describe, exporters) if option in one.options]
    if not honouring:
        raise InvalidModeError(
            f"mode pattern {text!r} matches nothing: {option.name} is an option of {', '.join(option.exporters)} only"
        )
    possible = {value for one in honouring for value in one.values_of(option)}
    if raw == "*":
        return possible
    if ".." in raw and type(option.default) is int:
        low, _, high = raw.partition("..")
        first, last = int(_parse_value(option, low, text)), int(_parse_value(option, high, text))
        chosen: set[Value] = {value for value in possible if first <= int(value) <= last}
    else:
        chosen = {_parse_value(option, raw, text)} & possible
    if not chosen:
        raise InvalidModeError(
            f"mode pattern {text!r} matches nothing: no exporter takes {option.name}={raw}"
        )
    return chosen


def _show(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(default: Value) -> str:
    if isinstance(default, bool):
        return "a bool"
    return "an int" if isinstance(default, int) else "a string"
