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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from diffexport.errors import InvalidModeError, suggestion

Value = str | int | bool

#: The three exporters, simplest (the default of ``torch.onnx.export``) first.
EXPORTERS = ("dynamo", "dynamo-strict", "torchscript")
TORCHSCRIPT = ("torchscript",)
DYNAMO = ("dynamo", "dynamo-strict")

#: Opsets each exporter gives when asked (measured on torch 2.13; torch documents 7–20 and up to 23).
OPSETS = {
    "torchscript": tuple(range(7, 21)),
    "dynamo": tuple(range(13, 26)),
    "dynamo-strict": tuple(range(13, 26)),
}

#: What ``torch.onnx.export`` exports at unless told otherwise.
DEFAULT_OPSET = 20

#: TorchScript turns modules into local functions only from here on (IR version 8).
FUNCTIONS_MIN_OPSET = 15


def _nearest_first(opsets: Iterable[int]) -> list[int]:
    return sorted(opsets, key=lambda opset: (abs(opset - DEFAULT_OPSET), opset))


@dataclass(frozen=True)
class Option:
    """One axis of the mode space: its default, its values, and the exporters that honour it."""

    name: str
    default: Value
    values: tuple[Value, ...]
    exporters: tuple[str, ...]
    summary: str

    def values_for(self, exporter: str) -> tuple[Value, ...]:
        """Return the values that ``exporter`` accepts, the default first, opsets by their distance from it."""
        values: Sequence[Value] = self.values
        if self.name == "opset":
            values = _nearest_first(OPSETS[exporter])
        return (self.default, *(value for value in values if value != self.default))


OPTIONS: tuple[Option, ...] = (
    Option(
        "opset", DEFAULT_OPSET, tuple(range(7, 26)), EXPORTERS, "opset_version: the ai.onnx opset asked for"
    ),
    Option(
        "dynamic", False, (False, True), EXPORTERS, "every axis that the inputs' specs leave free is dynamic"
    ),
    Option(
        "keep_initializers_as_inputs",
        False,
        (False, True),
        EXPORTERS,
        "weights are graph inputs as well",
    ),
    Option("optimize", True, (True, False), DYNAMO, "onnxscript's graph optimiser runs after conversion"),
    Option(
        "operator_export_type",
        "ONNX",
        ("ONNX", "ONNX_ATEN_FALLBACK", "ONNX_FALLTHROUGH", "ONNX_ATEN"),
        TORCHSCRIPT,
        "torch.onnx.OperatorExportTypes",
    ),
    Option("do_constant_folding", True, (True, False), TORCHSCRIPT, "constants are folded at export"),
    Option("training", "EVAL", ("EVAL", "PRESERVE", "TRAINING"), TORCHSCRIPT, "torch.onnx.TrainingMode"),
    Option("autograd_inlining", True, (True, False), TORCHSCRIPT, "autograd.Functions are inlined"),
    Option(
        "export_modules_as_functions",
        False,
        (False, True),
        TORCHSCRIPT,
        f"modules become local functions (opset ≥ {FUNCTIONS_MIN_OPSET})",
    ),
    Option(
        "scoped",
        False,
        (False, True),
        TORCHSCRIPT,
        "the tracer's module map is set for the export (scoped tracing)",
    ),
)
OPTIONS_BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}


