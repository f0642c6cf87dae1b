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
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from diffexport.infer.evidence.configs import instances
from diffexport.infer.evidence.documented_kinds import weigh_documentation
from diffexport.infer.evidence.kinds import KINDS, ArgumentKind
from diffexport.infer.evidence.parameter_usage import Usage
from diffexport.infer.evidence.subject import MISSING, Parameter, Subject
from diffexport.infer.evidence.weights import CHOICE, NAME, PRIOR, STATED, TENSOR
from diffexport.infer.evidence.words import (
    DIMENSION,
    FLOATS,
    INDEX,
    INTS,
    LENGTH,
    MASK,
    POSITIVE,
    PREFIXES,
    SPOKEN_FOR,
    UNIT,
)
from diffexport.strategies import importable, text_of


@dataclass(frozen=True)
class Choice:
    """What one argument may be.

    Attributes:
        kind: what it is.
        cost: 0 for the likeliest.
        text: of the value, for what is no tensor.
        dtype, domain: of a tensor; the domain is ``any``, ``positive``, ``unit`` (0 to 1), ``index`` (small integers),
            ``mask`` (false and true, or 0 and 1), ``length`` (integers from 1 on).
        count: of a tuple or list of tensors.
        is_list: whether they are in a list.
        source: where the value comes from.
    """

    kind: ArgumentKind
    cost: float = 0.0
    text: str = ""
    dtype: str = "float32"
    domain: str = "any"
    count: int = 0
    is_list: bool = False
    source: str = "guess"

    @property
    def is_tensor(self) -> bool:
        """Whether it is a single tensor."""
        return self.kind is ArgumentKind.TENSOR


@dataclass(frozen=True)
class SiteValue:
    """What a call site says of one argument: the text of its value, or (empty) that it is made of tensors."""

    text: str
    source: str
    tensor: bool = False


