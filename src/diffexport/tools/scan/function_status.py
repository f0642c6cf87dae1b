"""What a scan says of a Function: the statuses of docs/scan.md."""

from __future__ import annotations

import enum

from diffexport.findings.events import RowVerdict


class FunctionStatus(enum.StrEnum):
    """What became of a Function; the text is that of the report and the state file.

    The first five are those of a Function that was run, and texts of
    [RowVerdict][diffexport.findings.events.RowVerdict]; those from ``INFERRED`` on are texts of
    [InferenceStatus][diffexport.infer.search.InferenceStatus] and say why it was not.
    """

    AGREES = "agrees"
    REFUSED = "refused"
    KNOWN = "known"
    DIVERGES = "diverges"
    UNTESTED = "untested"

    #: Only found, as asked for.
    LISTED = "listed"
    #: It is defined inside a function and cannot be had.
    LOCAL = "local"
    #: Its module imports, but does not define it here.
    ABSENT = "absent"

    INFERRED = "inferred"
    RANDOM = "random"
    STATEFUL = "stateful"
    MUTATES_INPUT = "mutates-input"
    NON_TENSOR = "non-tensor"
    REJECTED = "rejected"
    ABSTRACT = "abstract"
    DISTRIBUTED = "distributed"
    NEEDS_CUDA = "needs-cuda"
    NEEDS_NATIVE = "needs-native"
    NEEDS_MODULE = "needs-module"
    TIMEOUT = "timeout"
    CRASH = "crash"
    IMPORT_ERROR = "import-error"
    NO_MODEL = "no-model"
    NO_INPUTS = "no-inputs"


class PlaceProblem(enum.StrEnum):
    """Why a package or a file could not be looked into."""

    NOT_INSTALLED = "not-installed"
    UNREADABLE = "unreadable"


#: Verdicts on the modes of a Function, in the order in which they are counted and shown.
VERDICTS = (
    RowVerdict.AGREES,
    RowVerdict.REFUSED,
    RowVerdict.KNOWN,
    RowVerdict.DIVERGES,
    RowVerdict.UNTESTED,
)
