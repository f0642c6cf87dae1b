"""A case from its entry in the index and its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from diffexport.subjects.cases import Around, Assertion, Case, Rule, make_case
from diffexport.subjects.catalogue.entries import ENTRIES


def declare(
    name: str,
    build: Callable[[], torch.nn.Module],
    *,
    traits: Sequence[str] | None = None,
    nodes: Sequence[str] = (),
    rules: Sequence[Rule] = (),
    assertions: Sequence[Assertion] = (),
    around: Around | None = None,
    custom_opsets: Mapping[str, int] | None = None,
) -> Case:
    """Return the case of an entry.

    Args:
        name: of the entry.
        build: makes the model.
        traits: those of the model; None: found by tracing it.
        nodes: node kinds that the graph has wherever the TorchScript exporter is to agree.
        rules, assertions, around, custom_opsets: see [Case][diffexport.Case].
    """
    entry = ENTRIES[name]
    contract: dict[str, Sequence[Any]] = {"torchscript": nodes} if nodes else {}
    return make_case(
        name,
        build,
        inputs=entry.inputs,
        traits=traits,
        contract=contract,
        rules=rules,
        assertions=assertions,
        around=around,
        custom_opsets=custom_opsets,
        summary=entry.summary,
        origin=entry.origin,
        # What exporters do with these is known, and part of what the catalogue is about.
        empty_examples=True,
    )