def choices(
    parameter: Parameter,
    place: int,
    usage: Usage,
    known: Sequence[SiteValue],
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
    weight = _weights_of_name(parameter.name, words, place, usage)
    named_values = _annotated(parameter.annotation, subject, weight)
    weigh_documentation(parameter.name, documentation, weight)
    for one in known:
        if one.tensor:
            weight[ArgumentKind.TENSOR] += STATED.site_tensor
    if parameter.default is not MISSING and parameter.default is not None:
        weight[_kind_of(parameter.default)] += STATED.default
    stated, start = _stated(parameter, usage, known, named_values)
    best = max(weight.values())
    said = str(parameter.annotation or "").lower()
    values = _Values(words, usage, place, is_list="tuple" not in said)
    guesses = [
        dataclasses.replace(choice, cost=start + best - amount + extra)
        for kind, amount in weight.items()
        for extra, choice in values.of(kind)
    ]
    return _cheapest([*stated, *guesses])


def _weights_of_name(name: str, words: set[str], place: int, usage: Usage) -> dict[ArgumentKind, float]:
    """Return the weight of each kind in view of a parameter's place, use and name."""
    weight = {kind: PRIOR[kind][min(place, 1)] + usage.weight.get(kind, 0.0) for kind in KINDS}
    for spoken, kind, amount in SPOKEN_FOR:
        if words & spoken:
            weight[kind] += amount
    first = re.match(r"_*([a-z]+)_", name)
    if first and first[1] in PREFIXES:
        weight[PREFIXES[first[1]]] += NAME.prefix
    return weight


def _stated(
    parameter: Parameter, usage: Usage, known: Sequence[SiteValue], named_values: Sequence[str]
) -> tuple[list[Choice], float]:
    """Return the values that are stated somewhere, and what everything else costs at least.

    Args:
        parameter: the argument.
        usage: how the source uses it.
        known: what call sites give.
        named_values: texts of the values that its annotation names.
    """
    stated = [
        Choice(_kind_of_text(one.text), CHOICE.site_step * number, one.text, source=one.source)
        for number, one in enumerate(_distinct(known))
    ]
    start = CHOICE.after_sites if stated else 0.0
    if parameter.default is not MISSING:
        text = text_of(parameter.default)
        if text is not None:
            stated.append(Choice(_kind_of(parameter.default), start, text, source="default"))
            start += CHOICE.after_default
    stated += [
        Choice(_kind_of_text(text), start + CHOICE.annotation_step * number, text, source="annotation")
        for number, text in enumerate(named_values)
    ]
    start = start + CHOICE.after_annotation if named_values else start
    for number, text in enumerate(_containers(parameter.annotation, usage)):
        cost = start + CHOICE.container + CHOICE.container_step * number
        stated.append(Choice(ArgumentKind.CONTAINER, cost, text, source="what is done with it"))
    for checked in dict.fromkeys(usage.classes):
        owner = importable(checked)
        # A check is a good reason to give one, or to give none of the kind: subclasses of tensors are special cases.
        if owner is not None and not issubclass(checked, torch.Tensor):
            kind, cost = _kind_of_class(checked), start + CHOICE.checked_class
            stated.append(Choice(kind, cost, f"{owner}()", source="a check of its type"))
    return stated, start


def _cheapest(choices: Sequence[Choice]) -> list[Choice]:
    """Return each choice once, the cheapest first, without those that are too unlikely."""
    kept: dict[Any, Choice] = {}
    for choice in sorted(choices, key=lambda choice: choice.cost):
        if choice.cost <= CHOICE.most:
            kind = "" if choice.text else choice.kind
            kept.setdefault((choice.text, kind, choice.dtype, choice.domain, choice.count), choice)
    return list(kept.values())


def _distinct(known: Sequence[SiteValue]) -> list[SiteValue]:
    """Return the values that sites give, the frequent ones first."""
    counted: dict[str, list[SiteValue]] = {}
    for one in known:
        if one.text:
            counted.setdefault(one.text, []).append(one)
    return [group[0] for group in sorted(counted.values(), key=lambda group: -len(group))][:6]


_TYPES: Sequence[tuple[ArgumentKind, type | types.UnionType]] = (
    (ArgumentKind.NONE, type(None)),
    (ArgumentKind.BOOL, bool),
    (ArgumentKind.INT, int),
    (ArgumentKind.FLOAT, float),
    (ArgumentKind.STR, str),
    (ArgumentKind.DTYPE, torch.dtype),
    (ArgumentKind.DEVICE, torch.device),
    (ArgumentKind.MODULE, torch.nn.Module),
    (ArgumentKind.TENSOR, torch.Tensor),
    (ArgumentKind.SHAPE, tuple | list),
)


def _kind_of(value: Any) -> ArgumentKind:
    for kind, accepted in _TYPES:
        if isinstance(value, accepted):
            return kind
    return ArgumentKind.CALLABLE if callable(value) else ArgumentKind.STR


def _kind_of_class(kind: type) -> ArgumentKind:
    return ArgumentKind.MODULE if issubclass(kind, torch.nn.Module) else ArgumentKind.CALLABLE


def _kind_of_text(text: str) -> ArgumentKind:
    try:
        return _kind_of(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ArgumentKind.DTYPE if text.startswith("torch.") else ArgumentKind.CALLABLE


def _annotated(annotation: Any, subject: Subject, weight: dict[ArgumentKind, float]) -> list[str]:
    """Add what an annotation speaks for; return texts of values where it names all of them."""
    if annotation is None:
        return []
    texts: list[str] = []
    for part in _parts(annotation, subject):
        if typing.get_origin(part) is typing.Literal:
            texts += [text for value in typing.get_args(part) if (text := text_of(value)) is not None]
            continue
        kind = _annotation_kind(part)
        if kind is not None:
            weight[kind] += STATED.annotation
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


_ANNOTATED = (
    (r"(list|tuple|sequence|iterable)\[.*tensor", ArgumentKind.TENSORS),
    (r"(list|tuple|sequence|iterable)\[.*(int|float)|^size$|\bsize\b", ArgumentKind.SHAPE),
    (r"^(fake|bool|long|float)?tensor$|tensortype|^parameter$|\btensor\b", ArgumentKind.TENSOR),
    (r"^int$", ArgumentKind.INT),
    (r"^float$|^number$|^scalar$", ArgumentKind.FLOAT),
    (r"^bool$", ArgumentKind.BOOL),
    (r"^str$", ArgumentKind.STR),
    (r"dtype", ArgumentKind.DTYPE),
    (r"device", ArgumentKind.DEVICE),
    (r"callable", ArgumentKind.CALLABLE),
    (r"module", ArgumentKind.MODULE),
    (r"^(tuple|list)$", ArgumentKind.TENSORS),
    (r"group|generator", ArgumentKind.NONE),
)


def _annotation_kind(part: Any) -> ArgumentKind | None:
    if part is type(None) or part == "None":
        return ArgumentKind.NONE
    if isinstance(part, type) and issubclass(part, torch.nn.Module):
        return ArgumentKind.MODULE
    text = (
        part
        if isinstance(part, str)
        else getattr(part, "__name__", "")
        if isinstance(part, type)
        else str(part)
    )
    text = text.replace("typing.", "").replace("torch.", "").replace("collections.abc.", "")
    return next((kind for pattern, kind in _ANNOTATED if re.search(pattern, text.lower())), None)


#: The values worth trying of kinds whose values depend on nothing.
_PLAIN_VALUES: Mapping[ArgumentKind, Sequence[str]] = {
    ArgumentKind.BOOL: ("False", "True"),
    ArgumentKind.NONE: ("None",),
    ArgumentKind.SHAPE: (
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
    ),
    ArgumentKind.DEVICE: ("torch.device('cpu')", "'cpu'", "None"),
    ArgumentKind.CALLABLE: ("torch.nn.functional.relu", "torch.neg", "torch.add", "torch.nn.Identity()"),
    ArgumentKind.MODULE: (
        "torch.nn.Identity()",
        "torch.nn.Linear(4, 4)",
        "torch.nn.ReLU()",
        "torch.nn.Sequential()",
    ),
}


class _Values:
    """The values worth trying of each kind, with how much less likely each is than the first of its kind."""

    def __init__(self, words: set[str], usage: Usage, place: int, *, is_list: bool) -> None:
        self._words, self._usage, self._place, self._is_list = words, usage, place, is_list

    def of(self, kind: ArgumentKind) -> Iterable[tuple[float, Choice]]:
        if kind is ArgumentKind.TENSOR:
            yield from self._tensors()
        elif kind is ArgumentKind.TENSORS:
            seen = max(self._usage.counts, default=0)
            usual = ((CHOICE.two_tensors, 2), (CHOICE.one_tensor, 1), (CHOICE.three_tensors, 3))
            if 0 < seen <= CHOICE.most_tensors:
                yield CHOICE.two_tensors, Choice(kind, count=seen, is_list=self._is_list)
            for cost, count in usual:
                extra = CHOICE.other_count if seen else 0.0
                yield cost + extra, Choice(kind, count=count, is_list=self._is_list)
        else:
            for number, text in enumerate(self._texts(kind)):
                yield CHOICE.value_step * number, Choice(kind, text=text)

    def _texts(self, kind: ArgumentKind) -> Sequence[str]:
        """Return the texts of what is no tensor."""
        if kind is ArgumentKind.FLOAT:
            return self._floats()
        if kind is ArgumentKind.INT:
            return self._ints()
        if kind is ArgumentKind.STR:
            return self._strings()
        if kind is ArgumentKind.DTYPE:
            return self._dtypes()
        return _PLAIN_VALUES[kind]

    def _tensors(self) -> Iterable[tuple[float, Choice]]:
        words, hints = self._words, self._usage.dtypes
        mask = bool(words & MASK) or "bool" in hints
        index = ((bool(words & INDEX) and "float32" not in hints) or "int64" in hints) and not mask
        length = bool(words & LENGTH) or self._usage.is_length
        subscript = "subscript" in hints and not mask
        positive = bool(words & POSITIVE) and self._place > 0
        unit = bool(words & UNIT)
        later_index = (index and self._place > 0) or "int64" in hints or subscript
        any_float = TENSOR.floats
        if later_index:
            any_float = TENSOR.floats_not_indices
        elif mask:
            any_float = TENSOR.mask_of_floats
        elif "complex64" in hints:
            any_float = TENSOR.floats_not_complex
        indices = TENSOR.indices
        if index or subscript:
            indices = TENSOR.indices_hinted if later_index else TENSOR.indices_hinted_first
        kind = ArgumentKind.TENSOR
        if length:
            yield TENSOR.lengths, Choice(kind, dtype="int64", domain="length")
        yield any_float, Choice(kind)
        yield indices, Choice(kind, dtype="int64", domain="index")
        if mask:
            yield TENSOR.mask_hinted, Choice(kind, dtype="bool", domain="mask")
            yield TENSOR.mask_of_integers, Choice(kind, dtype="int64", domain="mask")
        else:
            yield (TENSOR.subscript_mask if subscript else TENSOR.mask), Choice(kind, dtype="bool")
        yield (TENSOR.unit_hinted if unit else TENSOR.unit), Choice(kind, domain="unit")
        yield (TENSOR.positive_hinted if positive else TENSOR.positive), Choice(kind, domain="positive")
        is_complex = "complex64" in hints
        yield (TENSOR.complex_hinted if is_complex else TENSOR.complex), Choice(kind, dtype="complex64")
        yield TENSOR.double, Choice(kind, dtype="float64")
        yield TENSOR.small_indices, Choice(kind, dtype="int32", domain="index")

    def _floats(self) -> list[str]:
        first = [repr(value) for word, value in FLOATS.items() if word in self._words][:1]
        return [*first, "1.0", "0.5", "2.0", "0.1", "0.0", "1.5"]

    def _ints(self) -> list[str]:
        seen = [repr(value) for value in self._usage.values if type(value) is int][:3]
        if self._words & DIMENSION:
            return ["-1", "1", "0", "2"]
        first = [repr(value) for word, value in INTS.items() if word in self._words][:1]
        return [*first, "2", "1", *seen, "4", "0", "3", "8", "-1", "16"]

    def _strings(self) -> list[str]:
        seen = [repr(value) for value in dict.fromkeys(self._usage.values) if isinstance(value, str)][:6]
        return [*seen, *(["'cpu'"] if "device" in self._words else ["'mean'", "'x'"])]

    def _dtypes(self) -> list[str]:
        usual = [f"torch.{name}" for name in ("float32", "float16", "bfloat16", "int64", "int8", "float64")]
        narrow = [f"torch.{name}" for name in ("float8_e4m3fn", "float8_e5m2", "uint8")]
        return [*narrow, *usual] if self._words & {"float", "fp"} else [*usual, *narrow]
