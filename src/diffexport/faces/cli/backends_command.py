"""``diffexport backends``: what there is to export with and to run on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffexport.backends.exporters import Exporter, every_exporter
from diffexport.backends.runtimes import Runtime, every_runtime
from diffexport.errors import PlugInError
from diffexport.values import EXPORTER_REGISTRY, RUNTIME_REGISTRY, RUNTIMES

#: Seconds for one run of a small graph from which on a runtime is called slow.
_SLOW = 1e-3


def backends_command() -> Iterator[str]:
    """Yield the lines: exporters, runtimes, and what packages register that is of no use."""
    yield "exporters, simplest first:"
    exporters = [_exporter(name, one) for name, one in every_exporter() if not isinstance(one, PlugInError)]
    yield from _table(exporters)
    yield "runtimes, simplest first ('all' stands for those that are marked with *):"
    runtimes = [_runtime(name, one) for name, one in every_runtime() if not isinstance(one, PlugInError)]
    yield from _table(runtimes)
    problems = (*EXPORTER_REGISTRY.problems(), *RUNTIME_REGISTRY.problems())
    if problems:
        yield "of no use:"
        yield from (f"  {line}" for line in problems)


def _exporter(name: str, exporter: Exporter) -> tuple[str, ...]:
    described = exporter.description
    opsets = f"opset {min(described.opsets)}..{max(described.opsets)}" if described.opsets else "no opset"
    options = ", ".join(option.name for option in described.options)
    return name, opsets, EXPORTER_REGISTRY.package(name), f"options {options}"


def _runtime(name: str, runtime: Runtime) -> tuple[str, ...]:
    reason = runtime.unavailable()
    state = f"not available: {reason}" if reason else "slow" if runtime.cost >= _SLOW else ""
    mark = "*" if name in RUNTIMES else " "
    return f"{mark} {name}", f"family {runtime.family}", RUNTIME_REGISTRY.package(name), state


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()
