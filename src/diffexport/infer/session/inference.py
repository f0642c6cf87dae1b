"""What is known of how to call a model: the result of inference, as a value with a JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from diffexport.errors import UsageError
from diffexport.infer.search import InferenceStatus

if TYPE_CHECKING:
    from diffexport.subjects.cases import Case

#: Every status, with what it means.
STATUSES: Mapping[str, str] = {status: status.meaning for status in InferenceStatus}
#: Statuses that come with inputs.
RAN = tuple(status for status in InferenceStatus if status.ran)


@dataclass(frozen=True)
class Inference:
    """How a model can be called, or why that could not be worked out.

    Attributes:
        status: how it ended.
        inputs: one text for each positional argument, a tensor spec or a strategy, as
            [parse_input][diffexport.strategies.input_texts.parse_input] reads it.
        alternatives: other inputs that are nearly as likely and run, such as a mask of another dtype; texts as above.
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

    status: InferenceStatus
    inputs: tuple[str, ...] = ()
    call: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()
    tried: int = 0
    seconds: float = 0.0
    source: str = ""
    alternatives: tuple[tuple[str, ...], ...] = ()
    name: str = ""
    target: str = ""
    model: Any = field(default=None, compare=False, repr=False)

    @property
    def ran(self) -> bool:
        """Whether there are inputs on which it runs."""
        return self.status.ran

    def case(self) -> Case:
        """Return a case with the inferred inputs; those that are constants become part of its model.

        Raises:
            UsageError: there are none; the message is that of the inference.
        """
        from diffexport.subjects.targets import builder_of, case_of, resolve

        if not self.inputs:
            raise UsageError(self.message or f"{self.name}: {self.status.meaning}")
        if self.model is None:
            return resolve(self.target, inputs=self.inputs)
        return case_of(self.name, builder_of(self.model), self.inputs, self.target)

    def document(self) -> dict[str, Any]:
        """Return the inference as JSON; the model is left out."""
        names = [declared.name for declared in fields(self) if declared.name != "model"]
        return {name: list(v) if isinstance(v := getattr(self, name), tuple) else v for name in names}

    @classmethod
    def from_document(cls, document: Any) -> Inference:
        """Read what [document][diffexport.infer.session.Inference.document] wrote.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(document, dict) or document.get("status") not in STATUSES:
            raise ValueError("not an inference")
        values: dict[str, Any] = {"status": InferenceStatus(document["status"])}
        for declared in fields(cls):
            value = document.get(declared.name)
            if declared.name in ("model", "status") or value is None:
                continue
            if declared.name in ("inputs", "notes"):
                if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                    raise ValueError(f"{declared.name} must be a list of texts")
                value = tuple(value)
            elif declared.name == "alternatives":
                value = tuple(_texts(item) for item in value if isinstance(value, list))
            elif declared.name in ("tried", "seconds"):
                if not isinstance(value, int | float):
                    raise ValueError(f"{declared.name} must be a number")
            elif not isinstance(value, str):
                raise ValueError(f"{declared.name} must be a text")
            values[declared.name] = value
        return cls(**values)


def _texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts as a tuple.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("an alternative must be a list of texts")
    return tuple(value)
