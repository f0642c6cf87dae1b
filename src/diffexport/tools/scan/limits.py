"""What is exported twice in a scan."""

from __future__ import annotations

from diffexport.pipeline import Pipeline, fresh_stages
from diffexport.values import Mode

#: Seconds an export from which on an exporter is spared where another shows the same.
_COSTLY = 0.3


def is_costly(mode: Mode) -> bool:
    """Return whether a mode's exports cost most, as those of strict capture do."""
    return mode.description.cost >= _COSTLY


def scan_pipeline(*, repeats: bool = True) -> Pipeline:
    """Return a pipeline that remembers little, for one variant of a Function.

    Args:
        repeats: export twice, to see whether that gives the same: in the static modes of the cheaper exporters.
    """
    return Pipeline(
        stages=fresh_stages(
            exports=256,
            sessions=128,
            repeats_in=lambda mode: repeats and not mode.dynamic and not is_costly(mode),
        )
    )
