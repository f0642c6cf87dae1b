"""What is exported twice in a scan."""

from __future__ import annotations

from diffexport.pipeline import Exported, Road
from diffexport.subjects.cases import Case
from diffexport.values import Inputs, Mode

#: Seconds an export from which on an exporter is spared where another shows the same.
_COSTLY = 0.3


def is_costly(mode: Mode) -> bool:
    """Return whether a mode's exports cost most, as those of strict capture do."""
    return mode.description.cost >= _COSTLY


class ScanRoad(Road):
    """A road that remembers little, for one variant of a Function.

    Args:
        repeats: export twice, to see whether that gives the same, where it costs least.
    """

    def __init__(self, *, repeats: bool = True) -> None:
        super().__init__(exports=256, sessions=128)
        self._repeats = repeats

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:
        """Export (memoised); twice in the static modes of the cheaper exporters alone."""
        cheap = not mode.dynamic and not is_costly(mode)
        return super().export(case, mode, inputs, repeat=repeat and cheap and self._repeats)
