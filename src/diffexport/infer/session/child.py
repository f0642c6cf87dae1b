"""The child process: imports what it is asked for, infers, and says what it is about to do before it does it."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffexport.infer.search import InferenceStatus
from diffexport.processes import Handler, ParentProcess, StateSnapshot, process_parts

#: What is announced, each with a text.
IMPORTING, PROBING, TRYING, WIDENING = "importing", "probing", "trying", "widening"


def prepare(parent: ParentProcess, preload: Sequence[str] = ()) -> Handler:
    """Prepare a process that imports targets; return what answers a request.

    A request is a dict. One with a ``question``, a function, is answered with what that returns for its
    ``arguments``; any other is about a ``target``, and is answered with the document of an inference.

    Args:
        parent: is told what is done.
        preload: names of modules to import now.
    """
    import torch  # noqa: F401 - loaded before memory is limited

    from diffexport.infer.search import AROUND, announce_to
    from diffexport.infer.session import steps as work

    def say(what: str, text: str = "") -> None:
        parent.announce((what, text))

    announce_to(lambda text: say(WIDENING if text == AROUND else TRYING, text))
    libraries: dict[tuple[str, ...], Any] = {}
    for name in preload:
        importlib.import_module(name)

    def answer(request: dict[str, Any]) -> Any:
        if "question" not in request:
            before = StateSnapshot(process_parts())
            try:
                return _answer(request, say, libraries, work)
            finally:
                before.put_back()
        say(IMPORTING)
        return request["question"](*request["arguments"])

    return answer


def _answer(
    request: dict[str, Any], say: Callable[..., None], libraries: dict[Any, Any], work: Any
) -> dict[str, Any]:
    """Infer one target; whatever goes wrong is an answer."""
    from diffexport.chatter import captured
    from diffexport.errors import DiffexportError, error_text
    from diffexport.infer.evidence import Library, around
    from diffexport.infer.session.inference import Inference
    from diffexport.strategies import named
    from diffexport.values import name_in

    target = request["target"]
    say(IMPORTING)
    name = name_in(target)
    try:
        with captured():
            model = named(request["loader"])(target)
    except DiffexportError as error:
        missing = isinstance(error.__cause__, ImportError) or "raises" in str(error)
        status = InferenceStatus.IMPORT_ERROR if missing else InferenceStatus.NO_MODEL
        return Inference(status, message=str(error), name=name, target=target).document()
    except BaseException as error:  # noqa: BLE001 - a loader runs whatever code
        message = f"target {target!r}: importing it raises {type(error).__name__}: {error_text(error)}"
        return Inference(InferenceStatus.IMPORT_ERROR, message=message, name=name, target=target).document()
    say(PROBING)
    roots = tuple(request["roots"]) or tuple(
        map(str, around(model if isinstance(model, type) else type(model)))
    )
    library = libraries.setdefault(roots, Library([Path(root) for root in roots]))
    try:
        made: Inference = work.infer(
            model,
            seconds=request["seconds"],
            per_call=request["per_call"],
            library=library,
            skipped=frozenset(request["skipped"]),
            target=target,
        )
    except Exception as error:  # noqa: BLE001 - a bug of ours, or probed code that reaches out of its call
        where = "".join(traceback.format_tb(error.__traceback__)[-2:])
        message = f"internal error of diffexport: {type(error).__name__}: {error_text(error)}\n{where}"
        return Inference(InferenceStatus.REJECTED, message=message, name=name, target=target).document()
    return made.document()
