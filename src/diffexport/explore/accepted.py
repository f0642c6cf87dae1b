"""What is known of a case and accepted."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from diffexport.arrays import arrays_of, trait_holds
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import Case, Expected, Known
from diffexport.values import Divergence, FailureKey, Inputs, Kind, Mode


class Accepted:
    """The known divergences of a case, asked about one divergence at a time.

    Args:
        case: the model under test; its own entries come first.
        known: entries besides those of the case.
        pipeline: knows which modes share what is known.
    """

    def __init__(self, case: Case, known: Iterable[Known], pipeline: Pipeline) -> None:
        self._case, self._pipeline = case, pipeline
        self._entries = (*case.known, *known)
        self._crashes = [entry for entry in self._entries if entry.kind is Kind.CRASH]
        self._speaking = functools.lru_cache(maxsize=256)(self._entries_on)

    def entry(
        self, mode: Mode, runtime: str, divergence: Divergence, inputs: Inputs, export_inputs: Inputs
    ) -> Known | None:
        """Return the entry that accepts a divergence."""
        entries = self._speaking(mode, runtime, divergence.key)
        entries = [entry for entry in entries if entry.admits(divergence.excess)]
        if not any(entry.traits for entry in entries):
            return next(iter(entries), None)
        given = arrays_of(inputs), arrays_of(export_inputs)
        return next(
            (entry for entry in entries if all(trait_holds(trait, *given) for trait in entry.traits)), None
        )

    def _entries_on(self, mode: Mode, runtime: str, key: FailureKey) -> list[Known]:
        """Return the entries that speak of such a divergence, whatever its size and its inputs."""
        return [
            entry
            for candidate in self._pipeline.known_modes(mode)
            for entry in self._entries
            if entry.speaks_of(self._case.name, candidate, runtime, key)
        ]

    def known_crashes(self, mode: Mode, runtimes: Sequence[str]) -> list[Known]:
        """Return the known crashes that some inputs would meet in a mode on one of the runtimes."""
        concerned = [
            entry
            for entry in self._crashes
            if any(entry.concerns(self._case.name, mode, runtime) for runtime in runtimes)
        ]
        if not concerned:
            return []
        expected = self._case.expect(mode, self._case.traits or frozenset()).expected
        return concerned if expected in (Expected.AGREES, Expected.MAY_REFUSE) else []

    @staticmethod
    def crash_on(crashes: Sequence[Known], inputs: Inputs, export_inputs: Inputs) -> Known | None:
        """Return which of the known crashes these inputs would meet."""
        if not crashes:
            return None
        given = arrays_of(inputs), arrays_of(export_inputs)
        return next(
            (entry for entry in crashes if all(trait_holds(trait, *given) for trait in entry.traits)), None
        )
