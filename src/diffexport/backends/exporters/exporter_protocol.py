"""What an exporter is, so that another package can add one.

A package adds an exporter by an entry point of the group ``diffexport.exporters``, whose name is the exporter's::

    [project.entry-points."diffexport.exporters"]
    my-exporter = "my_package.exporter:EXPORTER"

Modes of it are written as those of the built-in ones are, ``my-exporter,opset=18``, and are run where they are asked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from diffexport.arrays import DynamicAxes
from diffexport.pytorch import Written as Written
from diffexport.values import Call, ExporterDescription, Mode, Stage, Terms


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and how.

    Attributes:
        module: the ``torch.nn.Module``.
        call: what it is called with; tensors become graph inputs ``x0``, ``x1``, … unless ``terms`` name them.
        mode: how; only options that the exporter honours are off their default.
        dynamic: for each tensor of the call its dynamic axes, as a dict from axis to the name asked for, None where
            any will do; None where every axis is static.
        terms: names, external data and what else a case asks for besides the mode.
        custom_opsets: versions of custom domains; an exporter may have no use for them.
    """

    module: Any
    call: Call
    mode: Mode
    dynamic: DynamicAxes | None
    terms: Terms
    custom_opsets: Mapping[str, int] | None = None


@dataclass(frozen=True)
class ScriptRequest(ExportRequest):
    """What a standalone script is to export; the module is None where only its source is known.

    Attributes:
        capture_apart: it is capturing the model that fails, so that this has to be a step of its own.
    """

    capture_apart: bool = False


class Exporter(Protocol):
    """What makes an ONNX model of a module. A class that inherits from this has the defaults below.

    Attributes:
        description: its name and options, and what it does with a model.
    """

    description: ExporterDescription

    def export(self, request: ExportRequest) -> Written:
        """Return the serialised model, with the files it was written to where ``terms.external_data`` asks for these.

        Raises:
            Exception: whatever the exporter raises; it is taken for its refusal.
        """
        ...

    def stage_of(self, error: BaseException) -> Stage:  # noqa: ARG002 - a default
        """Return CAPTURE if an error came out of capturing the model, else CONVERT."""
        return Stage.CONVERT

    def program(self, request: ExportRequest) -> Callable[[Call], Any] | None:  # noqa: ARG002 - a default
        """Return the program captured on the request's call, as something that takes a call and runs in PyTorch.

        Returns:
            None where it captures none, or none that can be run; blame then knows less.

        Raises:
            Exception: whatever capturing raises.
        """
        return None

    def script(self, request: ScriptRequest) -> str | None:  # noqa: ARG002 - a default
        """Return the definition of ``export(model, args)`` for a standalone script; it returns the serialised model.

        Where the call has keywords it is ``export(model, args, kwargs)``. ``torch``, ``onnx``, ``io``, ``os``,
        ``tempfile`` and ``copy`` are imported where the text uses them.

        Returns:
            None where ``diffexport show`` cannot have one.
        """
        return None
