"""What each argument may be, the plausible first.

A [Choice][] is a dtype and a domain for a tensor, or the text of a value. Its cost is how much less likely it is than
the likeliest, in the manner of a logarithm. What a call site says comes first, then defaults, then what annotation,
documentation, name and use of the parameter together speak for.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from diffexport.infer.evidence.configs import instances
from diffexport.infer.evidence.subject import MISSING, Parameter, Subject
from diffexport.infer.evidence.usage import Usage
from diffexport.infer.evidence.words import (
    DIMENSION,
    FLOATS,
    INDEX,
    INTS,
    KINDS,
    MASK,
    POSITIVE,
    PREFIXES,
    PRIOR,
    SPOKEN_FOR,
    UNIT,
)
from diffexport.strategies import importable, text_of

#: Choices that are this much less likely than the best are left out.
_FAR = 7.0


@dataclass(frozen=True)
class Choice:
    """What one argument may be.

    Attributes:
        kind: one of [KINDS][diffexport.infer.evidence.words.KINDS].
        cost: 0 for the likeliest.
        text: of the value, for what is no tensor.
        dtype, domain: of a tensor; the domain is ``any``, ``positive``, ``unit`` (0 to 1), ``index`` (small integers).
        count: of a tuple or list of tensors.
        source: where the value comes from.
    """

    kind: str
    cost: float = 0.0
    text: str = ""
    dtype: str = "float32"
    domain: str = "any"
    count: int = 0
    source: str = "guess"

    @property
    def is_tensor(self) -> bool:
        """Whether it is a single tensor."""
        return self.kind == "tensor"


@dataclass(frozen=True)
class Known:
    """What a call site says of one argument: the text of its value, or (empty) that it is made of tensors."""

    text: str
    source: str
    tensor: bool = False


def choices(
    parameter: Parameter,
    place: int,
    usage: Usage,
    known: Sequence[Known],
    documentation: str,
    subject: Subject,
) -> list[Choice]:
    """Return what an argument may be, the likeliest first.

    Args:
        parameter: the argument.
        place: its position.
        usage: how the source uses it.
        known: what call sites give.
        documentation: text that may speak of it.
        subject: whose argument it is.
    """
    words = set(re.findall(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]+", parameter.name))
    words = {word if word == "T" else word.lower() for word in words} | {parameter.name.lower()}
    weight = {kind: PRIOR[kind][min(place, 1)] + usage.weight.get(kind, 0.0) for kind in KINDS}
    for spoken, kind, amount in SPOKEN_FOR:
        if words & spoken:
            weight[kind] += amount
    first = re.match(r"_*([a-z]+)_", parameter.name)
    if first and first[1] in PREFIXES:
        weight[PREFIXES[first[1]]] += 3.0
    found = _annotated(parameter.annotation, subject, weight)
    _documented(parameter.name, documentation, weight)
    for one in known:
        if one.tensor:
            weight["tensor"] += 2.0
    if parameter.default is not MISSING and parameter.default is not None:
        weight[_kind_of(parameter.default)] += 2.0
    best = max(weight.values())
    made = [
        Choice(_kind_of_text(one.text), 0.2 * n, one.text, source=one.source)
        for n, one in enumerate(_distinct(known))
    ]
    start = 1.0 if made else 0.0
    if parameter.default is not MISSING:
        text = text_of(parameter.default)
        if text is not None:
            made.append(Choice(_kind_of(parameter.default), start, text, source="default"))
            start += 0.8
    made += [
        Choice(_kind_of_text(text), start + 0.4 * n, text, source="annotation")
        for n, text in enumerate(found)
    ]
    start = start + 1.0 if found else start
    for number, text in enumerate(_containers(parameter.annotation, usage)):
        made.append(Choice("container", start + 0.3 + 0.3 * number, text, source="what is done with it"))
    for checked in dict.fromkeys(usage.classes):
        owner = importable(checked)
        # A check is a good reason to give one, or to give none of the kind: subclasses of tensors are special cases.
        if owner is not None and not issubclass(checked, torch.Tensor):
            made.append(
                Choice(_kind_of_class(checked), start + 0.5, f"{owner}()", source="a check of its type")
            )
    values = _Values(words, usage, place)
    for kind, amount in weight.items():
        for extra, choice in values.of(kind):
            made.append(dataclasses.replace(choice, cost=start + best - amount + extra))
    kept: dict[Any, Choice] = {}
    for choice in sorted(made, key=lambda choice: choice.cost):
        if choice.cost <= _FAR:
            kept.setdefault(
                (
                    choice.text,
                    choice.kind if not choice.text else "",
                    choice.dtype,
                    choice.domain,
                    choice.count,
                ),
                choice,
            )
    return list(kept.values())


def _distinct(known: Sequence[Known]) -> list[Known]:
    """Return the values that sites give, the frequent ones first."""
    counted: dict[str, list[Known]] = {}
    for one in known:
        if one.text:
            counted.setdefault(one.text, []).append(one)
    return [group[0] for group in sorted(counted.values(), key=lambda group: -len(group))][:6]


def _kind_of(value: Any) -> str:
    for kind, types in (("none", type(None)), ("bool", bool), ("int", int), ("float", float), ("str", str),
                        ("dtype", torch.dtype), ("device", torch.device), ("module", torch.nn.Module),
                        ("tensor", torch.Tensor), ("shape", tuple | list)):  # fmt: skip
        if isinstance(value, types):
            return kind
    return "callable" if callable(value) else "str"


def _kind_of_class(kind: type) -> str:
    return "module" if issubclass(kind, torch.nn.Module) else "callable"


def _kind_of_text(text: str) -> str:
    try:
        return _kind_of(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return "dtype" if text.startswith("torch.") else "callable"


def _annotated(annotation: Any, subject: Subject, weight: dict[str, float]) -> list[str]:
    """Add what an annotation speaks for; return texts of values where it names all of them."""
    if annotation is None:
        return []
    texts: list[str] = []
    for part in _parts(annotation, subject):
        if typing.get_origin(part) is typing.Literal:
            texts += [text for value in typing.get_args(part) if (text := text_of(value)) is not None]
            continue
        kind = _annotation_kind(part)
        if kind:
            weight[kind] += 3.0
        elif isinstance(part, type) and issubclass(part, enum.Enum):
            texts += [text for member in part if (text := text_of(member)) is not None][:6]
        elif isinstance(part, type) and dataclasses.is_dataclass(part):
            texts += instances(part)
    return texts


def _containers(annotation: Any, usage: Usage) -> list[str]:
    """Return the texts of dicts, lists and deques that an argument may be."""
    said = str(annotation).lower() if annotation is not None else ""
    texts = []
    if usage.keys:
        keys = dict.fromkeys(usage.keys)
        texts += [
            f"{{{', '.join(f'{key!r}: {value}' for key in keys)}}}" for value in ("False", "1.0", "True")
        ]
    texts += sorted(usage.containers)
    for word, text in (("deque", "collections.deque()"), ("dict", "{}"), ("mapping", "{}")):
        if re.search(rf"\b{word}\b", said):
            texts.append(text)
    return list(dict.fromkeys(texts))


def _parts(annotation: Any, subject: Subject) -> Iterable[Any]:
    """Yield the alternatives of an annotation, strings looked up where they can be."""
    if isinstance(annotation, str):
        try:
            tree = ast.parse(annotation, mode="eval").body
        except SyntaxError:
            return
        yield from _named_parts(tree, subject)
        return
    origin = typing.get_origin(annotation)
    if origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        for part in typing.get_args(annotation):
            yield from _parts(part, subject)
        return
    yield annotation


def _named_parts(node: ast.expr, subject: Subject) -> Iterable[Any]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _named_parts(node.left, subject)
        yield from _named_parts(node.right, subject)
        return
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).split(".")[-1] in ("Optional", "Union"):
        for item in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
            yield from _named_parts(item, subject)
        if ast.unparse(node.value).endswith("Optional"):
            yield type(None)
        return
    value: Any = None
    if isinstance(node, ast.Name):
        value = subject.globals.get(node.id)
    yield value if isinstance(value, type) else ast.unparse(node)


def _annotation_kind(part: Any) -> str:
    if part is type(None) or part == "None":
        return "none"
    if isinstance(part, type) and issubclass(part, torch.nn.Module):
        return "module"
    text = (
        part
        if isinstance(part, str)
        else getattr(part, "__name__", "")
        if isinstance(part, type)
        else str(part)
    )
    text = text.replace("typing.", "").replace("torch.", "").replace("collections.abc.", "")
    for pattern, kind in (
        (r"(list|tuple|sequence|iterable)\[.*tensor", "tensors"),
        (r"(list|tuple|sequence|iterable)\[.*(int|float)|^size$|\bsize\b", "shape"),
        (r"^(fake|bool|long|float)?tensor$|tensortype|^parameter$|\btensor\b", "tensor"),
        (r"^int$", "int"), (r"^float$|^number$|^scalar$", "float"), (r"^bool$", "bool"), (r"^str$", "str"),
        (r"dtype", "dtype"), (r"device", "device"), (r"callable", "callable"), (r"module", "module"),
        (r"^(tuple|list)$", "tensors"), (r"group|generator", "none"),
    ):  # fmt: skip
        if re.search(pattern, text.lower()):
            return kind
    return ""


_DOCUMENTED = (
    (r"tensor|ndarray", "tensor"),
    (r"\bint(eger)?\b", "int"),
    (r"\bfloat\b", "float"),
    (r"\bbool(ean)?\b", "bool"),
    (r"\bstr(ing)?\b", "str"),
    (r"callable|\bfunction\b", "callable"),
    (r"\bdtype\b", "dtype"),
    (r"nn\.module", "module"),
    (r"\btuple\b|\bshape\b", "shape"),
)


def _documented(name: str, documentation: str, weight: dict[str, float]) -> None:
    """Add what a documentation string says of the type of a parameter, in any of the usual styles."""
    if not documentation:
        return
    escaped = re.escape(name)
    styles = rf"(?m)^\s*(?::type {escaped}:|:param {escaped}:|{escaped}\s*\(|{escaped}\s*:)(?P<said>[^\n)]*)"
    for match in re.finditer(styles, documentation):
        said = match["said"].lower()
        for pattern, kind in _DOCUMENTED:
            if re.search(pattern, said[:60]):
                weight[kind] += 1.5
                break


class _Values:
    """The values worth trying of each kind, with how much less likely each is than the first of its kind."""

    def __init__(self, words: set[str], usage: Usage, place: int) -> None:
        self._words, self._usage, self._place = words, usage, place

    def of(self, kind: str) -> Iterable[tuple[float, Choice]]:
        if kind == "tensor":
            yield from self._tensors()
        elif kind == "tensors":
            for extra, count in ((0.0, 2), (0.6, 1), (0.8, 3)):
                yield extra, Choice(kind, count=count)
        else:
            for place, value in enumerate(getattr(self, f"_{kind}")()):
                yield 0.35 * place, Choice(kind, text=value)

    def _tensors(self) -> Iterable[tuple[float, Choice]]:
        words, hints = self._words, self._usage.dtypes
        index = (bool(words & INDEX) and "float32" not in hints) or "int64" in hints
        mask = bool(words & MASK) or "bool" in hints
        positive = bool(words & POSITIVE) and self._place > 0
        unit = bool(words & UNIT)
        yield (1.0 if index and self._place else 0.6 if "complex64" in hints else 0.0), Choice("tensor")
        yield (
            (0.0 if index and self._place else 0.8 if index else 2.0),
            Choice("tensor", dtype="int64", domain="index"),
        )
        yield (0.4 if mask else 2.6), Choice("tensor", dtype="bool")
        yield (-0.1 if unit else 1.4), Choice("tensor", domain="unit")
        yield (-0.1 if positive else 1.6), Choice("tensor", domain="positive")
        yield (0.0 if "complex64" in hints else 3.2), Choice("tensor", dtype="complex64")
        yield 3.4, Choice("tensor", dtype="float64")
        yield 3.8, Choice("tensor", dtype="int32", domain="index")

    def _float(self) -> list[str]:
        first = [repr(value) for word, value in FLOATS.items() if word in self._words][:1]
        return [*first, "1.0", "0.5", "2.0", "0.1", "0.0", "1.5"]

    def _int(self) -> list[str]:
        seen = [repr(value) for value in self._usage.values if type(value) is int][:3]
        if self._words & DIMENSION:
            return ["-1", "1", "0", "2"]
        first = [repr(value) for word, value in INTS.items() if word in self._words][:1]
        return [*first, "2", "1", *seen, "4", "0", "3", "8", "-1", "16"]

    def _bool(self) -> list[str]:
        return ["False", "True"]

    def _none(self) -> list[str]:
        return ["None"]

    def _str(self) -> list[str]:
        seen = [repr(value) for value in dict.fromkeys(self._usage.values) if isinstance(value, str)][:6]
        return [*seen, *(["'cpu'"] if "device" in self._words else ["'mean'", "'x'"])]

    def _shape(self) -> list[str]:
        return [
            "(2, 4)",
            "(1, 1)",
            "(4,)",
            "(2, 2)",
            "(3, 3)",
            "[1, 1]",
            "(4, 2)",
            "(-1,)",
            "()",
            "(2, 4, 6)",
        ]

    def _dtype(self) -> list[str]:
        usual = [f"torch.{name}" for name in ("float32", "float16", "bfloat16", "int64", "int8", "float64")]
        narrow = [f"torch.{name}" for name in ("float8_e4m3fn", "float8_e5m2", "uint8")]
        return [*narrow, *usual] if self._words & {"float", "fp"} else [*usual, *narrow]

    def _device(self) -> list[str]:
        return ["torch.device('cpu')", "'cpu'", "None"]

    def _callable(self) -> list[str]:
        return ["torch.nn.functional.relu", "torch.neg", "torch.add", "torch.nn.Identity()"]

    def _module(self) -> list[str]:
        return ["torch.nn.Identity()", "torch.nn.Linear(4, 4)", "torch.nn.ReLU()", "torch.nn.Sequential()"]
