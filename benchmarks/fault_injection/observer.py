"""What a command left behind, compared with what it must have left.

Stored files are read here without diffexport, so that a fault of its reader does not hide one of its writer.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fault_injection.commands import Ended
from fault_injection.counting import Record
from fault_injection.victims import CASES, DIVERGING, KIND, MODES, RUNTIME, is_right

SUFFIX = ".diffexport.json"
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)|^\s+File \".+\", line \d+|internal error", re.M)


@dataclass(frozen=True)
class Expected:
    """What a command must have left behind.

    Attributes:
        findings: names of the files of the findings, without their suffix.
        codes: exit codes that tell the truth.
        others: cases that may have findings besides, each with the kinds that are admitted; None: any kind.
        noticed: cases that cannot have passed: a finding, an error, or a row that does not agree.
        anywhere: a finding that stands in the report alone is not lost, as its folder could not be written.
        asked: cases of which each mode needs a row, an exclusion or a reason.
        complete: the command was not interrupted.
        may_lack: findings that are missing are looked for when it is resumed.
    """

    findings: frozenset[str]
    codes: frozenset[int] = frozenset({1})
    others: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    noticed: frozenset[str] = frozenset()
    anywhere: bool = False
    asked: tuple[str, ...] = CASES
    complete: bool = True
    may_lack: bool = False


def watch_end(record: Record, ended: Ended, codes: Iterable[int] | None) -> None:
    """Count what the end of a command shows; ``codes`` are the exit codes that tell the truth, None any."""
    if ended.hung:
        record.hit("hangs", f"did not end within {ended.seconds:.0f} s")
    for line in ended.left:
        record.hit("hangs", f"still there after the end: {line}")
    for line in tracebacks(ended.output):
        record.hit("tracebacks", line)
    if codes is not None and not ended.hung and ended.code not in set(codes):
        expected = " or ".join(map(str, sorted(codes)))
        record.hit("lies", f"exit code {ended.code}, expected {expected}; {last_line(ended.output)}")


def tracebacks(output: str) -> list[str]:
    """Return a line for each traceback in some output: what it ends with."""
    if not _TRACEBACK.search(output):
        return []
    parts = re.split(r"Traceback \(most recent call last\)", output)[1:] or [
        output[_TRACEBACK.search(output).start() :]
    ]
    lines = []
    for part in parts:
        ends = [line for line in part.splitlines()[1:] if line and not line.startswith(" ")]
        lines.append((ends or part.splitlines()[:1] or [""])[0][:200])
    return lines


def last_line(output: str) -> str:
    """Return the last line of some output that says something."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "no output"


@dataclass(frozen=True)
class Stored:
    """A stored finding, as it can be read."""

    name: str
    document: Mapping[str, Any]

    @property
    def same(self) -> tuple[str, ...]:
        """What is the same in two files of one failure."""
        return tuple(
            str(self.document.get(key)) for key in ("target", "case", "runtime", "stage", "kind", "where")
        )


def watch_folder(record: Record, folder: Path, expected: Expected) -> set[str]:
    """Count what the folder of the findings shows; return the names of the whole ones."""
    stored, needed = [], set()
    paths = sorted(folder.rglob("*")) if folder.is_dir() else []
    for path in paths:
        if path.name.endswith(SUFFIX):
            document, sides, wrong = _read(path)
            needed |= sides
            if wrong:
                record.hit("torn", f"{path.name}: {wrong}")
            else:
                stored.append(Stored(path.name.removesuffix(SUFFIX), document))
    for path in paths:
        if path.is_file() and not path.name.endswith(SUFFIX) and path not in needed:
            record.hit("torn", f"{path.name} belongs to no finding")
    for same, number in Counter(one.same for one in stored).items():
        if number > 1:
            record.hit("doubled", f"{number} files of {' '.join(same)}")
    for one in stored:
        case, kind = str(one.document.get("case")), str(one.document.get("kind"))
        if one.name not in expected.findings and not _admitted(case, kind, expected):
            record.hit("false", f"{one.name}: {str(one.document.get('message'))[:160]}")
    return {one.name for one in stored}


def _admitted(case: str, kind: str, expected: Expected) -> bool:
    if case not in expected.others:
        return False
    kinds = expected.others[case]
    return kinds is None or kind in kinds


