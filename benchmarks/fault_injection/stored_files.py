"""Spoiled stored findings among good ones, for ``replay`` and ``show``; two who write and read the same ones."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fault_injection.commands import Ended
from fault_injection.mutations import MODULES, MUTATIONS
from fault_injection.observer import SUFFIX, tracebacks, watch_end, watch_folder
from fault_injection.trial import Trial, fault
from fault_injection.victims import CASES, target

_BATCH = Path(__file__).with_name("batch.py")
#: Spoiled files in one folder.
_SPOILED = 20
_STATUSES = ("FIXED", "STILL DIVERGES", "ERROR", "LEFT OUT")


def _write_spoiled(trial: Trial, number: int) -> dict[str, str]:
    """Write spoiled copies of stored findings beside the good ones; return what was done to each, by its name."""
    trial.store_undisturbed()
    for name, text in MODULES.items():
        (trial.project / name).write_text(text)
    good = sorted(trial.regressions.glob(f"*{SUFFIX}"))
    spoiled = {}
    for place in range(number):
        # Some are before the good ones in order, and some behind.
        source = trial.rng.choice(good)
        copy = source.with_name(f"{trial.rng.choice('az')}{place}-{source.name}")
        document = json.loads(source.read_text())
        for role in ("inputs", "export_inputs", "eager", "got"):
            for argument in document[role]:
                if argument.get("file"):
                    side = f"{place}-{argument['file']}"
                    (copy.parent / side).write_bytes((copy.parent / argument["file"]).read_bytes())
                    argument["file"] = side
        copy.write_text(json.dumps(document, indent=1))
        spoiled[copy.name] = trial.rng.choice(MUTATIONS)(trial.rng, copy)
    return spoiled


@fault("spoiled-replay", "spoiled files among good ones in one replay", share=200, each=_SPOILED)
def _spoiled_replay(trial: Trial) -> None:
    spoiled = _write_spoiled(trial, _SPOILED)
    words = ["replay", str(trial.regressions.relative_to(trial.project)), *trial.limit_words()]
    ended = trial.run(words, trial.patience(imports=_SPOILED, checks=_SPOILED))
    trial.injected(f"{len(spoiled)} spoiled files", len(spoiled))
    # The good ones still diverge, and that is not as expected.
    watch_end(trial.record, ended, {1})
    watch_verdicts(trial, ended, spoiled)


def watch_verdicts(trial: Trial, ended: Ended, spoiled: dict[str, str]) -> None:
    """Count files without a verdict, and good ones with another than theirs."""
    verdicts: dict[str, list[str]] = {}
    for line in ended.output.splitlines():
        status, name = line[:15].rstrip(), line[15:].strip()
        if status in _STATUSES and name:
            verdicts.setdefault(Path(name).name, []).append(status)
    for name in trial.undisturbed.findings:
        given = verdicts.get(name + SUFFIX, [])
        if given != ["STILL DIVERGES"]:
            trial.record.hit(
                "doubled" if len(given) > 1 else "lost", f"{name} is said to be {given or 'nothing'}"
            )
    for name, words in spoiled.items():
        number = len(verdicts.get(name, []))
        if number != 1:
            trial.record.hit("lost" if not number else "doubled", f"{number} verdicts on {name}: {words}")


@fault("spoiled-show", "spoiled files, each for show", share=80, each=_SPOILED)
def _spoiled_show(trial: Trial) -> None:
    spoiled = _write_spoiled(trial, _SPOILED)
    tasks = [["show", str(trial.regressions / name)] for name in spoiled]
    for (name, words), result in zip(spoiled.items(), run_batch(trial, tasks), strict=True):
        watch_result(trial, f"show {name}, {words}", result, (0, 2))


@fault("spoiled-folder", "a run stores its findings where spoiled files have their names", share=20, each=3)
def _spoiled_folder(trial: Trial) -> None:
    trial.store_undisturbed()
    words = []
    for name in sorted(trial.undisturbed.findings):
        path = trial.regressions / f"{name}{SUFFIX}"
        mutation = trial.rng.choice(MUTATIONS)
        words.append(mutation(trial.rng, path))
        if not path.is_file() or path.is_symlink():
            # What is no file is in the way of a finding, which is not a fault of whoever stores it.
            path.rmdir() if path.is_dir() else path.unlink()
    trial.injected("; ".join(words), len(words))
    ended = trial.run(trial.run_words())
    # A file that can still be read is kept if what it holds is smaller; here it may hold anything.
    watch_end(trial.record, ended, {1})
    for path in trial.regressions.iterdir():
        if path.name.startswith(".") or path.suffix == ".tmp":
            trial.record.hit("torn", f"{path.name} was left")
    report = json.loads(trial.report.read_text()) if trial.report.is_file() else {"divergences": []}
    ids = [one["id"] for one in report["divergences"]]
    for name in trial.undisturbed.findings:
        if ids.count(name[-8:]) != 1:
            trial.record.hit("doubled" if name[-8:] in ids else "lost", f"{name} in the report")


def run_batch(
    trial: Trial, tasks: Sequence[Sequence[str]], folders: Sequence[Path] = ()
) -> list[dict[str, Any]]:
    """Run command lines in one process; one that ends the process or hangs is left out by the next."""
    results: list[dict[str, Any]] = []
    file = trial.folder / "tasks"
    places = list(folders) or [trial.project] * len(tasks)
    while len(results) < len(tasks):
        lines = [
            json.dumps({"words": list(words), "folder": str(place)})
            for words, place in zip(tasks, places, strict=True)
        ][len(results) :]
        file.write_text("\n".join(lines))
        out = Path(f"{file}.out")
        running = trial.start([str(file)], program=[str(_BATCH)], environment={"PYTHONWARNINGS": "ignore"})
        trial.record.commands.pop()
        seen, since = 0, time.monotonic()
        hung = False
        while running.is_running and not hung:
            time.sleep(0.05)
            size = out.stat().st_size if out.exists() else 0
            if size != seen:
                seen, since = size, time.monotonic()
            hung = time.monotonic() - since > trial.limit
        ended = running.finish(0.1 if hung else trial.limit)
        said = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
        results += [one for one in said if "code" in one]
        if len(results) < len(tasks):
            started = sum("started" in one for one in said)
            finished = sum("code" in one for one in said)
            if started == finished:
                raise RuntimeError(f"the batch ended: {ended}")
            results.append({"code": None if hung else ended.code, "output": ended.output, "ended": True})
        for line in ended.left:
            trial.record.hit("hangs", f"still there: {line}")
    return results


def watch_result(trial: Trial, words: str, result: dict[str, Any], codes: Sequence[int]) -> None:
    """Count what one command line of a batch shows."""
    trial.injected(words)
    if result["code"] is None:
        trial.record.hit("hangs", words)
    elif result["code"] not in codes:
        last = (result["output"].strip().splitlines() or [""])[-1][:160]
        trial.record.hit(
            "lies", f"exit code {result['code']}, expected {' or '.join(map(str, codes))}: {words}; {last}"
        )
    for line in tracebacks(result["output"])[:1]:
        trial.record.hit("tracebacks", f"{line}: {words}")


@fault(
    "two-runs",
    "two runs at once that store the same findings, together or shortly after each other",
    share=30,
    each=2,
)
def _two_runs(trial: Trial) -> None:
    if trial.rng.random() < 0.5:
        _store_larger(trial)
    reports = [trial.folder / f"{number}.json" for number in range(2)]
    both = []
    for report in reports:
        both.append(trial.start(trial.run_words(report=report)))
        time.sleep(trial.rng.choice([0, 0, 0.2, 1]))
    trial.injected("two runs at once", 2)
    for running, report in zip(both, reports, strict=True):
        ended = running.finish(2 * trial.limit)
        trial.judge(ended, replace(trial.expected, may_lack=report is reports[0]), report=report)


def _store_larger(trial: Trial) -> None:
    """Store the findings in a form that a run replaces by a smaller one."""
    trial.store_undisturbed()
    for path in trial.regressions.glob(f"*{SUFFIX}"):
        document = json.loads(path.read_text())
        document["mode"] = "torchscript,opset=18,dynamic=true,training=TRAINING"
        path.write_text(json.dumps(document))


@fault("kill-replacing", "SIGKILL while stored findings are replaced by smaller ones, then resumed", share=30)
def _kill_replacing(trial: Trial) -> None:
    _store_larger(trial)
    words = trial.run_words([target("wide"), *(target(case) for case in CASES if case != "wide")])
    before = {path.name: path.stat().st_mtime_ns for path in trial.regressions.iterdir()}
    running = trial.start(words)
    number, delay = (
        trial.rng.choice([1, 1, 2, 3, 4]),
        trial.rng.choice([0.0, 0.0, trial.rng.uniform(0, 0.05)]),
    )
    reached = running.wait(lambda: _changed(trial.regressions, before) >= number, trial.limit)
    time.sleep(delay)
    if not (reached and running.signal(signal.SIGKILL)):
        trial.record.missed += 1
    else:
        trial.injected(f"SIGKILL {delay:.3f} s after {number} files were replaced")
    running.finish(trial.limit)
    # Right now, each is either the earlier one or the new one.
    _watch_wholeness(trial)
    trial.judge(trial.run([*words, *trial.resume_words]))


def _watch_wholeness(trial: Trial) -> None:
    """Count stored findings that are not whole; what lies about besides is swept by the next run."""
    before = list(trial.record.remarks), trial.record.counts.copy()
    watch_folder(trial.record, trial.regressions, trial.expected)
    swept = [remark for remark in trial.record.remarks[len(before[0]) :] if "belongs to no finding" in remark]
    for remark in swept:
        trial.record.remarks.remove(remark)
        trial.record.counts["torn"] -= 1


def _changed(folder: Path, before: dict[str, int]) -> int:
    """Return how many files are new or other ones."""
    number = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            number += before.get(path.name) != path.stat().st_mtime_ns
    return number


@fault(
    "replay-while-written",
    "replay of files that a run replaces meanwhile, or that are written again and again",
    share=12,
)
def _replay_while_written(trial: Trial) -> None:
    _store_larger(trial)
    writer = trial.start(trial.run_words())
    reader = trial.start(["replay", str(trial.regressions.relative_to(trial.project)), *trial.limit_words()])
    trial.injected("replay during a run")
    watch_end(trial.record, ended := reader.finish(2 * trial.limit), {1})
    watch_verdicts(trial, ended, {})
    trial.judge(writer.finish(2 * trial.limit))
