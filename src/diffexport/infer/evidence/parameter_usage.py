"""What is known of one parameter from what source does with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffexport.infer.evidence.kinds import ArgumentKind
from diffexport.infer.evidence.weights import Use


@dataclass
class Usage:
    """Evidence of one parameter.

    Attributes:
        weight: for each kind.
        ranks: dimensions that it has been seen to need exactly.
        least: the least number of dimensions.
        values: constants that it is compared with.
        dtypes: of a tensor, as far as seen; ``subscript`` where something is subscripted with it.
        counts: how many items it has, as far as seen.
        is_length: whether it counts what is valid of sequences.
        members: attributes that are read of it and that tensors do not have.
        optional: whether it is compared with None.
        classes: others than these that it is checked to be an instance of.
        keys: texts that it is subscripted with, as a dict is.
        containers: texts of what it may be in view of the methods that are called on it.
    """

    weight: dict[ArgumentKind, float] = field(default_factory=lambda: defaultdict(float))
    ranks: set[int] = field(default_factory=set)
    least: int = 0
    values: list[Any] = field(default_factory=list)
    dtypes: set[str] = field(default_factory=set)
    counts: set[int] = field(default_factory=set)
    is_length: bool = False
    members: set[str] = field(default_factory=set)
    optional: bool = False
    classes: list[type] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    containers: set[str] = field(default_factory=set)

    def add(self, use: Use) -> None:
        """Count one use of the parameter."""
        self.count(use.weights)

    def count(self, weights: Mapping[ArgumentKind, float]) -> None:
        """Add weights."""
        for kind, weight in weights.items():
            self.weight[kind] += weight

    def merge(self, other: Usage, share: float) -> None:
        """Add what a function that it is passed on to does with it."""
        for kind, weight in other.weight.items():
            self.weight[kind] += share * weight
        self.ranks |= other.ranks
        self.least = max(self.least, other.least)
        self.values += other.values
        self.dtypes |= other.dtypes
        self.counts |= other.counts
        self.is_length = self.is_length or other.is_length
        self.members |= other.members
        self.classes += other.classes
        self.keys += other.keys
        self.containers |= other.containers
        self.optional = self.optional or other.optional