def _read(path: Path) -> tuple[dict[str, Any], set[Path], str]:
    """Return a stored finding, the files beside it that it needs, and what is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, set(), f"cannot be read: {error}"
    if not isinstance(document, dict) or document.get("diffexport") != "regression":
        return {}, set(), "is no regression"
    sides: set[Path] = set()
    try:
        arrays = {
            role: [_array(one, path, sides) for one in document[role]]
            for role in ("inputs", "export_inputs", "eager", "got")
        }
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        return document, sides, f"{type(error).__name__}: {error}"
    case = document.get("case")
    if case in DIVERGING and document.get("kind") == KIND:
        try:
            right = is_right(case, arrays["inputs"][0], arrays["eager"][0], arrays["got"][0])
        except (IndexError, ValueError) as error:
            return document, sides, f"its parts do not fit: {error}"
        if not right:
            return document, sides, "its parts are of different findings"
    return document, sides, ""


def _array(argument: Mapping[str, Any], path: Path, sides: set[Path]) -> Any:
    if "dtype" not in argument:
        return None
    if argument.get("file"):
        side = path.parent / argument["file"]
        sides.add(side)
        values = np.load(side, allow_pickle=False)
        if list(values.shape) != argument["shape"]:
            raise ValueError(f"{side.name} holds {list(values.shape)}")
        return values
    if "filled" in argument:
        return _filled(argument)
    values = [float.fromhex(value) if isinstance(value, str) else value for value in argument["values"]]
    return np.array(values, argument["dtype"]).reshape(argument["shape"])


def _filled(argument: Mapping[str, Any]) -> Any:
    """Return the array that repeats some numbers, or one, with some elements placed in it."""
    filled = argument["filled"]
    if filled["family"] not in ("constant", "repeated"):
        raise ValueError(f"filled with {filled['family']}, which no finding of the project needs")
    numbers = np.array([_number(value) for value in filled["numbers"]], argument["dtype"])
    array = np.resize(numbers, argument["shape"])
    for index, value in filled.get("placed", ()):
        array[tuple(index)] = _number(value)
    return array


def _number(value: Any) -> Any:
    return float.fromhex(value) if isinstance(value, str) else value


def read_report(record: Record, path: Path, ended: Ended) -> dict[str, Any] | None:
    """Return a report; one that is missing although its command came to an end, or is not whole, is counted."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if ended.code in (0, 1, 130):
            record.hit("torn", f"no report {path.name}")
        return None
    except (OSError, ValueError) as error:
        record.hit("torn", f"report {path.name}: {error}")
        return None
    if not ended.hung and document.get("exit_code") != ended.code and ended.code in (0, 1, 2, 130):
        record.hit("lies", f"exit code {ended.code}, but {document.get('exit_code')} in the report")
    return document


def watch_report(record: Record, report: Mapping[str, Any], expected: Expected) -> set[str]:
    """Count what a report shows; return the ids of its findings."""
    ids = Counter(str(one["id"]) for one in report["divergences"])
    for identity, number in ids.items():
        if number > 1:
            record.hit("doubled", f"{number} entries with the id {identity} in the report")
    known = {name[-8:] for name in expected.findings}
    for one in report["divergences"]:
        if one["id"] not in known and not _admitted(one["case"], one["kind"], expected):
            record.hit("false", f"in the report: {one['case']} {one['kind']}: {str(one['message'])[:140]}")
    # A model that cannot be imported is called by its target.
    failed = {str(one["case"]).rpartition(":")[2] for one in report["errors"]}
    for case in sorted(failed & set(CASES)):
        record.hit("false", f"{case} is said to be untestable: {_error(report, case)[:160]}")
    if expected.complete:
        _watch_rows(record, report, expected, failed)
    return set(ids)


def _error(report: Mapping[str, Any], case: str) -> str:
    return next(str(one["message"]) for one in report["errors"] if str(one["case"]).endswith(case))


def _watch_rows(record: Record, report: Mapping[str, Any], expected: Expected, failed: set[str]) -> None:
    """Count what was asked for and has neither a row nor a reason, and what cannot be as it is said."""
    rows = {(one["case"], one["mode"], one["runtime"]): one for one in report["results"]}
    excluded = {one["case"] for one in report["excluded"]}
    with_finding = {one["case"] for one in report["divergences"]}
    for case in expected.asked:
        if case in failed | excluded:
            continue
        of_case = [rows.get((case, mode, RUNTIME)) for mode in MODES]
        for mode, row in zip(MODES, of_case, strict=True):
            if row is None or (row["verdict"] == "agrees" and not row["checks"]):
                record.hit("lies", f"{case} {mode}: nothing was tested, and no reason is given")
        passed = all(row is None or row["verdict"] in ("agrees", "refused") for row in of_case)
        if case in expected.noticed and passed and case not in with_finding:
            record.hit("lies", f"{case} is said to be as expected")


def watch_run(
    record: Record,
    ended: Ended,
    expected: Expected,
    *,
    folder: Path | None,
    report: Path | None,
) -> None:
    """Count all that a command shows that tests the cases of the project.

    Args:
        record: where it is counted.
        ended: the command.
        expected: what it must have left.
        folder: where it stores findings; None if it cannot.
        report: the report it was asked for.
    """
    watch_end(record, ended, expected.codes)
    names = watch_folder(record, folder, expected) if folder is not None else set()
    document = read_report(record, report, ended) if report is not None else None
    ids = watch_report(record, document, expected) if document is not None else set()
    for name in sorted(() if expected.may_lack else expected.findings):
        if expected.anywhere and name[-8:] in ids:
            continue
        if folder is not None and name not in names:
            record.hit("lost", f"{name} is not in the folder")
        elif document is not None and expected.complete and name[-8:] not in ids:
            record.hit("lost", f"{name} is not in the report")
        elif folder is None and document is None:
            record.hit("lost", f"{name} is nowhere")
