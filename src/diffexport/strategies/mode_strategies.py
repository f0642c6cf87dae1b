"""Modes as a Hypothesis strategy that shrinks towards the defaults of the simplest exporter."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from diffexport.values import EXPORTERS, Mode, axes, exporter_names, in_order, possible


def modes(
    *, among: Sequence[Mode] | None = None, exporters: Sequence[str] = EXPORTERS
) -> st.SearchStrategy[Mode]:
    """Draw a [Mode][diffexport.Mode].

    Args:
        among: draw one of these only (shrinks towards the simplest of them).
        exporters: draw any valid mode of these exporters.

    Raises:
        InvalidArgument: no mode or no exporter to draw from, or an unknown exporter.
    """
    if among is not None:
        if not among:
            raise InvalidArgument("among is empty: there is no mode to draw")
        return st.sampled_from(sorted(among, key=lambda mode: mode.complexity))
    if not exporters or any(name not in EXPORTERS and name not in exporter_names() for name in exporters):
        raise InvalidArgument(f"exporters={list(exporters)!r} must be some of {', '.join(exporter_names())}")
    return st.sampled_from(in_order(exporters)).flatmap(_modes_of)


def _modes_of(exporter: str) -> st.SearchStrategy[Mode]:
    options = {name: st.sampled_from(values) for name, values in axes(exporter).items()}
    return st.fixed_dictionaries(options).filter(possible).map(lambda chosen: Mode.of(exporter, chosen))
