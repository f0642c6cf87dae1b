"""Where a failure shows, and the failure as it showed there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffexport.values import Divergence, Mode, Verdict


@dataclass(frozen=True, eq=False)
class Point:
    """A place where the failure shows; inputs as in [Trial][diffexport.strategies.Trial]."""

    mode: Mode
    runtime: str
    inputs: Any
    export_inputs: Any


@dataclass(frozen=True, eq=False)
class SeenFailure:
    """The failure as it showed at a point; ``remarks`` say what a person should know of how it was made simpler."""

    point: Point
    verdict: Verdict
    divergence: Divergence
    remarks: tuple[str, ...] = ()
