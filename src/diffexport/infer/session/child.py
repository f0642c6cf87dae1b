"""The child process: imports what it is asked for, infers, and says what it is about to do before it does it.

Requests and answers are lines of JSON on two pipes of their own; standard input is empty and what is printed goes
nowhere. A parent that reads the last line knows what ended the child.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from diffexport.infer.search import InferenceStatus

#: Lines that say what is being done.
STARTED, IMPORTING, PROBING, TRYING, WIDENING, DONE = (
    "started",
    "importing",
    "probing",
    "trying",
    "widening",
    "done",
)


def main(requests: int, answers: int, memory: int) -> None:
    """Serve requests until there are no more.

    Args:
        requests, answers: file descriptors to read from and to write to.
        memory: bytes that may be allocated beyond what torch itself needs.
    """
    incoming: TextIO = os.fdopen(requests, "r", encoding="utf-8")
    outgoing: TextIO = os.fdopen(answers, "w", encoding="utf-8")
    process = os.getpid()

    def say(what: str, value: Any = "") -> None:
        if os.getpid() != process:
            # Forked off by what is probed.
            os._exit(0)
        outgoing.write(json.dumps([what, value]) + "\n")
        outgoing.flush()

    import torch

    from diffexport.infer.search import AROUND, announce_to
    from diffexport.infer.session import steps as work

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    limit_memory(memory)
    announce_to(lambda text: say(WIDENING if text == AROUND else TRYING, text))
    say(STARTED)
    libraries: dict[tuple[str, ...], Any] = {}
    for line in incoming:
        say(DONE, _answer(json.loads(line), say, libraries, work))


def _answer(
    request: dict[str, Any], say: Callable[..., None], libraries: dict[Any, Any], work: Any
) -> dict[str, Any]:
    """Infer one target; whatever goes wrong is an answer."""
    from diffexport.chatter import captured
    from diffexport.errors import DiffexportError
    from diffexport.infer.evidence import Library, around
    from diffexport.infer.session.inference import Inference
    from diffexport.strategies import named

    target = request["target"]
    say(IMPORTING)
    name = target.rpartition(":")[2]
    try:
        with captured():
            model = named(request["loader"])(target)
    except DiffexportError as error:
        missing = isinstance(error.__cause__, ImportError) or "raises" in str(error)
        status = InferenceStatus.IMPORT_ERROR if missing else InferenceStatus.NO_MODEL
        return Inference(status, message=str(error), name=name, target=target).document()
    except BaseException as error:  # noqa: BLE001 - a loader runs whatever code
        message = f"target {target!r}: importing it raises {type(error).__name__}: {error}"
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
        message = f"internal error of diffexport: {type(error).__name__}: {error}\n{where}"
        return Inference(InferenceStatus.REJECTED, message=message, name=name, target=target).document()
    return made.document()


def limit_memory(memory: int) -> None:
    """Let this process allocate so many bytes more than it has, where the system can limit that."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError):
        return


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]))
