"""Events on their way to a process that imports no module of a user's: arguments of a user's types are stood for."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

from diffexport.errors import shortened
from diffexport.findings.events import CheckStarting, Event, FaceFound, Finding, FindingMade, Suspected
from diffexport.processes import loads_anywhere, raised_by_code
from diffexport.strategies import text_of
from diffexport.values import Call, Inputs, NamedValue

#: Types of most arguments, which any process has.
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
#: The most characters of what an argument shows of itself.
_LONGEST = 300


def to_be_sent(event: Event) -> Event:
    """Return an event that can be read without importing a module of a user's."""
    if isinstance(event, FindingMade | Suspected):
        return type(event)(sent_finding(event.finding))
    if isinstance(event, FaceFound):
        return replace(event, finding=sent_finding(event.finding))
    if isinstance(event, CheckStarting):
        return replace(
            event, inputs=without_types(event.inputs), export_inputs=without_types(event.export_inputs)
        )
    return event


def sent_finding(finding: Finding) -> Finding:
    """Return a finding that can be read without importing a module of a user's."""
    given, example = without_types(finding.inputs), without_types(finding.export_inputs)
    return replace(finding, inputs=given, export_inputs=example)


def without_types(inputs: Inputs) -> tuple[Any, ...] | Call:
    """Return arguments with those stood for whose types are from a module of a user's."""
    call = Call.of(inputs)
    args, kwargs = _sent(call.args), _sent(dict(call.kwargs))
    if all(one is other for one, other in zip(call.args, args, strict=True)) and not kwargs:
        return call.plain()
    return Call(args, kwargs).plain()


def with_types(inputs: Inputs) -> tuple[Any, ...] | Call:
    """Return arguments with what was stood for, in a process that has imported its module.

    Raises:
        Exception: it does not load.
    """
    call = Call.of(inputs)
    return Call(_received(call.args), _received(dict(call.kwargs))).plain()


def _sent(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if type(value) in (tuple, list):
        return type(value)(map(_sent, value))
    if type(value) is dict:
        return {key: _sent(item) for key, item in value.items()}
    if loads_anywhere(value):
        return value
    try:
        pickled = pickle.dumps(value)
    except raised_by_code():  # it cannot be sent at all
        pickled = b""
    return NamedValue(type(value).__name__, _repr(value), _text(value), pickled)


def _received(value: Any) -> Any:
    if type(value) in (tuple, list):
        return type(value)(map(_received, value))
    if type(value) is dict:
        return {key: _received(item) for key, item in value.items()}
    if type(value) is NamedValue and value.pickled:
        return pickle.loads(value.pickled)  # noqa: S301 - from a process of our own
    return value


def _repr(value: Any) -> str:
    try:
        return shortened(repr(value), _LONGEST)
    except raised_by_code():
        return f"<{type(value).__name__}>"


def _text(value: Any) -> str | None:
    try:
        return text_of(value)
    except raised_by_code():
        return None
