"""Many command lines in one process, one after the other: a command line that is refused need not cost an import.

    python batch.py FILE

FILE has one JSON document a line: ``{"words": […], "folder": "…"}``. For each command line there is a line of output
in FILE.out before it begins, ``{"started": number}``, and one when it has ended, ``{"code": …, "output": "…"}``. A
copy of the process that was forked off by what a command line calls writes nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def outcome(words: list[str]) -> dict[str, Any]:
    """Run one command line as the console script does, and return what came of it."""
    from diffexport.faces.cli.command_line import main

    sys.argv[1:] = words
    text = io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        except BaseException:  # noqa: BLE001 - whatever it is
            # As the interpreter does with what nobody catches.
            traceback.print_exc(file=text)
            code = 1
    return {"code": code, "output": text.getvalue()[-20_000:]}


def run_all(file: Path) -> None:
    """Run every command line of a file."""
    process = os.getpid()
    with open(f"{file}.out", "w", encoding="utf-8", errors="replace") as out:
        for number, line in enumerate(file.read_text().splitlines()):
            task = json.loads(line)
            os.chdir(task["folder"])
            print(json.dumps({"started": number}), file=out, flush=True)
            result = outcome(task["words"])
            if os.getpid() != process:
                # It would do all that is left once more.
                os._exit(0)
            print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    run_all(Path(sys.argv[1]))
