"""The search: candidates in the order of their cost, the next ones chosen by what the last one was told."""

from __future__ import annotations

import heapq
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from diffexport.errors import UsageError
from diffexport.infer import shapes as known_shapes
from diffexport.infer.choices import Choice
from diffexport.infer.messages import Advice, need_of, read
from diffexport.infer.probe import Outcome, Prober, tensor_of
from diffexport.infer.shapes import Shape
from diffexport.infer.usage import Usage
from diffexport.strategies.texts import value_of

#: Most calls, most calls after one that ran with numbers that are not finite, and most changes in a row that messages
#: suggested.
_CALLS, _AFTERWARDS, _REPAIRS = 4000, 60, 8
#: How many calls may raise nothing new before the search is given up.
_PATIENCE = 600
#: How much dearer a candidate may be than one that runs but shows little: whose numbers are not finite, or which gives
#: back its inputs, as a quantizer of 32 bits may; and the merit of one that shows it all.
_DEARER, _BEST = 2.0, 2
#: An option this much worse than the best of its argument is not tried.
_WORST = 6.5


@dataclass(frozen=True)
class Argument:
    """What one argument of a candidate is: a choice, and a shape where it is a tensor (or several)."""

    choice: Choice
    shape: Shape | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others."""
        own = self.choice
        return (
            (own.kind, own.text, own.dtype, own.domain, own.count, self.shape)
            if not own.text
            else (own.text,)
        )

    def value(self, number: int) -> Any:
        """Return the argument itself.

        Raises:
            UsageError: its text gives no value here.
        """
        if self.choice.is_tensor:
            return tensor_of(self.shape or (), self.choice.dtype, self.choice.domain, number)
        if self.choice.kind == "tensors" and self.choice.count:
            return tuple(
                tensor_of(self.shape or (), "float32", "any", number + k) for k in range(self.choice.count)
            )
        return value_of(self.choice.text)


Candidate = tuple[Argument, ...]


@dataclass(frozen=True)
class Space:
    """What may be tried for a call of so many arguments: the names, choices and usages of each, and what it costs."""

    names: tuple[str, ...]
    choices: tuple[tuple[Choice, ...], ...]
    usages: tuple[Usage, ...]
    cost: float = 0.0

    def options(self) -> list[list[tuple[float, Choice, str]]]:
        """Return the options of each argument, the best first: a cost, a choice, and the name of a shape."""
        made = []
        for place, own in enumerate(self.choices):
            found: list[tuple[float, Choice, str]] = []
            for choice in own:
                if choice.is_tensor or choice.count:
                    usage, name = self.usages[place], self.names[place]
                    kinds = known_shapes.relations(name, usage) if place else known_shapes.ranks(usage)
                    found += [(choice.cost + cost, choice, kind) for cost, kind in kinds]
                else:
                    found.append((choice.cost, choice, ""))
            found.sort(key=lambda option: option[0])
            made.append([option for option in found if option[0] <= found[0][0] + _WORST])
        return made


@dataclass
class Found:
    """What the search found: the candidate and what it gave (None: nothing ran), and what else was raised.

    ``foreign`` is the first call that ran without giving a tensor.
    """

    candidate: Candidate | None = None
    outcome: Outcome | None = None
    names: tuple[str, ...] = ()
    foreign: tuple[Candidate, Outcome, tuple[str, ...]] | None = None
    errors: Counter[str] = field(default_factory=Counter)
    needs: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)


def arguments_of(candidate: Candidate, number: int = 0) -> list[Any]:
    """Return the values of a candidate, other tensors for each ``number``.

    Raises:
        UsageError: a text gives no value here.
    """
    return [argument.value(10 * number + place) for place, argument in enumerate(candidate)]


def search(prober: Prober, spaces: Sequence[Space], skipped: frozenset[str] = frozenset()) -> Found:
    """Look for a candidate that runs and gives finite numbers.

    Args:
        prober: calls the model.
        spaces: what may be tried, one for each number of arguments.
        skipped: texts of candidates that are known to end the process.
    """
    run = _Search(prober, spaces, skipped)
    run.go()
    return run.found


class _Search:
    def __init__(self, prober: Prober, spaces: Sequence[Space], skipped: frozenset[str]) -> None:
        self._prober, self._spaces, self._skipped = prober, spaces, skipped
        self.found = Found()
        self._heap: list[tuple[float, int, int, Candidate | tuple[int, ...], int]] = []
        self._count = itertools.count()
        self._seen: set[Any] = set()
        #: Errors met, numbers aside, and when the last new one was.
        self._kinds: set[str] = set()
        self._merit = -1
        self._news = 0
        self._options = [space.options() for space in spaces]

    def go(self) -> None:
        for number, options in enumerate(self._options):
            if all(options):
                self._push_indices(number, (0,) * len(options))
        allowed = _CALLS
        dearest = float("inf")
        while self._heap and not self._prober.over and self._prober.tried < allowed and not self._hopeless():
            cost, _, number, what, repairs = heapq.heappop(self._heap)
            candidate = self._expand(number, what) if repairs < 0 else what
            if not candidate or not self._new(number, candidate):  # type: ignore[arg-type]
                continue
            outcome = self._probe(candidate)  # type: ignore[arg-type]
            if outcome is None:
                continue
            if outcome.ran and outcome.tensors:
                if self.found.candidate is None:
                    allowed = min(allowed, self._prober.tried + _AFTERWARDS)
                    dearest = cost + _DEARER
                self._take(number, candidate, outcome)  # type: ignore[arg-type]
                if self._merit == _BEST or cost > dearest:
                    return
            elif outcome.ran:
                self._note_foreign(number, candidate, outcome)  # type: ignore[arg-type]
            elif outcome.error is not None:
                self._learn(cost, number, candidate, outcome, max(repairs, 0))  # type: ignore[arg-type]

    def _take(self, number: int, candidate: Candidate, outcome: Outcome) -> None:
        """Keep what ran if it is the first, or shows more of the model than what is kept."""
        finite = outcome.finite
        unchanged = finite and any(not a.choice.is_tensor for a in candidate) and outcome.gives_back
        merit = _BEST if finite and not unchanged else int(finite)
        if merit > self._merit:
            self._merit = merit
            self.found.candidate, self.found.outcome = candidate, outcome
            self.found.names = self._spaces[number].names

    def _hopeless(self) -> bool:
        """Return whether more of the same is not going to help.

        That is where most calls fail for lack of something, or nothing new has been raised for long.
        """
        tried, found = self._prober.tried, self.found
        if found.candidate is not None:
            return False
        if found.foreign is not None and tried > self._news + _PATIENCE // 4:
            return True
        return tried > self._news + _PATIENCE or (tried > 100 and sum(found.needs.values()) > 0.7 * tried)

    def _note_foreign(self, number: int, candidate: Candidate, outcome: Outcome) -> None:
        """Remember a call that ran and gave no tensor, in case no other does."""
        self.found.errors["it returns no tensor"] += 1
        if self.found.foreign is None:
            self.found.foreign = (candidate, outcome, self._spaces[number].names)

    def _push_indices(self, number: int, indices: tuple[int, ...]) -> None:
        options = self._options[number]
        if any(index >= len(own) for index, own in zip(indices, options, strict=True)):
            return
        if (number, indices) in self._seen:
            return
        self._seen.add((number, indices))
        cost = self._spaces[number].cost + sum(own[i][0] for i, own in zip(indices, options, strict=True))
        heapq.heappush(self._heap, (cost, next(self._count), number, indices, -1))

    def _expand(self, number: int, what: Any) -> Candidate | None:
        """Return the candidate of a vector of indices, whose neighbours are put onto the heap."""
        indices: tuple[int, ...] = what
        for place in range(len(indices)):
            self._push_indices(number, (*indices[:place], indices[place] + 1, *indices[place + 1 :]))
        chosen = [own[i] for i, own in zip(indices, self._options[number], strict=True)]
        first: Shape | None = None
        arguments = []
        for _, choice, kind in chosen:
            if not kind:
                arguments.append(Argument(choice))
                continue
            shape = known_shapes.shape_of(kind, first)
            if shape is None:
                return None
            first = shape if first is None else first
            arguments.append(Argument(choice, shape))
        return tuple(arguments)

    def _new(self, number: int, candidate: Candidate) -> bool:
        key = (number, tuple(argument.key for argument in candidate))
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _probe(self, candidate: Candidate) -> Outcome | None:
        text = describe(candidate)
        if text in self._skipped:
            return None
        try:
            arguments = arguments_of(candidate)
        except UsageError:
            return None
        announce(text)
        outcome = self._prober.call(arguments, copied=False)
        return replace(outcome, arguments=tuple(arguments)) if outcome.ran else outcome

    def _learn(self, cost: float, number: int, candidate: Candidate, outcome: Outcome, repairs: int) -> None:
        error = outcome.error
        assert error is not None
        reason = outcome.reason
        kind = re.sub(r"[\d\[\](), x-]+", " ", reason)
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._news = self._prober.tried
        self.found.errors[reason] += 1
        self.found.first.setdefault(reason, describe(candidate))
        need = need_of(error)
        if need:
            self.found.needs[need] += 1
        if repairs >= _REPAIRS:
            return
        advice = read(error)
        for extra, changed in repaired(candidate, self._spaces[number], advice):
            heapq.heappush(self._heap, (cost + extra, next(self._count), number, changed, repairs + 1))
        self._named(cost, number, candidate, advice, repairs)

    def _named(self, cost: float, number: int, candidate: Candidate, advice: Advice, repairs: int) -> None:
        """Try other values of the arguments that a message names, also of those that were left to their default."""
        for further, space in enumerate(self._spaces):
            extended = self._extended(candidate, further) if further != number else candidate
            if extended is None:
                continue
            for place, name in enumerate(space.names):
                if (
                    len(name) < 3
                    or name not in advice.words
                    or (further != number and place < len(candidate))
                ):
                    continue
                own = extended[place].choice
                for choice in space.choices[place][:8]:
                    if choice.is_tensor or choice.count or choice.text == own.text:
                        continue
                    changed = (*extended[:place], Argument(choice), *extended[place + 1 :])
                    extra = 0.2 + 0.3 * max(choice.cost - own.cost, 0.0) + 0.2 * (further != number)
                    entry = (cost + extra, next(self._count), further, changed, repairs + 1)
                    heapq.heappush(self._heap, entry)

    def _extended(self, candidate: Candidate, number: int) -> Candidate | None:
        """Return a candidate with as many arguments as another space has, the further ones of no tensors."""
        choices = self._spaces[number].choices
        if len(choices) <= len(candidate):
            return None
        further = [next((c for c in own if c.text), None) for own in choices[len(candidate) :]]
        return (*candidate, *(Argument(c) for c in further if c is not None)) if None not in further else None


def describe(candidate: Candidate) -> str:
    """Return a candidate in one line."""
    parts = []
    for argument in candidate:
        own = argument.choice
        shape = ", ".join(map(str, argument.shape or ()))
        if own.is_tensor:
            parts.append(f"{own.dtype}[{shape}]" + ("" if own.domain == "any" else f" ({own.domain})"))
        else:
            parts.append(f"{own.count} × float32[{shape}]" if own.count else own.text)
    return ", ".join(parts)


#: What is announced when a candidate has been found and others are tried around it.
WIDENING = "around what runs"
#: Called with each candidate before it is tried; the child process has this tell its parent.
announce: Callable[[str], None] = lambda _: None  # noqa: E731


def repaired(candidate: Candidate, space: Space, advice: Advice) -> Iterator[tuple[float, Candidate]]:
    """Yield the candidates that an error message suggests, with what they cost more than the one that raised it."""
    tensors = [place for place, argument in enumerate(candidate) if argument.shape is not None]

    def with_shape(place: int, shape: Shape) -> Candidate:
        return (*candidate[:place], replace(candidate[place], shape=shape), *candidate[place + 1 :])

    def with_choice(place: int, choice: Choice, shape: Shape | None = None) -> Candidate:
        return (*candidate[:place], Argument(choice, shape), *candidate[place + 1 :])

    for one, other in advice.sizes:
        for old, new in ((one, other), (other, one)):
            places = [
                (p, axis)
                for p in tensors
                for axis, size in enumerate(candidate[p].shape or ())
                if size == old
            ]
            if not places or not 0 < new <= 1024:
                continue
            if len(places) > 1:
                yield 0.05, _resized(candidate, places, new)
            for place in reversed(places):
                yield 0.1, _resized(candidate, [place], new)
    for place in tensors:
        shape = candidate[place].shape or ()
        wanted = [rank for rank in advice.ranks if rank != len(shape)]
        if advice.rank_step:
            wanted.append(len(shape) + advice.rank_step)
        for rank in dict.fromkeys(wanted):
            if 0 <= rank <= 5:
                yield 0.1 + 0.1 * place, with_shape(place, _of_rank(shape, rank))
        if advice.scalar and shape:
            yield 0.6, with_shape(place, ())
            yield 0.7, with_shape(place, (1,))
        if advice.same_shape and place and shape != candidate[tensors[0]].shape:
            yield 0.3, with_shape(place, candidate[tensors[0]].shape or ())
    for rank in advice.ranks:
        if len(tensors) > 1 and 0 <= rank <= 5:
            shapes = {p: _of_rank(candidate[p].shape or (), rank) for p in tensors}
            yield (
                0.3,
                tuple(replace(a, shape=shapes[p]) if p in shapes else a for p, a in enumerate(candidate)),
            )
    if advice.multiple:
        m = advice.multiple
        for p in tensors:
            rounded = tuple(-(-size // m) * m for size in candidate[p].shape or ())
            yield 0.2, with_shape(p, rounded)
        everywhere = {p: tuple(-(-size // m) * m for size in candidate[p].shape or ()) for p in tensors}
        yield (
            0.1,
            tuple(replace(a, shape=everywhere[p]) if p in everywhere else a for p, a in enumerate(candidate)),
        )
    if advice.definite:
        yield from _definite(candidate, tensors)
    yield from _rechosen(candidate, space, advice, with_choice)


def _definite(candidate: Candidate, tensors: Sequence[int]) -> Iterator[tuple[float, Candidate]]:
    """Yield candidates of which one tensor is a constant definite matrix."""
    sizes = dict.fromkeys(
        size for p in tensors for size in reversed(candidate[p].shape or ()) if 1 < size <= 16
    )
    for place in reversed(tensors):
        for number, size in enumerate(sizes):
            for text in (f"torch.eye({size})", f"-torch.eye({size})"):
                changed = Argument(Choice("matrix", text=text))
                yield 0.2 + 0.2 * number, (*candidate[:place], changed, *candidate[place + 1 :])


def _rechosen(
    candidate: Candidate, space: Space, advice: Advice, with_choice: Any
) -> Iterator[tuple[float, Candidate]]:
    """Yield candidates of which one argument is of another dtype or kind."""
    for place, argument in enumerate(candidate):
        own = argument.choice
        for dtype in advice.dtypes:
            if own.is_tensor and own.dtype != dtype:
                domain = "index" if dtype.startswith(("int", "uint")) else "any"
                yield 0.4, with_choice(place, replace(own, dtype=dtype, domain=domain), argument.shape)
        if own.is_tensor and advice.smaller and own.domain == "any" and own.dtype != "bool":
            yield (
                0.8,
                with_choice(
                    place, replace(own, domain="unit" if "float" in own.dtype else "index"), argument.shape
                ),
            )
        wanted = set(advice.wants) | (
            {"float", "int", "bool", "none"} if advice.scalar and own.is_tensor else set()
        )
        if (
            own.kind in advice.not_kinds
            or (wanted and own.kind not in wanted)
            or (advice.smaller and own.kind == "int")
        ):
            met: set[str] = set()
            for choice in space.choices[place]:
                if choice.kind == own.kind and not (advice.smaller and own.kind == "int"):
                    continue
                if wanted and choice.kind not in wanted and own.kind not in advice.not_kinds:
                    continue
                if choice.kind in met and not choice.text:
                    continue
                met.add(choice.kind)
                shape = None
                if choice.is_tensor or choice.count:
                    shapes = [a.shape for a in candidate if a.shape is not None]
                    shape = argument.shape or (shapes[0] if shapes else known_shapes.PLAIN[2])
                yield 0.5 + 0.3 * max(choice.cost - own.cost, 0), with_choice(place, choice, shape)


def _resized(candidate: Candidate, places: Sequence[tuple[int, int]], size: int) -> Candidate:
    changed = list(candidate)
    for place, axis in places:
        shape = changed[place].shape or ()
        changed[place] = replace(changed[place], shape=(*shape[:axis], size, *shape[axis + 1 :]))
    return tuple(changed)


def _of_rank(shape: Shape, rank: int) -> Shape:
    """Return a shape of another rank: dimensions are taken away in front, or put there."""
    if rank <= len(shape):
        return shape[len(shape) - rank :]
    plain = known_shapes.PLAIN[rank]
    return (*plain[: rank - len(shape)], *shape)
