"""A model that exists already takes the place of every export."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from diffexport.arrays import tensors_of
from diffexport.backends import exporters
from diffexport.backends.graphs import inspect_graph, opset_of
from diffexport.backends.model_files import Artefact
from diffexport.pipeline.exports import Exported
from diffexport.subjects.cases import Case, Expectation
from diffexport.values import Call, Inputs, Mode


class GivenExport:
    """Gives the same model whatever the case and mode.

    Args:
        artefact: the model.
    """

    same_in_every_mode = True

    def __init__(self, artefact: Artefact) -> None:
        self._artefact = artefact
        graph = inspect_graph(artefact.model, opset_of(artefact.model))
        ordered = tuple(graph.outputs[number] for number in artefact.outputs)
        self._exported = Exported(
            Expectation(rule="the file is as given"),
            hashlib.sha256(artefact.model).digest(),
            exporters.Export(artefact.model),
            replace(graph, outputs=ordered),
            graph.divergences,
        )

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:  # noqa: ARG002
        """Return what is given."""
        return self._exported

    def feeder(self, case: Case, example: Call) -> TensorFeeder:  # noqa: ARG002
        """Return what feeds the inputs of the artefact."""
        return TensorFeeder(self._artefact.inputs)

    def known_modes(self, mode: Mode) -> tuple[Mode, ...]:
        """Return every mode that the artefact may have been exported in."""
        return (mode, *self._artefact.others)


class TensorFeeder:
    """Feeds the tensors of a call, in the order they are flattened in, to graph inputs of any names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.flat = tuple(names)

    def feeds(self, inputs: Call) -> dict[str, Any]:
        """Return the tensors of a call by the names of the inputs that they go to."""
        return dict(zip(self.flat, tensors_of(inputs), strict=False))
