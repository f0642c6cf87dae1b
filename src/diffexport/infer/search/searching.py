"""The search: candidates in the order of their cost, the next ones chosen by what the last one was told."""

from __future__ import annotations

import heapq
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from diffexport.errors import UsageError
from diffexport.infer.evidence import REPAIR, SEARCH, Shape, shape_of
from diffexport.infer.search.candidates import Argument, Candidate, Space, arguments_of, describe
from diffexport.infer.search.error_messages import Advice, need_of, read
from diffexport.infer.search.inference_status import InferenceStatus
from diffexport.infer.search.probe import CallOutcome, Prober
from diffexport.infer.search.repairs import repaired

#: Most calls, most calls after one that ran with numbers that are not finite, and most changes in a row that messages
#: suggested.
_CALLS, _AFTERWARDS, _REPAIRS = 4000, 60, 8
#: How many calls may raise nothing new before the search is given up.
_PATIENCE = 600
#: The merit of a candidate that runs, gives finite numbers and does not give back its inputs.
_BEST = 2

#: What is announced when a candidate has been found and others are tried around it.
AROUND = "around what runs"
#: Called with each candidate before it is tried; the child process has this tell its parent.
_announce: Callable[[str], None] = lambda _: None  # noqa: E731


def announce_to(listener: Callable[[str], None]) -> None:
    """Have ``listener`` called with what is about to be tried, before it is."""
    global _announce
    _announce = listener


def announce(text: str) -> None:
    """Say what is about to be tried."""
    _announce(text)


@dataclass
class SearchResult:
    """What the search found: the candidate and what it gave (None: nothing ran), and what else was raised.

    ``foreign`` is the first call that ran without giving a tensor.
    """

    candidate: Candidate | None = None
    outcome: CallOutcome | None = None
    names: tuple[str, ...] = ()
    foreign: tuple[Candidate, CallOutcome, tuple[str, ...]] | None = None
    errors: Counter[str] = field(default_factory=Counter)
    needs: Counter[InferenceStatus] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)


def search(prober: Prober, spaces: Sequence[Space], skipped: frozenset[str] = frozenset()) -> SearchResult:
    """Look for a candidate that runs and gives finite numbers.

    Args:
        prober: calls the model.
        spaces: what may be tried, one for each number of arguments.
        skipped: texts of candidates that are known to end the process.
    """
    run = _Search(prober, spaces, skipped)
    run.go()
    return run.result


@dataclass(order=True)
class _QueuedCall:
    """What waits to be tried: a vector of indices into the options of a space, or a candidate that was suggested."""

    priority: float
    count: int
    number: int = field(compare=False)
    cost: float = field(compare=False)
    indices: tuple[int, ...] = field(default=(), compare=False)
    candidate: Candidate | None = field(default=None, compare=False)
    repairs: int = field(default=0, compare=False)
    put_off: bool = field(default=False, compare=False)


