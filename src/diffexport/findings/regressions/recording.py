"""From a finding to a stored regression."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffexport.arrays import array_of, as_plain, described
from diffexport.errors import shortened
from diffexport.findings.events import Finding
from diffexport.findings.regressions.format import Regression, StoredFace
from diffexport.findings.regressions.store import path_for, save
from diffexport.values import Call, Mode
from diffexport.versions import installed

#: Most characters of one argument of a face.
_LONGEST_INPUT = 200


def regression_of(finding: Finding, faces: Sequence[Finding] = ()) -> Regression:
    """Return the regression that keeps a finding, and names what else shows of its cause."""
    return Regression(
        case=finding.identity.case,
        target=finding.target,
        specs=finding.specs,
        mode=Mode.parse(finding.mode),
        runtime=finding.runtime,
        stage=finding.divergence.stage,
        kind=finding.divergence.kind,
        place=finding.divergence.place,
        signature=finding.divergence.signature,
        message=finding.divergence.message,
        inputs=finding.inputs,
        export_inputs=finding.export_inputs,
        eager=finding.eager,
        got=finding.got,
        exporters=finding.exporters,
        seed=finding.seed,
        terms=finding.terms,
        weights=finding.weights,
        versions=installed(),
        cause=finding.cause,
        faces=tuple(map(face_text, faces)),
    )


def face_text(face: Finding) -> StoredFace:
    """Return what a regression says of another face of its cause."""
    divergence = face.divergence
    call = Call.of(as_plain(face.inputs))
    shown = [_shown(value) for value in call.args]
    shown += [f"{name}={_shown(value)}" for name, value in call.kwargs.items()]
    return StoredFace(
        kind=str(divergence.kind),
        mode=face.mode,
        runtime=face.runtime,
        where=divergence.where,
        signature=divergence.signature,
        input=", ".join(shown),
    )


def _shown(value: Any) -> str:
    array = array_of(value)
    return shortened(described(array) if hasattr(array, "dtype") else repr(value), _LONGEST_INPUT)


def record(finding: Finding, folder: Path, faces: Sequence[Finding] = ()) -> tuple[Path, bool]:
    """Store a finding; return the file it is in, and whether there was none before.

    Args:
        finding: what is stored.
        folder: where.
        faces: what else shows of its cause, which is named in the file.

    Raises:
        OSError: the folder cannot be written.
        RegressionFileError: an argument is of a type that a regression cannot hold.
    """
    regression = regression_of(finding, faces)
    is_new = not path_for(regression, folder).exists()
    return save(regression, folder)[0], is_new
