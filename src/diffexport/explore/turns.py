"""Turns: modes are explored a little at a time, in the order in which people use them, until a budget ends.

In the first turn of a mode, its *first look*, it is exported once and run on an ordinary input and a few telling ones.
When every mode has had that, come rounds: in each, every mode has a turn, and one whose last turn showed something new
has another. What is drawn in a turn follows from the seed, the mode and the number of its turn; time decides only where
it all stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from diffexport.explore.settings import Settings
from diffexport.findings.events import ModeFinished, RoundsDone, Row, RowVerdict
from diffexport.values import DEFAULT_OPSET, Mode

#: Examples of Hypothesis in the first turn after the first look, which double each turn; and samples in one of them, of
#: which there are four times as many each turn.
FIRST_EXAMPLES, FIRST_BLOCK = 3, 4
#: Most examples in one turn, and in how many turns they double.
MOST_EXAMPLES_OF_TURN, _DOUBLINGS = 64, 5
#: In this turn the first export of a mode is repeated, to see that it gives the same model.
_REPEATED_IN = 2
#: Why a mode has no verdict.
TIME_OVER = "not reached: the time was over"


@dataclass(frozen=True)
class Turn:
    """One turn of a mode.

    Attributes:
        number: 0 is the first look.
        rows: what was counted in the turns before it, by runtime.
        opening: every mode of the unit, in its first turn: those that the case excludes are said at once.
    """

    number: int
    rows: tuple[Row, ...] = ()
    opening: tuple[Mode, ...] = ()

    @property
    def examples(self) -> int:
        """Examples of Hypothesis in this turn."""
        return min(FIRST_EXAMPLES << min(max(self.number - 1, 0), _DOUBLINGS), MOST_EXAMPLES_OF_TURN)

    @property
    def block(self) -> int:
        """Most samples in one example."""
        return FIRST_BLOCK << 2 * min(max(self.number - 1, 0), _DOUBLINGS)

    @property
    def repeats_export(self) -> bool:
        """Whether the first export is made once more, to see that it gives the same model."""
        return self.number >= _REPEATED_IN

    @property
    def variety(self) -> int:
        """How many shapes to export at, and how many kinds of examples to export with, are drawn from."""
        return self.number if self.number < 4 else 1_000

    def within(self, settings: Settings) -> Settings:
        """Return the settings of this turn: its examples and samples, at most what is left of those of the mode."""
        left = max(settings.examples - examples_before(self.number), 1)
        if settings.budget is not None and settings.budget.goes_on:
            left = self.examples
        return replace(
            settings, examples=min(self.examples, left), block=min(self.block, settings.block), share=False
        )


def examples_before(number: int) -> int:
    """Return how many examples of Hypothesis the turns before one had."""
    return sum(Turn(earlier).examples for earlier in range(1, number))


def order_of_use(modes: Iterable[Mode]) -> list[Mode]:
    """Return modes in the order in which people use them: what is shipped most first, odd combinations last.

    That is by how many options are off their default, not counting dynamic axes, which most people want; of equals
    the exporter that torch uses by default comes first.
    """

    def key(mode: Mode) -> tuple[int, int, bool, int, str]:
        return odd_options(mode), _rank(mode), mode.dynamic, abs(mode.opset - DEFAULT_OPSET), str(mode)

    return sorted(modes, key=key)


def odd_options(mode: Mode) -> int:
    """Return how many options are off their default, not counting dynamic axes."""
    return len([option for option in mode.off_default if option != "dynamic"])


def _rank(mode: Mode) -> int:
    return _RANK.get(mode.exporter, mode.description.order)


#: ``torch.onnx.export`` uses torch.export without strict capture; TorchScript was its default for years.
_RANK = {"dynamo": 0, "torchscript": 1, "dynamo-strict": 2}


@dataclass
class TurnOrder:
    """Whose turn it is among the modes of one unit.

    Attributes:
        modes: in the order of use.
        settings: of the unit.
    """

    modes: Sequence[Mode]
    settings: Settings
    _turns: dict[str, int] = field(default_factory=dict)
    _rows: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    _seen: dict[str, frozenset[tuple[str, ...]]] = field(default_factory=dict)
    _left_out: set[str] = field(default_factory=set)
    _round: int = 0
    _place: int = 0
    _again: bool = False
    _opened: bool = False
    _is_finished: bool = False

    @classmethod
    def going_on(cls, modes: Sequence[Mode], settings: Settings, turns: Iterable[ModeFinished]) -> TurnOrder:
        """Return the order in which it goes on after some turns of these modes."""
        order, texts = cls(modes, settings), set(map(str, modes))
        for event in turns:
            if event.mode in texts:
                order.next()
                order.take(event)
        return order

    @property
    def rounds(self) -> int:
        """How many rounds are done to their end, after the first look."""
        return self._round if self._is_finished else max(self._round - 1, 0)

    @property
    def key(self) -> tuple[int, int, int]:
        """Sort key of what is next, among units: who is in an earlier round comes first, then the more usual mode."""
        following = self.next()
        if following is None:
            return (1 << 30, 0, 0)
        return self._round, odd_options(following[0]), _rank(following[0])

    def next(self) -> tuple[Mode, Turn] | None:
        """Return the mode whose turn it is, and the turn; None if all is done."""
        while True:
            while self._place < len(self.modes):
                mode = self.modes[self._place]
                if not self._is_done(str(mode)):
                    text = str(mode)
                    opening = () if self._opened else tuple(self.modes)
                    return mode, Turn(self._turns.get(text, 0), self._rows.get(text, ()), opening)
                self._place += 1
            budget = self.settings.budget
            if self._is_finished or all(self._is_done(str(mode)) for mode in self.modes):
                self._is_finished = True
                return None
            if budget is not None and budget.rounds is not None and self._round >= budget.rounds:
                self._is_finished = True
                return None
            self._round, self._place, self._again = self._round + 1, 0, False

    def _is_done(self, mode: str) -> bool:
        turns = self._turns.get(mode, 0)
        if mode in self._left_out:
            return True
        goes_on = self.settings.budget is not None and self.settings.budget.goes_on
        return turns > 1 and not goes_on and examples_before(turns) >= self.settings.examples

    def take(self, event: ModeFinished) -> None:
        """Note that a mode has had a turn."""
        self._opened = True
        self._rows[event.mode] = event.rows
        self._turns[event.mode] = event.turns or 0
        shown = frozenset(_shown(event.rows))
        is_new = bool(shown - self._seen.get(event.mode, frozenset()))
        self._seen[event.mode] = shown | self._seen.get(event.mode, frozenset())
        if self._place < len(self.modes) and str(self.modes[self._place]) == event.mode:
            # One that showed something new has another turn, but not a third.
            self._again = is_new and not self._again and self._round > 0
            if not self._again:
                self._place += 1

    def rows_of(self, mode: str) -> tuple[Row, ...]:
        """Return what was counted in the turns of a mode so far."""
        return self._rows.get(mode, ())

    def leave_out(self, mode: str) -> None:
        """Give a mode no turn any more."""
        self._opened = True
        self._left_out.add(mode)

    def unreached(self, case: str, runtimes: Sequence[str]) -> list[ModeFinished]:
        """Return, for the modes that had no turn, that they were not reached."""
        return [
            ModeFinished(
                case,
                str(mode),
                tuple(Row(name, RowVerdict.UNREACHED, reason=TIME_OVER) for name in runtimes),
                turns=0,
            )
            for mode in self.modes
            if str(mode) not in self._rows and str(mode) not in self._left_out
        ]


def _shown(rows: Iterable[Row]) -> Iterable[tuple[str, ...]]:
    """Yield what rows say of a mode, save how often."""
    for row in rows:
        yield row.runtime, str(row.verdict), row.stage, row.kind
        for name in (*row.known, *row.notes):
            yield row.runtime, name


def rounds_done(orders: Iterable[TurnOrder]) -> Iterator[RoundsDone]:
    """Yield how many rounds every one of some units has done; those that are finished hold nobody back."""
    every = list(orders)
    if every:
        unfinished = [order.rounds for order in every if order.next() is not None]
        yield RoundsDone(min(unfinished) if unfinished else max(order.rounds for order in every))
