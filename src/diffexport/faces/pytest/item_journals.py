"""The journals of a pytest session, one for each check of each test: a session that was ended can be gone on with.

They are there until a session comes to its end.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from diffexport.explore import Settings
    from diffexport.findings.journal import RunJournal
    from diffexport.subjects.cases import Case
    from diffexport.values import Mode

RESUME = "--diffexport-resume"
_CALLS = pytest.StashKey[int]()
_PATHS = pytest.StashKey[list[Path]]()


@contextlib.contextmanager
def kept_journals(item: pytest.Item) -> Iterator[None]:
    """Keep a journal of each check that is made meanwhile."""
    from diffexport.faces.api import JOURNALS

    def open_journal(
        case: Case, modes: Sequence[Mode], runtimes: Sequence[str], settings: Settings
    ) -> RunJournal:
        item.stash[_CALLS] = item.stash.get(_CALLS, 0) + 1
        return _opened(item, item.stash[_CALLS], case, modes, runtimes, settings)

    token = JOURNALS.set(open_journal)
    try:
        yield
    finally:
        JOURNALS.reset(token)


def _opened(
    item: pytest.Item,
    call: int,
    case: Case,
    modes: Sequence[Mode],
    runtimes: Sequence[str],
    settings: Settings,
) -> RunJournal:
    from diffexport.explore import what_is_asked
    from diffexport.findings.journal import RunJournal

    config = item.config
    asked = what_is_asked(
        (case.target or case.name,),
        {case.name: [*case.input_texts] if case.specs else [*case.texts]},
        modes,
        runtimes,
        settings,
        (*case.known, *case.exclusions, case.terms),
    )
    asked |= {"test": item.nodeid, "call": call, "file": _digest(item.path)}
    journal = RunJournal.open(
        Path(config.rootpath) / ".diffexport" / "pytest",
        "test",
        item.name,
        asked,
        resume=bool(config.getoption(RESUME)),
        say=lambda text: _say(item, text),
        option=RESUME,
        quiet=True,
    )
    if journal.path is not None:
        config.stash.setdefault(_PATHS, []).append(journal.path)
    return journal


def _say(item: pytest.Item, text: str) -> None:
    """Put a word on the report of a test."""
    item.add_report_section("call", "diffexport", f"diffexport: {text}\n")


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def forget_journals(session: pytest.Session, exitstatus: Any) -> None:
    """Remove the journals of a session that came to its end; nothing of it is to be gone on with."""
    paths = session.config.stash.get(_PATHS, [])
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if not ended or session.shouldstop or session.shouldfail:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
    with contextlib.suppress(OSError):
        # Only where nobody else has any.
        (Path(session.config.rootpath) / ".diffexport" / "pytest").rmdir()
