"""One run of Hypothesis over one mode: examples are drawn and checked, what fails is shrunk."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import hypothesis.errors
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from diffexport.errors import UntestableError, error_text
from diffexport.explore.divergence_errors import Diverged, failures_in
from diffexport.explore.seeded import steady_draws
from diffexport.strategies import Trial
from diffexport.values import Identity

#: Most trials of large tensors that Hypothesis tries after the first failure: each costs seconds, and what they hold is
#: made simpler in fewer steps afterwards.
LARGE_TRIALS = 40


@dataclass
class HypothesisRound:
    """Runs Hypothesis once.

    A divergence is raised inside as an exception whose *type* is its identity, which is how Hypothesis tells
    failures apart: each is shrunk without hiding another.

    Attributes:
        case: the name of the case.
        trials: what is drawn.
        examples: how many.
        seed: the same seed draws the same.
        shrink: shrink what fails.
        check: checks one trial, yielding its failures; told whether what it sees counts.
        suspect: told each failure when it shows for the first time in this round, before anything else is checked.
    """

    case: str
    trials: st.SearchStrategy[Trial]
    examples: int
    seed: int
    shrink: bool
    check: Callable[[Trial, bool], Iterator[Diverged]]
    suspect: Callable[[Diverged], None]
    _suspected: set[Identity] = field(default_factory=set, repr=False)
    _is_checking: bool = field(default=False, repr=False)
    #: What is seen counts up to the first failure: from there on Hypothesis shrinks.
    _counting: bool = field(default=True, repr=False)
    _large_left: int = field(default=LARGE_TRIALS, repr=False)
    _failed_large: set[Hashable] = field(default_factory=set, repr=False)

    def failures(self) -> list[tuple[Diverged, bool]]:
        """Run; return each failure as small as Hypothesis made it, and whether it did not show again.

        Raises:
            UntestableError: the strategy yields nothing, or raises.
        """
        run = self._configured()(hypothesis.seed(self.seed)(hypothesis.given(self.trials)(self._test)))
        try:
            with steady_draws():
                run()
        except Diverged as failure:
            return [(failure, False)]
        except hypothesis.errors.Flaky as error:
            return [(failure, True) for failure in failures_in(error)]
        except BaseExceptionGroup as group:
            failures = list(failures_in(group))
            if not failures:
                raise
            return [(failure, False) for failure in failures]
        except hypothesis.errors.Unsatisfiable:
            raise UntestableError(
                f"case {self.case!r}: its strategy yields no input; check its filters and assumptions"
            ) from None
        except Exception as error:
            if self._is_checking:
                raise
            raise UntestableError(
                f"case {self.case!r}: its strategy raises {type(error).__name__}: {error_text(error)}"
            ) from error
        return []

    def _configured(self) -> Any:
        return hypothesis.settings(
            max_examples=self.examples,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate, Phase.shrink] if self.shrink else [Phase.generate],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=True,
            print_blob=False,
            verbosity=hypothesis.Verbosity.quiet,
        )

    def _test(self, trial: Trial) -> None:
        if self._is_spared(trial):
            return
        self._is_checking = True
        for failure in self.check(trial, self._counting):
            if failure.identity not in self._suspected:
                self._suspected.add(failure.identity)
                self.suspect(failure)
            self._is_checking = self._counting = False
            if trial.large is not None:
                self._failed_large.add(trial.large)
            raise failure
        self._is_checking = False

    def _is_spared(self, trial: Trial) -> bool:
        """Whether a trial of large tensors is left out while Hypothesis shrinks; never one that has failed."""
        if trial.large is None or not self._suspected or trial.large in self._failed_large:
            return False
        self._large_left -= 1
        return self._large_left < 0
