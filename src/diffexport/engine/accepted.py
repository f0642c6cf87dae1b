"""What is known of a case and accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from diffexport import known as known_divergences
from diffexport import traits
from diffexport.call import Inputs
from diffexport.case import Case
from diffexport.expectation import Expected
from diffexport.inputs import arrays_of
from diffexport.known import Known
from diffexport.mode import Mode
from diffexport.road import Road
from diffexport.verdict import Divergence, Kind


class Accepted:
    """The known divergences of a case, asked about one divergence at a time.

    Args:
        case: the model under test; its own entries come first.
        known: entries besides those of the case.
        road: knows which modes share what is known.
    """

    def __init__(self, case: Case, known: Iterable[Known], road: Road) -> None:
        self._case, self._road = case, road
        self._entries = (*case.known, *known)
        self._killers = [entry for entry in self._entries if entry.kind is Kind.CRASH]

    def entry(
        self, mode: Mode, runtime: str, divergence: Divergence, inputs: Inputs, export_inputs: Inputs
    ) -> Known | None:
        """Return the entry that accepts a divergence."""
        entries = (
            known_divergences.find(
                self._entries,
                self._case.name,
                candidate,
                runtime,
                divergence,
                lambda trait: traits.holds(trait, arrays_of(inputs), arrays_of(export_inputs)),
            )
            for candidate in self._road.known_as(mode)
        )
        return next((entry for entry in entries if entry is not None), None)

    def killer(
        self, mode: Mode, runtimes: Sequence[str], inputs: Inputs, export_inputs: Inputs
    ) -> Known | None:
        """Return the known crash that these inputs would meet on one of the runtimes."""
        for entry in self._killers:
            if not any(entry.concerns(self._case.name, mode, runtime) for runtime in runtimes):
                continue
            expected = self._case.expect(mode, self._case.traits or frozenset()).expected
            if expected not in (Expected.AGREES, Expected.MAY_REFUSE):
                return None
            arrays, exported = arrays_of(inputs), arrays_of(export_inputs)
            if all(traits.holds(trait, arrays, exported) for trait in entry.traits):
                return entry
        return None
