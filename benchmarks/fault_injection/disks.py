"""Full disks, folders that cannot be written, and reports that go to what is no regular file.

Small file systems in memory are mounted inside the folder of the trial, which takes root; elsewhere a limit on the
size of files takes the place of a full disk, and these trials count as missed where neither can be had.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import stat
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fault_injection.commands import Ended
from fault_injection.observer import watch_end, watch_folder, watch_run
from fault_injection.trial import Trial, fault


def _mount(trial: Trial, folder: Path, size: int) -> bool:
    """Mount a file system of so many bytes; it goes away with the trial."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", folder], capture_output=True
    )
    if done.returncode:
        return False
    trial.ends.append(lambda: subprocess.run(["umount", "-l", folder], capture_output=True) and None)
    return True


def _make_read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True, capture_output=True)


def _fill(folder: Path, free: int) -> None:
    """Leave so many bytes free, rounded to pages."""
    status = os.statvfs(folder)
    rest = status.f_bavail * status.f_frsize - free
    if rest > 0:
        with contextlib.suppress(OSError):
            (folder / "other-data.npy.keep").write_bytes(b"x" * rest)


def _limited(size: int) -> Callable[[], None]:
    """Return what lets a process write files of so many bytes at most."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def _missed(trial: Trial) -> None:
    trial.record.missed += 1
    trial.record.remarks.append("not injected: nothing can be mounted here, and no device be made")


def _judge_full(trial: Trial, ended: Ended, full: Path) -> None:
    """Count what a run shows of which one folder is full: the report has the findings, and says what was not stored."""
    (full / "other-data.npy.keep").unlink(missing_ok=True)
    trial.judge(ended, replace(trial.expected, anywhere=True))


@fault("full-regressions", "the disk of the regressions folder is full", share=30)
def _full_regressions(trial: Trial) -> None:
    free = trial.rng.choice([0, 0, 4096, 8192, 16384])
    folder = trial.regressions
    if not _mount(trial, folder, 64 << 10):
        _missed(trial)
        return
    if trial.rng.random() < 0.3:
        trial.store_undisturbed()
    _fill(folder, free)
    trial.injected(f"{free} bytes are free in {folder.name}")
    _judge_full(trial, trial.run(trial.run_words(jobs=trial.rng.choice([1, 2]))), folder)


@fault("full-report", "the disk that the report goes to is full", share=20)
def _full_report(trial: Trial) -> None:
    folder = trial.project / "reports"
    if not _mount(trial, folder, 64 << 10):
        _missed(trial)
        return
    _fill(folder, trial.rng.choice([0, 4096]))
    report = folder / "report.json"
    trial.injected("no space for the report")
    ended = trial.run(trial.run_words(report=report))
    watch_end(trial.record, ended, {1})
    (folder / "other-data.npy.keep").unlink(missing_ok=True)
    _judge_folder_alone(trial)
    for path in folder.iterdir():
        if path != report or not _is_json(path):
            trial.record.hit("torn", f"{path.name} is left where the report could not be written")


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


def _judge_folder_alone(trial: Trial) -> None:
    """Count what the folder of the findings shows."""
    whole = Ended(1, "", 0, hung=False, left=())
    watch_run(trial.record, whole, trial.expected, folder=trial.regressions, report=None)


@fault("full-state", "the disk of .diffexport is full", share=20)
def _full_state(trial: Trial) -> None:
    folder = trial.project / ".diffexport"
    if not _mount(trial, folder, 32 << 10):
        _missed(trial)
        return
    _fill(folder, trial.rng.choice([0, 4096, 8192]))
    trial.injected("no space in .diffexport")
    trial.judge(trial.run(trial.run_words(jobs=trial.rng.choice([1, 2]))))


@fault(
    "full-everything", "the disk of the project is full, or files may have no more than some bytes", share=20
)
def _full_everything(trial: Trial) -> None:
    project = trial.folder / "project"
    if trial.rng.random() < 0.5 and _mount(trial, project, 128 << 10):
        _fill(trial.project, trial.rng.choice([0, 4096, 16384]))
        options = {}
        trial.injected("no space in the project")
    else:
        size = trial.rng.choice([0, 100, 1000, 3000])
        options = {"preexec_fn": _limited(size)}
        trial.injected(f"files may have {size} bytes")
    report = trial.folder / "report.json"
    # Its output may be limited as well.
    ended = trial.run(trial.run_words(report=report), options={**options, "stdout": subprocess.DEVNULL})
    (trial.project / "other-data.npy.keep").unlink(missing_ok=True)
    if options:
        watch_end(trial.record, ended, {1})
        watch_folder(trial.record, trial.regressions, trial.expected)
    else:
        trial.judge(ended, replace(trial.expected, anywhere=True), report=report)


@fault(
    "read-only", "the folder of the regressions, the whole project or .diffexport cannot be written", share=30
)
def _read_only(trial: Trial) -> None:
    what = trial.rng.choice(["regressions", "project", "state"])
    project = trial.folder / "project"
    folder = {
        "regressions": project / "tests/regressions",
        "project": project,
        "state": project / ".diffexport",
    }[what]
    if not _mount(trial, folder, 256 << 10):
        _missed(trial)
        return
    stored = trial.project is not None and what != "state" and trial.rng.random() < 0.3
    if stored:
        trial.store_undisturbed()
    _make_read_only(folder)
    trial.injected(f"{what} cannot be written")
    report = trial.folder / "report.json"
    ended = trial.run(trial.run_words(report=report))
    trial.judge(ended, replace(trial.expected, anywhere=what != "state"), report=report)


@fault(
    "special-report", "the report goes to a device, a FIFO or a link, which has to stay what it is", share=40
)
def _special_report(trial: Trial) -> None:
    what = trial.rng.choice(
        ["null", "null-link", "full", "full-link", "fifo", "link", "dangling", "relative", "folder"]
    )
    report = trial.folder / "place" / "report.json"
    report.parent.mkdir()
    try:
        ends_at = _make_special(trial, what, report)
    except PermissionError:
        _missed(trial)
        return
    before = stat.S_IFMT(os.lstat(report).st_mode)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(ends_at.read_bytes()), daemon=True)
    if what == "fifo":
        reader.start()
    ended = trial.run(trial.run_words(report=report))
    trial.injected(f"the report goes to {what}")
    watch_end(trial.record, ended, {2} if what == "folder" else {1})
    if not os.path.lexists(report) or stat.S_IFMT(os.lstat(report).st_mode) != before:
        trial.record.hit("torn", f"{what} was replaced")
    for path in (*report.parent.iterdir(), *ends_at.parent.iterdir()):
        if path not in (report, ends_at):
            trial.record.hit("torn", f"{path.name} lies beside {what}")
    if what == "fifo":
        # A reader that nobody has written to would wait for ever.
        with contextlib.suppress(OSError):
            os.close(os.open(ends_at, os.O_WRONLY | os.O_NONBLOCK))
        reader.join(5)
        written = b"".join(read)
    elif what in ("link", "dangling", "relative"):
        written = ends_at.read_bytes() if ends_at.is_file() else b""
    else:
        written = b"{}"
    try:
        json.loads(written)
    except ValueError:
        trial.record.hit("torn", f"no whole report came through {what}")
    if what != "folder":
        _judge_folder_alone(trial)


def _make_special(trial: Trial, what: str, report: Path) -> Path:
    """Make what the report goes to; return what it ends at."""
    target = trial.folder / "target" / "target.json"
    target.parent.mkdir()
    if what.startswith(("null", "full")):
        # Devices of the trial's, like /dev/null and /dev/full.
        device = target if what.endswith("link") else report
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3 if what.startswith("null") else 7))
    elif what == "fifo":
        os.mkfifo(report)
        return report
    elif what == "folder":
        report.mkdir()
        return report
    elif what == "link":
        target.write_text("old")
    if not os.path.lexists(report):
        report.symlink_to(os.path.relpath(target, report.parent) if what == "relative" else target)
    return target if report.is_symlink() else report
