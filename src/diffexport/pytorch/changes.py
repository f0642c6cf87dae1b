"""What an export changed that it should have left alone, as values with a text for each."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Watched(enum.Enum):
    """What is looked at before and after an export; its value is the text that a change of it begins with."""

    STATE = "parameter or buffer "
    TRAINING_FLAG = "training flag"
    HOOKS = "forward hooks"
    ATTRIBUTE = "attribute "
    INPUT = "input x"
    TORCH_RANDOM = "torch's random state"
    PYTHON_RANDOM = "Python's random state"
    GRAD_MODE = "grad mode"
    DEFAULT_DTYPE = "default dtype"
    THREADS = "number of threads"
    IN_EXPORT = "torch.onnx.is_in_onnx_export()"
    TRACE_MAP = "torch.jit._trace._trace_module_map"
    EXPORTER_SETTING = "GLOBALS."
    SYMBOLIC = "custom symbolic "


#: Those of which there are several, so that a name tells which one.
_NAMED = (Watched.STATE, Watched.ATTRIBUTE, Watched.INPUT, Watched.EXPORTER_SETTING, Watched.SYMBOLIC)


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was.

    Attributes:
        watched: what changed.
        name: of a parameter, an attribute, a setting or an operator; the number of an input; else empty.
        detail: how, for a person.
    """

    watched: Watched
    name: str = ""
    detail: str = ""

    @property
    def text(self) -> str:
        """What changed, without how: stable, and the signature of the divergence."""
        return self.watched.value + self.name

    @property
    def is_by_itself(self) -> bool:
        """Whether the TorchScript exporter leaves this behind at every export, and no exported model depends on it.

        These are its own settings, and the ``symbolic`` of each Function under an empty domain (``::name``).
        """
        if self.watched is Watched.SYMBOLIC:
            return self.name.startswith("::")
        return self.watched is Watched.EXPORTER_SETTING

    @classmethod
    def parse(cls, text: str) -> Change | None:
        """Read a [text][diffexport.pytorch.changes.Change.text], without detail; None if it says something else."""
        for watched in Watched:
            if watched in _NAMED and text.startswith(watched.value):
                return cls(watched, text.removeprefix(watched.value))
            if text == watched.value:
                return cls(watched)
        return None
