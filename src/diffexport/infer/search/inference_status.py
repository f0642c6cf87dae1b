"""How an inference ends: the statuses of docs/infer.md."""

from __future__ import annotations

import enum


class InferenceStatus(enum.StrEnum):
    """How an inference ends; the text is that of JSON and reports."""

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

    @property
    def meaning(self) -> str:
        """One line for a person."""
        return _MEANINGS[self]

    @property
    def ran(self) -> bool:
        """Whether it comes with inputs on which the model runs."""
        return self in _RAN


_RAN = (
    InferenceStatus.INFERRED,
    InferenceStatus.RANDOM,
    InferenceStatus.STATEFUL,
    InferenceStatus.MUTATES_INPUT,
    InferenceStatus.NON_TENSOR,
)

_MEANINGS = {
    InferenceStatus.INFERRED: "it runs on the inputs shown",
    InferenceStatus.RANDOM: "it runs, and draws random numbers: two calls differ unless the seed is set",
    InferenceStatus.STATEFUL: "it runs, and what it returns depends on more than its inputs and the seed: on earlier "
    "calls, or on memory that nothing was written to",
    InferenceStatus.MUTATES_INPUT: "it runs, and changes a tensor that it was given",
    InferenceStatus.NON_TENSOR: "it runs, and returns no tensor",
    InferenceStatus.REJECTED: "nothing that was tried ran",
    InferenceStatus.ABSTRACT: "it is a base: subclasses define what it lacks",
    InferenceStatus.DISTRIBUTED: "it needs a process group",
    InferenceStatus.NEEDS_CUDA: "it needs CUDA",
    InferenceStatus.NEEDS_NATIVE: "it needs a native extension, or an operator that is not registered",
    InferenceStatus.NEEDS_MODULE: "it needs a module that is not installed",
    InferenceStatus.TIMEOUT: "it takes too long, importing or on every input that was tried",
    InferenceStatus.CRASH: "it takes its process along: a native crash, os._exit or too much memory",
    InferenceStatus.IMPORT_ERROR: "its module cannot be imported",
    InferenceStatus.NO_MODEL: "what is named does not exist, or is no model",
    InferenceStatus.NO_INPUTS: "it takes no argument, so that there is nothing to generate",
}
