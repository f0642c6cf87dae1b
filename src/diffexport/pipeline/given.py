"""The road with the export left out: whatever the case and mode, the model is the one that is given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from diffexport.arrays import tensors_of
from diffexport.backends import exporters, runtimes
from diffexport.backends.graphs import Graph, inspect_graph, opset_of
from diffexport.backends.model_files import Artefact
from diffexport.pipeline.eager import Prepared
from diffexport.pipeline.export import Exported
from diffexport.pipeline.pipeline import Road
from diffexport.subjects.cases import Case, Expectation
from diffexport.values import Call, Inputs, Mode


class ArtefactRoad(Road):
    """Walks the road with a given model in place of each export; eager, runs and comparison are the ordinary ones.

    Args:
        artefact: the model.
        beside: another road, whose modules are used so that they are built once.
    """

    given = True

    def __init__(self, artefact: Artefact, *, beside: Road | None = None) -> None:
        super().__init__(exports=1, sessions=16)
        self._artefact = artefact
        #: How many blocks were checked: one for each Hypothesis example.
        self.blocks = 0
        if beside is not None:
            self._prepared = beside._prepared
        opset = opset_of(artefact.model)
        inspected = inspect_graph(artefact.model, opset)
        ordered = tuple(inspected.outputs[number] for number in artefact.outputs)
        self._exported = Exported(
            Expectation(rule="the file is as given"),
            hashlib.sha256(artefact.model).digest(),
            exporters.Export(artefact.model),
            replace(inspected, outputs=ordered),
            inspected.divergences,
        )

    @property
    def graph(self) -> Graph:
        """What was looked up in the model."""
        assert self._exported.graph is not None
        return self._exported.graph

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:  # noqa: ARG002
        """Return what is given."""
        return self._exported

    def prepare(self, case: Case) -> Prepared:
        """Build the case's module once; for evaluation, if the artefact is to be compared so."""
        prepared = super().prepare(case)
        if self._artefact.evaluate:
            prepared.training = False
        return prepared

    def feeder(self, case: Case, example: Call) -> _Feeder:  # noqa: ARG002
        """Return what feeds the inputs of the artefact."""
        return _Feeder(self._artefact.inputs)

    def known_as(self, mode: Mode) -> tuple[Mode, ...]:
        """Return every mode that the artefact may have been exported in."""
        return (mode, *self._artefact.others)

    def block(self, *arguments: Any, **options: Any) -> Any:
        """Count, and check as ever."""
        self.blocks += 1
        return super().block(*arguments, **options)

    def session(self, exported: Exported, runtime: str) -> runtimes.Session | runtimes.LoadError:
        """Load the model; a session gives its outputs in the order they are compared in."""
        session = super().session(exported, runtime)
        if isinstance(session, runtimes.LoadError) or self._artefact.outputs == tuple(
            range(len(session.outputs))
        ):
            return session
        return _Ordered(session, self._artefact.outputs)


class _Feeder:
    """Feeds the tensors of a call, in the order they are flattened in, to graph inputs of any names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.flat = tuple(names)

    def feeds(self, inputs: Call) -> dict[str, Any]:
        return dict(zip(self.flat, tensors_of(inputs), strict=False))


class _Ordered:
    """A session whose outputs come in another order, or not all of them."""

    def __init__(self, session: runtimes.Session, order: Sequence[int]) -> None:
        self._session, self._order = session, tuple(order)
        self.inputs = session.inputs
        self.outputs = tuple(session.outputs[number] for number in order)

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        outputs = self._session.run(feeds)
        return [outputs[number] for number in self._order]
