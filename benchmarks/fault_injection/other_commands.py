"""Faults in ``mutate`` and in pytest, and in the children of ``replay``; whole runs that are suspended for a while."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fault_injection.commands import Running
from fault_injection.models import Hostile
from fault_injection.observer import SUFFIX, Expected, watch_end, watch_folder
from fault_injection.stored_files import watch_verdicts
from fault_injection.trial import CHECK_SECONDS, Trial, fault
from fault_injection.victims import DEEDS, MODES, REGRESSIONS, RUNTIME, target

_MUTATORS = ("last-wrong", "doubled-output", "scaled-1e-4", "reversed", "negative-zero-lost")
_PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-q")
_TESTS = """\
import diffexport
import project

test_doubled = diffexport.test(project.Doubled, inputs=["float32[2]"])
test_lessened = diffexport.test(project.Lessened, inputs=["float32[3]"])
test_sound = diffexport.test(project.Sound, inputs=["float32[2]"])
"""
#: What an undisturbed command leaves, by its name; it is run when it is first asked for.
_kept: dict[str, Any] = {}
_keeping = threading.Lock()


def _once(name: str, make: Callable[[], Any]) -> Any:
    with _keeping:
        if name not in _kept:
            _kept[name] = make()
        return _kept[name]


@dataclass(frozen=True)
class _Mutation:
    """What ``mutate`` says of the project."""

    code: int | None
    seconds: float
    counts: tuple[Any, ...]


def _mutation_words(report: Path) -> list[str]:
    words = ["mutate", target("sound"), target("doubled"), "--modes", MODES[0], "--runtime", RUNTIME]
    for name in _MUTATORS:
        words += ["--only", name]
    return [*words, "--examples", "6", "--seed", "0", "--jobs", "1", "--json", str(report)]


def _counts(report: Path) -> tuple[Any, ...]:
    document = json.loads(report.read_text())
    survivors = sorted((one["case"], one["mutator"], one["where"]) for one in document["survivors"])
    keys = ("planted", "caught", "missed", "equivalent", "controls", "false_alarms")
    return (*(document[key] for key in keys), tuple(survivors))


def _undisturbed_mutation(trial: Trial) -> _Mutation:
    report = trial.folder / "undisturbed.json"
    ended = trial.run(_mutation_words(report), 3 * trial.limit)
    return _Mutation(ended.code, ended.seconds, _counts(report))


@fault(
    "kill-mutate", "SIGKILL, SIGTERM or SIGINT to mutate, or SIGKILL to its worker, then resumed", share=16
)
def _kill_mutate(trial: Trial) -> None:
    expected: _Mutation = _once("mutate", lambda: _undisturbed_mutation(trial))
    words = _mutation_words(trial.report)
    running = trial.start(words)
    number = trial.rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    at_worker = trial.rng.random() < 0.4
    delay = trial.rng.uniform(0.2, 1) * expected.seconds
    reached = running.wait(lambda: running.age > delay, 2 * delay)
    aims = running.workers() if at_worker else [running.pid]
    if not reached or not aims:
        trial.record.missed += 1
    else:
        running.signal(signal.SIGKILL if at_worker else number, aims[0])
        trial.injected(f"{'SIGKILL to a worker' if at_worker else number.name} after {delay:.1f} s")
    ended = running.finish(3 * trial.limit)
    if reached and not at_worker:
        watch_end(trial.record, replace(ended, code=0), None)
        ended = trial.run([*words, *_resume_word(trial, "mutate")], 3 * trial.limit)
    watch_end(trial.record, ended, {expected.code} if expected.code is not None else None)
    try:
        counts = _counts(trial.report)
    except (OSError, ValueError, KeyError) as error:
        trial.record.hit("torn", f"report: {error}")
        return
    if counts != expected.counts:
        trial.record.hit("lost", f"mutate says {counts}, undisturbed {expected.counts}")


def _resume_word(trial: Trial, command: str) -> list[str]:
    """Return the option that goes on with what was interrupted, where the command has one."""

    def read() -> list[str]:
        words, program = (["mutate", "--help"], None) if command == "mutate" else (["--help"], _PYTEST)
        arguments = {} if program is None else {"program": program}
        ended = Running(words, trial.project, trial.folder, **arguments).finish(trial.limit)
        return re.findall(r"--(?:diffexport-)?resume\b", ended.output)[:1]

    return _once(f"resume {command}", read)


def _write_tests(trial: Trial, text: str = _TESTS) -> list[str]:
    (trial.project / "test_project.py").write_text(text)
    return ["test_project.py", "--diffexport-modes", MODES[0]]


def _undisturbed_tests(trial: Trial) -> tuple[frozenset[str], float]:
    ended = trial.run(_write_tests(trial), 3 * trial.limit, program=_PYTEST)
    paths = list((trial.project / REGRESSIONS).glob(f"*{SUFFIX}"))
    names = frozenset(path.name.removesuffix(SUFFIX) for path in paths)
    for path in paths:
        path.unlink()
    if ended.code != 1 or len(names) != 2:
        raise RuntimeError(
            f"undisturbed tests end with {ended.code} and {sorted(names)}:\n{ended.output[-2000:]}"
        )
    return names, ended.seconds


@fault("kill-pytest", "SIGKILL, SIGTERM or SIGINT to pytest, then it is run or resumed", share=16)
def _kill_pytest(trial: Trial) -> None:
    names, seconds = _once("pytest", lambda: _undisturbed_tests(trial))
    words = _write_tests(trial)
    running = trial.start(words, program=_PYTEST)
    number = trial.rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    delay = trial.rng.uniform(0.2, 1) * seconds
    if running.wait(lambda: running.age > delay, 2 * delay) and running.signal(number):
        trial.injected(f"{number.name} to pytest after {delay:.1f} s")
    else:
        trial.record.missed += 1
    ended = running.finish(3 * trial.limit)
    for line in ended.left:
        trial.record.hit("hangs", f"still there after {number.name} to pytest: {line}")
    ended = trial.run([*words, *_resume_word(trial, "pytest")], 3 * trial.limit, program=_PYTEST)
    _watch_tests(trial, ended, Expected(names))


@fault("hostile-pytest", "a hostile model among those that pytest tests", share=20)
def _hostile_pytest(trial: Trial) -> None:
    names, _ = _once("pytest", lambda: _undisturbed_tests(trial))
    deed_name = trial.rng.choice(["hang", "abort", "segfault", "exit", "fork", "descriptors", "folder"])
    deed = trial.rng.choice(DEEDS[deed_name])
    hostile = Hostile("hostile", deed, trial.rng.choice(["build", "export", "eager", "symbolic"]))
    hostile.write(trial.project, trial.folder)
    lines = _TESTS.splitlines()
    lines[1:1] = ["import hostile"]
    lines[-1:-1] = ['test_hostile = diffexport.test(hostile.Model, inputs=["float32[2]"])']
    words = _write_tests(trial, "\n".join(lines) + "\n")
    # A limit for each test there is by default, too.
    ended = trial.run(words, 3 * trial.limit + 500, program=_PYTEST)
    if hostile.mark(trial.folder).exists():
        trial.injected(hostile.words)
    else:
        trial.record.missed += 1
    names_of = ("hostile", "Model", "test_hostile")
    _watch_tests(trial, ended, Expected(names, others=dict.fromkeys(names_of, deed.kinds)))


def _watch_tests(trial: Trial, ended: Any, expected: Expected) -> None:
    watch_end(trial.record, ended, {1})
    if "INTERNALERROR" in ended.output:
        trial.record.hit("tracebacks", "pytest says INTERNALERROR")
    stored = watch_folder(trial.record, trial.regressions, expected)
    for name in sorted(expected.findings - stored):
        trial.record.hit("lost", f"{name} is not in the folder")


@fault("kill-replay-child", "SIGKILL or SIGTERM to a child of replay", share=12)
def _kill_replay_child(trial: Trial) -> None:
    trial.store_undisturbed()
    running = trial.start(["replay", REGRESSIONS, *trial.limit_words()])
    if not running.wait(lambda: bool(running.workers()), trial.limit):
        trial.record.missed += 1
    else:
        time.sleep(trial.rng.uniform(0, 6))
        number = trial.rng.choice([signal.SIGKILL, signal.SIGTERM])
        children = running.workers()
        if children and running.signal(number, trial.rng.choice(children)):
            trial.injected(f"{number.name} to a child of replay")
        else:
            trial.record.missed += 1
    ended = running.finish(trial.limit)
    watch_end(trial.record, ended, {1})
    watch_verdicts(trial, ended, {})


@fault("suspended", "a run, or its worker alone, is stopped for some seconds and goes on", share=12)
def _suspended(trial: Trial) -> None:
    running = trial.start(trial.run_words())
    seconds = trial.rng.choice([1.0, 4.0, 2 * CHECK_SECONDS * trial.undisturbed.slowness])
    delay = trial.rng.uniform(1, max(2.0, trial.undisturbed.seconds))
    running.wait(lambda: running.age > delay, 2 * delay)
    workers = running.workers()
    stopped = [*([] if trial.rng.random() < 0.3 else [running.pid]), *workers]
    if running.is_running and stopped:
        for number in stopped:
            running.signal(signal.SIGSTOP, number)
        time.sleep(seconds)
        for number in reversed(stopped):
            running.signal(signal.SIGCONT, number)
        trial.injected(f"{len(stopped)} processes stopped for {seconds:.0f} s after {delay:.1f} s")
    else:
        trial.record.missed += 1
    trial.judge(running.finish(trial.limit + 60))
