"""Where an exported graph does not keep the terms of its case: names, and which inputs are left."""

from __future__ import annotations

from collections.abc import Iterator

from diffexport.backends.graphs import Graph
from diffexport.values import Aspect, Divergence, Kind, Mode, Place, Stage, Terms


def broken_terms(terms: Terms, mode: Mode, graph: Graph) -> Iterator[Divergence]:
    """Yield a divergence for each of the terms that a graph does not keep."""
    inputs = [declared.name for declared in graph.inputs]
    outputs = [declared.name for declared in graph.outputs]
    asked = list(terms.input_names)
    # What is not used may be dropped; what is left has its name, and its place among the others.
    if asked and [name for name in asked if name in inputs] != inputs[: len(set(asked) & set(inputs))]:
        yield _broken(
            Aspect.INPUT_NAMES, f"input_names asks for {_listed(asked)}, the graph has {_listed(inputs)}"
        )
    wanted = list(terms.output_names)
    if wanted and outputs[: len(wanted)] != wanted:
        yield _broken(
            Aspect.OUTPUT_NAMES, f"output_names asks for {_listed(wanted)}, the graph has {_listed(outputs)}"
        )
    if terms.remaining_inputs is not None and mode.description.drops_inputs:
        left = [terms.input_name(number) for number in terms.remaining_inputs]
        if sorted(left) != sorted(name for name in inputs if not name.startswith(("constant", "default"))):
            yield _broken(
                Aspect.REMAINING_INPUTS,
                f"{_listed(left)} should remain inputs, the graph has {_listed(inputs)}",
            )


def _broken(aspect: Aspect, message: str) -> Divergence:
    return Divergence(Stage.CONVERT, Kind.GRAPH_CONTRACT, Place.GRAPH, aspect, message)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
