"""Where exported models come from: what the pipeline asks for, and what it is given."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from diffexport.arrays import Feeder, Feeds, as_call, clone, digest
from diffexport.backends import exporters
from diffexport.backends.graphs import Graph, inspect_graph
from diffexport.errors import UsageError
from diffexport.pipeline.bounded_cache import BoundedCache
from diffexport.pipeline.eager_models import EagerModels, case_key
from diffexport.pipeline.export_checks import CHECKS, ExportFacts, refusal
from diffexport.pipeline.memory_errors import ran_out_of_memory
from diffexport.processes import STEPS
from diffexport.pytorch import StoredModel
from diffexport.subjects.cases import SCRIPTED, Case, Expectation, Expected, dynamic_axes
from diffexport.values import Call, Divergence, Inputs, Mode

#: Most later opsets that are tried where an exporter says that this one is not supported.
_MOST_LATER = 2
#: Bytes that all models may have that are remembered.
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Exported:
    """One export with everything that can be said about it before running it.

    Attributes:
        expectation: what should have happened.
        digest: of the model and its files; empty where there is no model.
        export: what the exporter gave.
        graph: what was looked up in the model; None where there is none.
        divergences: what the checks of the export say.
        refused: how it is refused as expected: by the exporter, or by onnx.checker if there is a model.
        rejected: eager's error on the example inputs where the export failed on them, too.
        out_of_memory: memory ran out in the export, or in eager; ``rejected`` says so.
    """

    expectation: Expectation
    digest: bytes
    export: exporters.Export
    graph: Graph | None
    divergences: tuple[Divergence, ...]
    refused: str = ""
    rejected: str = ""
    out_of_memory: bool = False


def later_opsets(message: str, mode: Mode) -> list[int]:
    """Return the opsets above that of a mode which the message of a failed export names, lowest first."""
    if "opset" not in message.lower():
        return []
    named = {int(number) for number in re.findall(r"\b(?:opset|version|range:) (\d{1,3})\b", message)}
    return sorted(opset for opset in named if opset > mode.opset and opset in mode.description.opsets)


class Exports(Protocol):
    """Gives the exported model of a case in a mode."""

    #: Whether it is the same model in every mode.
    same_in_every_mode: bool

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:
        """Return the model that is compared with eager; ``inputs`` are those to export with."""

    def feeder(self, case: Case, example: Call) -> Feeds:
        """Return what feeds the inputs of a model that was exported on ``example``."""

    def known_modes(self, mode: Mode) -> tuple[Mode, ...]:
        """Return the modes whose known divergences apply to what is exported in ``mode``."""


class FreshExports:
    """Exports the eager model, and remembers what came of it.

    Args:
        eager: the eager models.
        remembered: how many exports to remember.
        graphs: how many of their graphs to remember.
        repeats_in: in which modes the first export is made twice, where that is asked for; in all by default.
    """

    same_in_every_mode = False

    def __init__(
        self,
        eager: EagerModels,
        *,
        remembered: int,
        graphs: int,
        repeats_in: Callable[[Mode], bool] = lambda _: True,
    ) -> None:
        self._eager, self._repeats_in = eager, repeats_in
        self._exports: BoundedCache[Exported] = BoundedCache(
            remembered, most_bytes=_MOST_BYTES, bytes_of=lambda exported: exported.export.size
        )
        self._repeated: BoundedCache[bool] = BoundedCache(4 * remembered)
        self._graphs: BoundedCache[Graph] = BoundedCache(graphs)

    def __len__(self) -> int:
        return len(self._exports)

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:
        """Export (memoised), and check the export on its own.

        The first export in each mode is made twice, to see that it repeats identically; not so without ``repeat``.

        Raises:
            UsageError: the case's model is to be scripted, and the mode's exporter takes no such model.
        """
        if case.terms.script and not mode.description.takes_scripted:
            raise UsageError(f"case {case.name!r} in mode {mode}: {SCRIPTED.reason}")
        repeat = repeat and self._repeats_in(mode)
        call = as_call(inputs)
        key = (case_key(case), mode, digest(call))
        once = (*key, "once")
        if not repeat and key not in self._exports:
            return self._exports.get(once, lambda: self._export(case, mode, call, False))
        if once not in self._exports or key in self._exports:
            return self._exports.get(key, lambda: self._export(case, mode, call, True))
        # It was exported without being repeated, and verdicts rest on that.
        first = self._exports.get(once, lambda: self._export(case, mode, call, False))
        return self._exports.get(key, lambda: self._compared_with_another(first, case, mode, call))

    def feeder(self, case: Case, example: Call) -> Feeds:
        """Return what feeds a model that was exported on ``example``."""
        return Feeder(self._eager.prepare(case).module, example, case.terms)

    def known_modes(self, mode: Mode) -> tuple[Mode, ...]:
        """Return the mode alone: it is known how the model was exported."""
        return (mode,)

    def _export(self, case: Case, mode: Mode, call: Call, repeat: bool) -> Exported:
        """Export, look at the graph, and go through the checks."""
        STEPS.begin("export")
        expectation = case.expect(mode, self._eager.traits(case, call))
        export = self._exported(case, mode, call, repeat=repeat and self._is_first(case, mode))
        model_digest, graph = self._graph(export, mode)
        random = self._eager.is_random(case, mode)
        facts = ExportFacts(case, mode, expectation, export, graph, random=random)
        # Eager may fail on these inputs as the export does. What may refuse anything says nothing of why.
        certain = facts.refused_as_expected and expectation.expected is Expected.REFUSES
        if export.failure is not None and ran_out_of_memory(
            f"{export.failure.error}: {export.failure.message}"
        ):
            text = f"memory ran out during the export: {export.failure.message}"
            return Exported(expectation, b"", export, None, (), rejected=text, out_of_memory=True)
        if export.failure is not None and not certain:
            eager = self._eager.run(case, mode, clone(call))
            if eager.error:
                return Exported(
                    expectation,
                    b"",
                    export,
                    None,
                    (),
                    rejected=eager.error,
                    out_of_memory=eager.out_of_memory,
                )
            later = self._is_supported_later(export.failure.message, expectation, case, mode, call)
            facts = ExportFacts(case, mode, expectation, export, graph, eager, random, later)
        divergences = tuple(divergence for check in CHECKS for divergence in check(facts))
        return Exported(expectation, model_digest, export, graph, divergences, refusal(facts))

    def _is_supported_later(
        self, message: str, expectation: Expectation, case: Case, mode: Mode, call: Call
    ) -> bool:
        """Return whether an export that fails says that it would not from a later opset on, and does not fail there."""
        may_refuse = expectation.expected in (Expected.AGREES, Expected.MAY_REFUSE)
        if not may_refuse or expectation.refuses_with(message):
            return False
        for opset in later_opsets(message, mode)[:_MOST_LATER]:
            later_mode = replace(mode, opset=opset)
            later = self.export(case, later_mode, call, repeat=False)
            if later.rejected:
                continue
            failure = later.export.failure
            # Another operator may be supported from a still later opset on.
            if failure is None or self._is_supported_later(
                failure.message, later.expectation, case, later_mode, call
            ):
                return True
        return False

    def _compared_with_another(self, first: Exported, case: Case, mode: Mode, call: Call) -> Exported:
        """Export once more where that is to be seen for a mode, and say how it differs from the first."""
        if first.export.model is None or not self._is_first(case, mode):
            return first
        again = self._exported(case, mode, call, repeat=False)
        difference = exporters.difference(first.export, again)
        if not difference:
            return first
        export = replace(first.export, repeat=difference)
        random = self._eager.is_random(case, mode)
        facts = ExportFacts(case, mode, first.expectation, export, first.graph, random=random)
        divergences = tuple(divergence for check in CHECKS for divergence in check(facts))
        return replace(first, export=export, divergences=divergences)

    def _exported(self, case: Case, mode: Mode, call: Call, *, repeat: bool) -> exporters.Export:
        """Export a copy of the model."""
        module = self._eager.fresh(case, mode)
        # A second export of the same module would begin with what the first has changed in it by running it.
        repeat = repeat and not self._eager.changes_itself(case, mode)
        STEPS.begin("export")
        export = exporters.export(
            module,
            clone(call),
            mode,
            dynamic=dynamic_axes(case, call),
            repeat=repeat,
            terms=case.terms,
            around=case.around,
            custom_opsets=case.custom_opsets,
        )
        self._eager.watch_weights(case, "exporting it", whole=True)
        return export

    def _graph(self, export: exporters.Export, mode: Mode) -> tuple[bytes, Graph | None]:
        """Return the digest of an exported model with its files, and its graph."""
        model = export.model
        if model is None:
            return b"", None
        parts = (
            [model.digest] if isinstance(model, StoredModel) else [model, *(data for _, data in export.files)]
        )
        model_digest = hashlib.sha256(b"".join(parts)).digest()
        return model_digest, self._graphs.get(
            (model_digest, mode.opset), lambda: inspect_graph(model, mode.opset)
        )

    def _is_first(self, case: Case, mode: Mode) -> bool:
        """Return whether the case was not exported in the mode before; from now on it was."""
        key = (case_key(case), mode)
        first = key not in self._repeated
        self._repeated.get(key, lambda: True)
        return first