@dataclass(frozen=True)
class Mode:
    """One way of exporting. Immutable, hashable, ordered from simple to intricate by [complexity][].

    Raises:
        InvalidModeError: an unknown exporter, a value an option does not take, an opset out of the
            exporter's range, or an option the exporter does not honour set to other than its default.
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
    _text: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.exporter not in EXPORTERS:
            raise InvalidModeError(
                f"unknown exporter {self.exporter!r}{suggestion(self.exporter, EXPORTERS)}"
            )
        for option in OPTIONS:
            self._validate(option, getattr(self, option.name))
        if self.export_modules_as_functions and self.opset < FUNCTIONS_MIN_OPSET:
            raise InvalidModeError(
                f"export_modules_as_functions needs opset ≥ {FUNCTIONS_MIN_OPSET} "
                f"(local functions came with IR version 8), not opset={self.opset}"
            )
        object.__setattr__(self, "_text", self._render())

    def _validate(self, option: Option, value: Value) -> None:
        if type(value) is not type(option.default):
            raise InvalidModeError(
                f"{option.name} takes {_kind(option.default)}, not {value!r} ({type(value).__name__})"
            )
        if self.exporter not in option.exporters:
            if value != option.default:
                raise InvalidModeError(
                    f"{option.name}={_show(value)}: the exporter {self.exporter!r} does not honour this option "
                    f"(only {', '.join(option.exporters)})"
                )
            return
        allowed = option.values_for(self.exporter)
        if value not in allowed:
            if option.name == "opset":
                low, high = min(OPSETS[self.exporter]), max(OPSETS[self.exporter])
                raise InvalidModeError(
                    f"opset={value} is out of the range of {self.exporter!r}, which exports opset {low} to {high}"
                )
            texts = [_show(choice) for choice in allowed]
            raise InvalidModeError(
                f"{option.name}={_show(value)} is not a value of {option.name}{suggestion(_show(value), texts)}"
            )

    def _render(self) -> str:
        parts = [self.exporter]
        for option in OPTIONS:
            value = getattr(self, option.name)
            if value != option.default:
                parts.append(f"{option.name}={_show(value)}")
        return ",".join(parts)

    def __str__(self) -> str:
        return self._text

    @property
    def is_torchscript(self) -> bool:
        """Whether the TorchScript exporter is used."""
        return self.exporter == "torchscript"

    @property
    def complexity(self) -> tuple[int, int, int, str]:
        """Sort key, simplest first: exporter, number of options off their default, opset distance, text."""
        off = sum(getattr(self, option.name) != option.default for option in OPTIONS)
        return EXPORTERS.index(self.exporter), off, abs(self.opset - DEFAULT_OPSET), self._text

    def options(self) -> dict[str, Value]:
        """Return every option the exporter honours with its value, defaults included."""
        return {o.name: getattr(self, o.name) for o in OPTIONS if self.exporter in o.exporters}

    @classmethod
    def of(cls, exporter: str, options: Mapping[str, Any]) -> Mode:
        """Make a mode from a mapping of options.

        Raises:
            InvalidModeError: see [Mode][].
        """
        return cls(exporter, **options)

    @classmethod
    def parse(cls, text: str) -> Mode:
        """Parse the text form.

        Raises:
            InvalidModeError: the text names no exporter, option or value, or a combination that cannot be.
        """
        exporter, pairs = _split(text)
        values: dict[str, Any] = {}
        for name, raw in pairs:
            if name not in OPTIONS_BY_NAME:
                raise InvalidModeError(
                    f"unknown option {name!r} in mode {text!r}{suggestion(name, OPTIONS_BY_NAME)}"
                )
            if name in values:
                raise InvalidModeError(f"option {name!r} is given twice in mode {text!r}")
            values[name] = _parse_value(OPTIONS_BY_NAME[name], raw, text)
        return cls(exporter, **values)


_MODE_FIELDS = {f.name for f in fields(Mode)}
assert OPTIONS_BY_NAME.keys() <= _MODE_FIELDS


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
        if not any(fnmatch.fnmatchcase(name, exporter) for name in EXPORTERS):
            raise InvalidModeError(
                f"mode pattern {text!r}: no exporter matches {exporter!r}{suggestion(exporter, EXPORTERS)}"
            )
        conditions: list[tuple[str, frozenset[Value]]] = []
        for name, raw in pairs:
            if name not in OPTIONS_BY_NAME:
                raise InvalidModeError(
                    f"unknown option {name!r} in mode pattern {text!r}{suggestion(name, OPTIONS_BY_NAME)}"
                )
            option = OPTIONS_BY_NAME[name]
            values: set[Value] = set()
            for alternative in raw.split("|"):
                values |= _parse_range(option, alternative, exporter, text)
            if any(name == other for other, _ in conditions):
                raise InvalidModeError(f"option {name!r} is given twice in mode pattern {text!r}")
            conditions.append((name, frozenset(values)))
        return cls(text, exporter, tuple(conditions))

    def matches(self, mode: Mode) -> bool:
        """Return whether ``mode`` is in the set. An option the exporter does not honour never matches."""
        if not fnmatch.fnmatchcase(mode.exporter, self.exporter):
            return False
        for name, values in self.conditions:
            if mode.exporter not in OPTIONS_BY_NAME[name].exporters or getattr(mode, name) not in values:
                return False
        return True

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
            f"one of {', '.join(EXPORTERS)}"
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


def _parse_range(option: Option, raw: str, exporter: str, text: str) -> set[Value]:
    """Return the values that ``raw`` stands for and that some matching exporter accepts; at least one."""
    matching = [name for name in option.exporters if fnmatch.fnmatchcase(name, exporter)]
    if not matching:
        raise InvalidModeError(
            f"mode pattern {text!r} matches nothing: {option.name} is an option of {', '.join(option.exporters)} only"
        )
    possible = {value for name in matching for value in option.values_for(name)}
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
