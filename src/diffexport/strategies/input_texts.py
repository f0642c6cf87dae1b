"""The texts of all arguments of a model, read together: specs, strategies, constants, names and containers."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from diffexport.strategies.made_instances import names_of_files_unlooked
from diffexport.strategies.nested_texts import is_nested, read_nested
from diffexport.strategies.texts import PREFIX, is_spec, not_too_deep, strategy_of, tree_of, value_in
from diffexport.values import (
    Call,
    CallForm,
    Slot,
    TensorSpec,
    check_sizes,
    follow_dimensions,
    split_name,
    split_names,
)

Entry = TensorSpec | st.SearchStrategy[Any]


def parse_input(text: str) -> Entry:
    """Return the spec or the strategy that a text stands for.

    Raises:
        UsageError: it is neither.
    """
    if is_spec(text):
        return TensorSpec.parse(text)
    with not_too_deep(text):
        return strategy_of(tree_of(PREFIX.sub("", text.strip()), text), text)


def parse_inputs(texts: Iterable[str | Entry]) -> tuple[Entry, ...]:
    """Parse several, one for each argument, leaving those already parsed as they are.

    Raises:
        UsageError: a text does not parse, or specs contradict each other.
    """
    entries = tuple(parse_input(text) if isinstance(text, str) else text for text in texts)
    specs = follow_dimensions([entry for entry in entries if isinstance(entry, TensorSpec)])
    check_sizes(specs)
    following = iter(specs)
    return tuple(next(following) if isinstance(entry, TensorSpec) else entry for entry in entries)


@dataclass(frozen=True)
class SplitInputs:
    """What the texts of all arguments say.

    Attributes:
        entries: the specs and strategies of those that are generated.
        form: how these are arranged into a call; None where all are positional.
        constants: the values of the others, by position in the whole call or by name.
    """

    entries: tuple[Entry, ...]
    form: CallForm | None
    constants: dict[int | str, Any]


def split(texts: Iterable[str]) -> SplitInputs:
    """Parse the texts of all arguments and set the constants apart, ``just(…)`` and ``none()``.

    What never changes is no input of an exported model, and exporters refuse most values that are no tensors.

    Raises:
        UsageError: see [parse_inputs][] and [split_names][diffexport.values.split_names].
    """
    entries: list[Entry] = []
    constants: dict[int | str, Any] = {}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}

    def read(text: str) -> Slot:
        entries.append(parse_input(text))
        return Slot(len(entries) - 1)

    names, rests = split_names(texts)
    for place, (name, text) in enumerate(zip(names, rests, strict=True)):
        is_constant, value = _constant(text)
        if is_constant:
            constants[name or place] = value
        elif name:
            kwargs[name] = read_nested(text, read)
        else:
            args.append(read_nested(text, read))
    form = CallForm(Call(args, kwargs))
    plain = not kwargs and all(isinstance(item, Slot) for item in args)
    return SplitInputs(parse_inputs(entries), None if plain else form, constants)


def _constant(text: str) -> tuple[bool, Any]:
    """Return whether a text is a constant, and its value."""
    node = None if is_nested(text) or is_spec(text) else tree_of(PREFIX.sub("", text.strip()), text)
    called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if isinstance(node, ast.Call) and called == "just" and len(node.args) == 1 and not node.keywords:
        with not_too_deep(text):
            return True, value_in(node.args[0], text)
    return isinstance(node, ast.Call) and called == "none" and not node.args and not node.keywords, None


def canonical(texts: Iterable[str], targets: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the texts, checked, in the form in which they are stored and shown; those by name stand last.

    Args:
        texts: of inputs.
        targets: what they are for; what a text names of a file among them is not looked up here.

    Raises:
        UsageError: see [parse_inputs][] and [split_names][diffexport.values.split_names].
    """
    ordered = sorted(texts, key=lambda text: bool(split_name(text)[0]))
    names, rests = split_names(ordered)
    inside: list[str] = []

    def read(text: str) -> Slot:
        inside.append(text)
        return Slot(len(inside) - 1)

    # Constants are not generated, and stand in their places all the same.
    with names_of_files_unlooked(targets):
        items = [read_nested(text, read) for text in rests]
        entries = parse_inputs(inside)
    shown_as = [
        str(entry) if isinstance(entry, TensorSpec) else PREFIX.sub("", text.strip())
        for entry, text in zip(entries, inside, strict=True)
    ]
    unnamed = CallForm(Call(items)).texts(shown_as)
    return tuple(f"{name}{'=' if name else ''}{text}" for name, text in zip(names, unnamed, strict=True))
