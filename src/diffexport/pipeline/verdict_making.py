"""From what the stages of the pipeline say of a sample to verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from diffexport import oracle
from diffexport.arrays import Array
from diffexport.pipeline.eager import EagerResult
from diffexport.pipeline.exports import Exported
from diffexport.subjects.cases import Case
from diffexport.values import Divergence, Kind, Mode, Outcome, Severity, Stage, Verdict

#: What there is to say of outputs that agree at first sight.
NOTHING_DIFFERS = oracle.ComparisonResult([])


class VerdictMaker:
    """Makes the verdicts on one case in one mode.

    Args:
        case, mode: what is judged.
        strict: let what is a note otherwise, such as the sign of zero, fail.
    """

    def __init__(self, case: Case, mode: Mode, *, strict: bool) -> None:
        self._case, self._mode, self._strict = case, str(mode), strict
        self._agreeing: dict[str, tuple[Exported, dict[str, Any]]] = {}

    def rejected(
        self, runtime: str, reason: str, *, on_example: bool = False, out_of_memory: bool = False
    ) -> Verdict:
        """Return the verdict on inputs that eager rejects, or rejects those to export with."""
        case = self._case
        return Verdict(
            case.name,
            self._mode,
            runtime,
            Outcome.REJECTED,
            reason=reason,
            target=case.target,
            on_example=on_example,
            out_of_memory=out_of_memory,
        )

    def fatal(self, runtime: str, divergence: Divergence) -> Verdict:
        """Return the verdict on inputs that are known to end the process, or not to end."""
        if divergence.kind is Kind.OUT_OF_MEMORY:
            return self.rejected(runtime, divergence.message, out_of_memory=True)
        case = self._case
        return Verdict(case.name, self._mode, runtime, Outcome.DIVERGES, (divergence,), target=case.target)

    def agreeing(
        self, runtime: str, exported: Exported, eager: EagerResult, got: tuple[Array, ...]
    ) -> Verdict:
        """Return the verdict that is nearly always given; all its fields but the outputs are made once."""
        made_for, fields = self._agreeing.get(runtime, (None, {}))
        if made_for is not exported:
            plain = Verdict(
                self._case.name,
                self._mode,
                runtime,
                Outcome.AGREES,
                chatter=exported.export.chatter,
                target=self._case.target,
            )
            fields = vars(plain)
            self._agreeing[runtime] = exported, fields
        verdict = object.__new__(Verdict)
        vars(verdict).update(fields, eager=eager.outputs, got=got)
        return verdict

    def verdict(
        self,
        runtime: str,
        exported: Exported,
        eager: EagerResult,
        divergences: Sequence[Divergence],
        *,
        got: tuple[Array, ...] = (),
        refused: str = "",
        judgement: oracle.ComparisonResult = NOTHING_DIFFERS,
    ) -> Verdict:
        """Return the verdict on one sample.

        Args:
            runtime: its name.
            exported: the export; what its checks say counts for every sample.
            eager: eager's outputs.
            divergences: what loading, running and comparing say.
            got: the runtime's outputs.
            refused: with which text the model is refused as expected; empty if it is not.
            judgement: what arbitration says.
        """
        if not (divergences or refused or exported.divergences or judgement is not NOTHING_DIFFERS):
            return self.agreeing(runtime, exported, eager, got)
        for divergence in divergences:
            if divergence.kind is Kind.OUT_OF_MEMORY:
                return self.rejected(runtime, divergence.message, out_of_memory=True)
        divergences = [_with_name(divergence, eager) for divergence in divergences]
        everything = (*exported.divergences, *divergences)
        failing = tuple(d for d in everything if self._strict or d.severity is Severity.FAILURE)
        notes = tuple(d for d in everything if not self._strict and d.severity is Severity.NOTE)
        outcome = Outcome.REFUSED if refused else Outcome.AGREES
        return Verdict(
            self._case.name,
            self._mode,
            runtime,
            Outcome.DIVERGES if failing else outcome,
            failing,
            notes,
            refused,
            eager.outputs,
            got,
            exported.export.chatter,
            self._case.target,
            judgement.arbitrated,
            judgement.excused,
            judgement.unrefereed,
            judgement.tolerated,
        )


def _with_name(divergence: Divergence, eager: EagerResult) -> Divergence:
    """Return a divergence whose message says where its output stands in what the model returns, if that is nested."""
    place = divergence.place
    if place.number is None or place.number >= len(eager.names):
        return divergence
    named = f"{place} ({eager.names[place.number]})"
    if named in divergence.message:
        return divergence
    return replace(divergence, message=divergence.message.replace(place.text, named, 1))


def outputs_left_out(eager: EagerResult) -> list[Divergence]:
    """Return what is wrong with an exported model where eager returns what no ONNX model can."""
    return [
        Divergence(
            Stage.COMPARE,
            Kind.STRUCTURE,
            what.place,
            what.signature,
            f"in eager, {what}, which no ONNX model returns; the export drops it in silence",
        )
        for what in eager.foreign
    ]