class _Search:
    def __init__(self, prober: Prober, spaces: Sequence[Space], skipped: frozenset[str]) -> None:
        self._prober, self._spaces, self._skipped = prober, spaces, skipped
        self.result = SearchResult()
        self._heap: list[_QueuedCall] = []
        self._count = itertools.count()
        self._seen: set[Any] = set()
        #: Errors met, numbers aside, and when the last new one was.
        self._kinds: set[str] = set()
        self._merit = -1
        #: Kinds of arguments of which a call has ended the process, and how often.
        self._deadly: Counter[Any] = Counter()
        self._news = 0
        self._options = [space.options() for space in spaces]

    def go(self) -> None:
        for number, options in enumerate(self._options):
            if all(options):
                self._push_indices(number, (0,) * len(options))
        allowed = _CALLS
        dearest = float("inf")
        while self._heap and not self._prober.over and self._prober.tried < allowed and not self._hopeless():
            entry = heapq.heappop(self._heap)
            candidate = entry.candidate or self._expand(entry.number, entry.indices)
            if candidate is None or self._put_off(entry, candidate) or not self._new(entry.number, candidate):
                continue
            outcome = self._probe(candidate)
            if outcome is None:
                continue
            if outcome.ran and outcome.tensors:
                if self.result.candidate is None:
                    allowed = min(allowed, self._prober.tried + _AFTERWARDS)
                    dearest = entry.cost + SEARCH.dearer
                self._take(entry.number, candidate, outcome)
                if self._merit == _BEST or entry.cost > dearest:
                    return
            elif outcome.ran:
                self._note_foreign(entry.number, candidate, outcome)
            elif outcome.error is not None:
                self._learn(entry, candidate, outcome)

    def _put_off(self, entry: _QueuedCall, candidate: Candidate) -> bool:
        """Return whether a candidate has to wait, or is left out, for being like one that ended the process."""
        likeness = tuple(argument.choice.kind for argument in candidate)
        if describe(candidate) in self._skipped:
            self._deadly[likeness] += 1
            return True
        if not self._deadly[likeness] or entry.put_off:
            return self._deadly[likeness] > 1
        waiting = replace(
            entry, priority=entry.priority + SEARCH.deadly, indices=(), candidate=candidate, put_off=True
        )
        heapq.heappush(self._heap, waiting)
        return True

    def _take(self, number: int, candidate: Candidate, outcome: CallOutcome) -> None:
        """Keep what ran if it is the first, or shows more of the model than what is kept."""
        finite = outcome.finite
        unchanged = finite and any(not a.choice.is_tensor for a in candidate) and outcome.gives_back
        merit = _BEST if finite and not unchanged else int(finite)
        if merit > self._merit:
            self._merit = merit
            self.result.candidate, self.result.outcome = candidate, outcome
            self.result.names = self._spaces[number].names

    def _hopeless(self) -> bool:
        """Return whether more of the same is not going to help.

        That is where most calls fail for lack of something, or nothing new has been raised for long.
        """
        tried, result = self._prober.tried, self.result
        if result.candidate is not None:
            return False
        if result.foreign is not None and tried > self._news + _PATIENCE // 4:
            return True
        return tried > self._news + _PATIENCE or (tried > 100 and sum(result.needs.values()) > 0.7 * tried)

    def _note_foreign(self, number: int, candidate: Candidate, outcome: CallOutcome) -> None:
        """Remember a call that ran and gave no tensor, in case no other does."""
        self.result.errors["it returns no tensor"] += 1
        if self.result.foreign is None:
            self.result.foreign = (candidate, outcome, self._spaces[number].names)

    def _push_indices(self, number: int, indices: tuple[int, ...]) -> None:
        options = self._options[number]
        if any(index >= len(ranked) for index, ranked in zip(indices, options, strict=True)):
            return
        if (number, indices) in self._seen:
            return
        self._seen.add((number, indices))
        cost = self._spaces[number].cost + sum(
            ranked[i][0] for i, ranked in zip(indices, options, strict=True)
        )
        heapq.heappush(self._heap, _QueuedCall(cost, next(self._count), number, cost, indices))

    def _expand(self, number: int, indices: tuple[int, ...]) -> Candidate | None:
        """Return the candidate of a vector of indices, whose neighbours are put onto the heap."""
        for place in range(len(indices)):
            self._push_indices(number, (*indices[:place], indices[place] + 1, *indices[place + 1 :]))
        chosen = [ranked[i] for i, ranked in zip(indices, self._options[number], strict=True)]
        first: Shape | None = None
        arguments = []
        for _, choice, kind in chosen:
            if not kind:
                arguments.append(Argument(choice))
                continue
            shape = shape_of(kind, first)
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

    def _probe(self, candidate: Candidate) -> CallOutcome | None:
        text = describe(candidate)
        try:
            arguments = arguments_of(candidate)
        except UsageError:
            return None
        announce(text)
        outcome = self._prober.call(arguments, copied=False)
        return replace(outcome, arguments=tuple(arguments)) if outcome.ran else outcome

    def _learn(self, entry: _QueuedCall, candidate: Candidate, outcome: CallOutcome) -> None:
        """Count an error, and put what it suggests onto the heap: the farther the forward got, the sooner."""
        error = outcome.error
        assert error is not None
        reason = outcome.reason
        kind = re.sub(r"[\d\[\](), x-]+", " ", reason)
        reward = SEARCH.progress * self._progress(error)
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._news = self._prober.tried
            reward += SEARCH.news
        self.result.errors[reason] += 1
        self.result.first.setdefault(reason, describe(candidate))
        need = need_of(error)
        if need:
            self.result.needs[need] += 1
        if entry.repairs >= _REPAIRS:
            return
        advice = read(error)
        for extra, changed in repaired(candidate, self._spaces[entry.number], advice):
            self._push(entry, entry.number, changed, extra, reward)
        self._named(entry, candidate, advice, reward)

    def _push(
        self, parent: _QueuedCall, number: int, candidate: Candidate, extra: float, reward: float
    ) -> None:
        cost = parent.cost + extra
        entry = _QueuedCall(cost - reward, next(self._count), number, cost, (), candidate, parent.repairs + 1)
        heapq.heappush(self._heap, entry)

    def _progress(self, error: BaseException) -> float:
        """Return how far through its source the forward got before it raised, from 0 to 1."""
        code = getattr(self._prober.subject.forward, "__code__", None)
        tree = self._prober.subject.tree
        length = (tree.end_lineno or 0) - tree.lineno if tree is not None else 0
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code is code and code is not None and length > 0:
                return min(max((trace.tb_lineno - code.co_firstlineno) / length, 0.0), 1.0)
            trace = trace.tb_next
        return 0.0

    def _named(self, entry: _QueuedCall, candidate: Candidate, advice: Advice, reward: float) -> None:
        """Try other values of the arguments that a message names, also of those that were left to their default."""
        for number, space in enumerate(self._spaces):
            extended = self._extended(candidate, number) if number != entry.number else candidate
            if extended is None:
                continue
            for place, name in enumerate(space.names):
                if len(name) < 3 or name not in advice.words:
                    continue
                if number != entry.number and place < len(candidate):
                    continue
                current = extended[place].choice
                for choice in space.choices[place][:8]:
                    if choice.is_tensor or choice.count or choice.text == current.text:
                        continue
                    changed = (*extended[:place], Argument(choice), *extended[place + 1 :])
                    dearer = max(choice.cost - current.cost, 0.0)
                    further = REPAIR.named_further * (number != entry.number)
                    instead = REPAIR.named_tensor * current.is_tensor
                    extra = REPAIR.named + REPAIR.named_share * dearer + further + instead
                    self._push(entry, number, changed, extra, reward)

    def _extended(self, candidate: Candidate, number: int) -> Candidate | None:
        """Return a candidate with as many arguments as another space has, the further ones of no tensors."""
        choices = self._spaces[number].choices
        if len(choices) <= len(candidate):
            return None
        further = [next((c for c in ranked if c.text), None) for ranked in choices[len(candidate) :]]
        return (*candidate, *(Argument(c) for c in further if c is not None)) if None not in further else None
