"""Candidates: what a call may be given, and the space of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from diffexport.infer.evidence import SEARCH, ArgumentKind, Choice, Shape, Usage, ranks, relations
from diffexport.infer.search.probe import tensor_of
from diffexport.strategies import value_of


@dataclass(frozen=True)
class Argument:
    """What one argument of a candidate is: a choice, and a shape where it is a tensor (or several)."""

    choice: Choice
    shape: Shape | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others."""
        choice = self.choice
        return (
            (choice.kind, choice.text, choice.dtype, choice.domain, choice.count, self.shape)
            if not choice.text
            else (choice.text,)
        )

    def value(self, number: int) -> Any:
        """Return the argument itself.

        Raises:
            UsageError: its text gives no value here.
        """
        if self.choice.is_tensor:
            return tensor_of(self.shape or (), self.choice.dtype, self.choice.domain, number)
        if self.choice.kind is ArgumentKind.TENSORS and self.choice.count:
            several = [
                tensor_of(self.shape or (), self.choice.dtype, "any", number + k)
                for k in range(self.choice.count)
            ]
            return several if self.choice.is_list else tuple(several)
        return value_of(self.choice.text)


Candidate = tuple[Argument, ...]


@dataclass(frozen=True)
class Flattened:
    """A candidate with each tensor of a list or tuple as an argument of its own.

    Attributes:
        arguments: the tensors and other values in a row.
        counts: how many of them each argument of the call takes, and whether they are in a list; None for a single one.
    """

    arguments: Candidate
    counts: tuple[tuple[int, bool] | None, ...]

    @classmethod
    def of(cls, candidate: Candidate) -> Flattened:
        """Return a candidate flattened."""
        flat: list[Argument] = []
        counts: list[tuple[int, bool] | None] = []
        for argument in candidate:
            choice = argument.choice
            if not choice.count:
                flat.append(argument)
                counts.append(None)
                continue
            one = replace(choice, kind=ArgumentKind.TENSOR, count=0)
            flat += [Argument(one, argument.shape)] * choice.count
            counts.append((choice.count, choice.is_list))
        return cls(tuple(flat), tuple(counts))

    def grouped(self, values: Sequence[Any]) -> list[Any]:
        """Return the arguments of the call that these values, in a row, make."""
        left = iter(values)
        arguments: list[Any] = []
        for count in self.counts:
            if count is None:
                arguments.append(next(left))
            else:
                several = [next(left) for _ in range(count[0])]
                arguments.append(several if count[1] else tuple(several))
        return arguments


@dataclass(frozen=True)
class Space:
    """What may be tried for a call of so many arguments: the names, choices and usages of each, and what it costs."""

    names: tuple[str, ...]
    choices: tuple[tuple[Choice, ...], ...]
    usages: tuple[Usage, ...]
    cost: float = 0.0

    def options(self) -> list[list[tuple[float, Choice, str]]]:
        """Return the options of each argument, the best first: a cost, a choice, and the name of a shape."""
        options = []
        for place, choices in enumerate(self.choices):
            ranked: list[tuple[float, Choice, str]] = []
            for choice in choices:
                if choice.is_tensor or choice.count:
                    usage, name = self.usages[place], self.names[place]
                    kinds = relations(name, usage) if place else ranks(usage)
                    ranked += [(choice.cost + cost, choice, kind) for cost, kind in kinds]
                else:
                    ranked.append((choice.cost, choice, ""))
            ranked.sort(key=lambda option: option[0])
            options.append([option for option in ranked if option[0] <= ranked[0][0] + SEARCH.worst_option])
        return options


def arguments_of(candidate: Candidate, number: int = 0) -> list[Any]:
    """Return the values of a candidate, other tensors for each ``number``.

    Raises:
        UsageError: a text gives no value here.
    """
    return [argument.value(10 * number + place) for place, argument in enumerate(candidate)]


def describe(candidate: Candidate) -> str:
    """Return a candidate in one line."""
    parts = []
    for argument in candidate:
        choice = argument.choice
        shape = ", ".join(map(str, argument.shape or ()))
        if choice.is_tensor:
            parts.append(
                f"{choice.dtype}[{shape}]" + ("" if choice.domain == "any" else f" ({choice.domain})")
            )
        else:
            parts.append(f"{choice.count} × {choice.dtype}[{shape}]" if choice.count else choice.text)
    return ", ".join(parts)
