"""Which exporters there are, by the name that a mode begins with."""

from __future__ import annotations

from diffexport.backends.exporters.exporter_protocol import Exporter
from diffexport.errors import PlugInError
from diffexport.values import EXPORTER_REGISTRY, Mode, exporter_names, in_order


def exporter_of(mode: Mode) -> Exporter:
    """Return the exporter of a mode."""
    exporter: Exporter = EXPORTER_REGISTRY.get(mode.exporter)
    return exporter


def every_exporter() -> list[tuple[str, Exporter | PlugInError]]:
    """Return each exporter that is registered, simplest first, with what is wrong with it where it is of no use."""
    every: list[tuple[str, Exporter | PlugInError]] = list(EXPORTER_REGISTRY.every())
    places = {name: place for place, name in enumerate(in_order(exporter_names()))}
    return sorted(every, key=lambda pair: places[pair[0]])
