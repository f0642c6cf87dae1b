"""What is known of how to call a model: the result of inference, as a value with a JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from diffexport.errors import UsageError

if TYPE_CHECKING:
    from diffexport.subjects.cases import Case

#: Every status, with what it means. Those of [RAN][] come with inputs.
STATUSES: Mapping[str, str] = {
    "inferred": "it runs on the inputs shown",
    "random": "it runs, and draws random numbers: two calls differ unless the seed is set",
    "stateful": "it runs, and what it returns depends on more than its inputs and the seed: on earlier calls, or on "
    "memory that nothing was written to",
    "mutates-input": "it runs, and changes a tensor that it was given",
    "non-tensor": "it runs, and returns no tensor",
    "rejected": "nothing that was tried ran",
    "abstract": "it is a base: subclasses define what it lacks",
    "distributed": "it needs a process group",
    "needs-cuda": "it needs CUDA",
    "needs-native": "it needs a native extension, or an operator that is not registered",
    "needs-module": "it needs a module that is not installed",
    "timeout": "it takes too long, importing or on every input that was tried",
    "crash": "it takes its process along: a native crash, os._exit or too much memory",
    "import-error": "its module cannot be imported",
    "no-model": "what is named does not exist, or is no model",
    "no-inputs": "it takes no argument, so that there is nothing to generate",
}

#: Statuses that come with inputs.
RAN = ("inferred", "random", "stateful", "mutates-input", "non-tensor")


@dataclass(frozen=True)
class Inference:
    """How a model can be called, or why that could not be worked out.

    Attributes:
        status: one of [STATUSES][].
        inputs: one text for each positional argument, a tensor spec or a strategy, as
            [parse_input][diffexport.strategies.texts.parse_input] reads it.
        call: the call in one line, for people.
        message: for people: what could not be worked out, what was tried, how to declare it.
        notes: warnings about what was seen while probing.
        tried: how many calls were tried.
        seconds: how long that took, without importing.
        source: where the values of other arguments than tensors come from.
        name: what the model is called.
        target: the text by which another process finds it, if there is one.
        model: the model itself, where it was inferred in this process.
    """

    status: str
    inputs: tuple[str, ...] = ()
    call: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()
    tried: int = 0
    seconds: float = 0.0
    source: str = ""
    name: str = ""
    target: str = ""
    model: Any = field(default=None, compare=False, repr=False)

    @property
    def ran(self) -> bool:
        """Whether there are inputs on which it runs."""
        return self.status in RAN

    def case(self) -> Case:
        """Return a case with the inferred inputs; those that are constants become part of its model.

        Raises:
            UsageError: there are none; the message is that of the inference.
        """
        from diffexport.subjects.targets import builder_of, case_of, resolve

        if not self.inputs:
            raise UsageError(self.message or f"{self.name}: {STATUSES[self.status]}")
        if self.model is None:
            return resolve(self.target, inputs=self.inputs)
        return case_of(self.name, builder_of(self.model), self.inputs, self.target)

    def document(self) -> dict[str, Any]:
        """Return the inference as JSON; the model is left out."""
        names = [own.name for own in fields(self) if own.name != "model"]
        return {name: list(v) if isinstance(v := getattr(self, name), tuple) else v for name in names}

    @classmethod
    def from_document(cls, document: Any) -> Inference:
        """Read what [document][diffexport.infer.session.Inference.document] wrote.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(document, dict) or document.get("status") not in STATUSES:
            raise ValueError("not an inference")
        values: dict[str, Any] = {}
        for own in fields(cls):
            value = document.get(own.name)
            if own.name == "model" or value is None:
                continue
            if own.name in ("inputs", "notes"):
                if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                    raise ValueError(f"{own.name} must be a list of texts")
                value = tuple(value)
            elif own.name in ("tried", "seconds"):
                if not isinstance(value, int | float):
                    raise ValueError(f"{own.name} must be a number")
            elif not isinstance(value, str):
                raise ValueError(f"{own.name} must be a text")
            values[own.name] = value
        return cls(**values)
