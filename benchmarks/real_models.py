"""Real models under a budget: when every (mode, runtime) has its first verdict, against the same done by hand.

    python benchmarks/real_models.py [--only NAME]… [--modes MODE]… [--time 60s] [--json FILE] [--peers FOLDER]
                                     [--mutants N [--mutation-time 5m]]

For each model of the gallery (tests/models/models.toml), one after the other, each in processes of its own:

- *bare*: ``torch.onnx.export``, loads and one comparison for each (mode, runtime), by plain_exports.py. Its exports
  are those of a script of ``diffexport show``, its inputs the first ones of ours.
- *ours*: ``diffexport run`` as a person starts it, in a folder of its own, with ``--jobs 1``, since bare is one
  process, too. When a mode has its verdicts is read from the journal of the run, to 0.05 s.
- findings: each stored one is turned into a script by ``diffexport show`` and run; what does not show there is a false
  alarm.
- *peers*: ``torch.onnx.export(verify=True, report=True)``, and onnx-diagnostic where ``--peers`` names a folder that
  has it (``pip install --no-deps --target FOLDER onnx-diagnostic``).

Memory is the most that all processes of a command have at one time, shared pages counted once. Seconds mean nothing
on a busy machine; ratios of one run do.

``--mutants N`` plants N bugs, half in BERT and half in the residual net, with ``diffexport mutate``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from watched_process import Watched, watch

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tests" / "models"))

from gallery_entries import GALLERY, Entry  # noqa: E402

from diffexport import Mode  # noqa: E402
from diffexport.arrays import as_call  # noqa: E402
from diffexport.backends.exporters import ScriptRequest, exporter_of  # noqa: E402
from diffexport.backends.runtimes import available  # noqa: E402
from diffexport.explore import plain_shapes  # noqa: E402
from diffexport.strategies import examples  # noqa: E402
from diffexport.subjects.cases import dynamic_axes  # noqa: E402
from diffexport.values import parse_duration  # noqa: E402

#: Seconds that anything by hand may take, and what ours may take beyond its budget before it is ended.
LIMIT, PATIENCE = 1200, 300
GOALS = {"first_verdicts": 2.0, "budget": 1.1, "memory_mib": 1024.0, "false_alarms": 0, "caught": 0.9}
#: The command as it is installed beside this interpreter, on the source of this repository.
DIFFEXPORT = (sys.executable, str(Path(sys.executable).with_name("diffexport")))
#: In this mode both agree: nothing is planted where an export is wrong already (finding 33).
MUTATED_MODE = "torchscript,dynamic=true"
MUTATED = ("bert", "residual_net")
#: Finite ordinary values only: the goal is about these.
SCOPE = ("--ordinary", "--no-empty")
#: One thread for torch; ONNX Runtime has its default in both.
THREADS = 1
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    "OMP_NUM_THREADS": str(THREADS),
    "HF_HUB_OFFLINE": "1",
}
#: What ``spent`` of a report is called here.
SHARES = {
    "export": "export",
    "eager": "eager",
    "load": "runtime",
    "run": "runtime",
    "compare": "comparison",
    "arbitrate": "arbitration",
    "draw": "Hypothesis",
}


def plan_of(entry: Entry, modes: tuple[str, ...], folder: Path) -> Path:
    """Write down what is to be done by hand with a model; return the file."""
    case = entry.case()
    call = as_call(examples(plain_shapes(case.specs), case.specs))
    np.savez(folder / "inputs.npz", **{f"x{number}": value.numpy() for number, value in enumerate(call.args)})
    module, written = case.build(), []
    for text in modes:
        mode = Mode.parse(text)
        axes = dynamic_axes(case, call) if mode.dynamic else None
        script = exporter_of(mode).script(ScriptRequest(module, call, mode, axes, case.terms))
        written.append({"mode": text, "export": script})
    plan = {
        "file": str(ROOT / entry.target.partition(":")[0]),
        "attribute": entry.attribute,
        "inputs": str(folder / "inputs.npz"),
        "modes": written,
        "runtimes": list(available()),
        "threads": THREADS,
    }
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    return file


def by_hand(plan: Path, folder: Path, way: str = "", path: str = "") -> dict:
    """Do it by hand, or in the way of a peer."""
    folder.mkdir()
    answer = folder / "answer.json"
    command = [
        sys.executable,
        str(HERE / "plain_exports.py"),
        str(plan),
        str(answer),
        *([way] if way else []),
    ]
    environment = {**ENVIRONMENT, "PYTHONPATH": path}
    done = watch(command, folder=folder, environment=environment, limit=LIMIT)
    if done.code != 0 or not answer.exists():
        lines = done.printed.strip().splitlines() or [f"exit code {done.code}"]
        return {"seconds": done.seconds, "memory": done.memory, "error": lines[-1], "modes": []}
    document = json.loads(answer.read_text())
    # From the start of the process, imports among it, as ours.
    return {**document, "seconds": done.seconds, "memory": done.memory, "error": ""}


@dataclass
class Journal:
    """When each mode had its first verdicts, by what the journal of a run says."""

    folder: Path

    def __post_init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._read: dict[Path, int] = {}

    def look(self, seconds: float) -> None:
        """Read what is new."""
        for file in self.folder.glob("run-*"):
            try:
                text = file.read_bytes()
            except OSError:
                continue
            start = self._read.get(file, 0)
            end = text.rfind(b"\n") + 1
            for line in text[start:end].splitlines():
                record = json.loads(line)
                if record.get("event") == "mode" and record.get("turns"):
                    self.seconds.setdefault(record["mode"], seconds)
            self._read[file] = max(end, start)


def ours(entry: Entry, modes: tuple[str, ...], budget: str, folder: Path) -> dict:
    """Run diffexport on a model as a person does."""
    folder.mkdir()
    report, saved, journal = folder / "report.json", folder / "found", Journal(folder / ".diffexport")
    options = [f"--modes={mode}" for mode in modes] + [f"--input={text}" for text in entry.inputs]
    command = [*DIFFEXPORT, "run", str(ROOT / entry.target), *options, *SCOPE]
    command += ["--time", budget, "--jobs", "1", "--save", str(saved), "--json", str(report)]
    limit = parse_duration(budget) + PATIENCE
    done = watch(command, folder=folder, environment=ENVIRONMENT, limit=limit, look=journal.look)
    if not report.exists():
        return {"seconds": done.seconds, "error": done.printed.strip()[-500:], "first": {}}
    document = json.loads(report.read_text())
    spent: dict[str, float] = {}
    for name, seconds in document["budget"]["spent"].items():
        share = SHARES.get(name, "other")
        spent[share] = spent.get(share, 0.0) + seconds
    unreached = sum(row["verdict"] == "unreached" for row in document["results"])
    return {
        "error": "",
        "seconds": done.seconds,
        "memory": done.memory,
        "first": journal.seconds,
        "unreached": unreached,
        "rounds": document["budget"]["rounds_done"],
        "spent": {name: round(seconds, 3) for name, seconds in sorted(spent.items())},
        "checks": sum(row["checks"] for row in document["results"]),
        "findings": [confirmed(one, saved, folder) for one in document["divergences"]],
    }


def confirmed(divergence: dict, saved: Path, folder: Path) -> dict:
    """Say of a finding whether a script without diffexport shows it, too."""
    files = list(saved.glob(f"*{divergence['id']}*.json"))
    keys = ("id", "mode", "runtime", "kind", "where", "message")
    told = {key: divergence[key] for key in keys}
    if not files:
        return {**told, "confirmed": False, "script": "no file was stored"}
    show = [*DIFFEXPORT, "show", str(files[0]), "--allow-outside"]
    script = watch(show, folder=folder, environment=ENVIRONMENT, limit=LIMIT)
    file = folder / f"{divergence['id']}.py"
    file.write_text(script.printed)
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    done = watch([sys.executable, str(file)], folder=folder, environment=environment, limit=LIMIT)
    last = (done.printed.strip().splitlines() or [""])[-1]
    shows = (done.code == 1 and "DIVERGES" in done.printed) or done.code is None or done.code < 0
    return {**told, "confirmed": shows, "script": last[:200]}


def measured(entry: Entry, options: argparse.Namespace) -> dict:
    """Return the figures of one model."""
    modes = tuple(options.modes) or entry.modes
    with tempfile.TemporaryDirectory(prefix="real-models-") as name:
        folder = Path(name)
        plan = plan_of(entry, modes, folder)
        bare = by_hand(plan, folder / "bare")
        peers = {"torch verify": by_hand(plan, folder / "verify", "verify")}
        if options.peers:
            peers["onnx-diagnostic"] = by_hand(plan, folder / "diagnostic", "diagnostic", str(options.peers))
        mine = ours(entry, modes, options.time, folder / "ours")
    figures = {"model": entry.name, "modes": list(modes), "bare": bare, "peers": peers, "ours": mine}
    if not mine["error"] and not bare["error"]:
        all_seen = len(mine["first"]) == len(modes)
        last = max(mine["first"].values(), default=0.0)
        figures["first_verdicts"] = last / bare["seconds"] if all_seen else None
        figures["budget"] = mine["seconds"] / parse_duration(options.time)
        figures["memory_mib"] = mine["memory"] - bare["memory"]
        figures["false_alarms"] = sum(not one["confirmed"] for one in mine["findings"])
    return figures


def mutated(options: argparse.Namespace) -> list[dict]:
    """Plant bugs in two models, and return what became of them."""
    results = []
    for entry in (one for one in GALLERY if one.name in MUTATED):
        with tempfile.TemporaryDirectory(prefix="real-models-") as name:
            report = Path(name) / "mutants.json"
            command = [*DIFFEXPORT, "mutate", str(ROOT / entry.target)]
            command += [f"--input={text}" for text in entry.inputs]
            command += [f"--modes={MUTATED_MODE}", "--most", str(options.mutants // len(MUTATED))]
            command += ["--time", options.mutation_time, "--jobs", "1", "--json", str(report)]
            done: Watched = watch(command, folder=Path(name), environment=ENVIRONMENT, limit=4 * LIMIT)
            document = json.loads(report.read_text()) if report.exists() else {}
        kept = ("planted", "equivalent", "caught", "missed", "share", "controls", "false_alarms")
        figures = {key: document.get(key) for key in kept}
        survivors = [one for one in document.get("survivors", ()) if one["judgement"] == "missed"]
        error = "" if document else done.printed.strip()[-500:]
        figures |= {"model": entry.name, "seconds": done.seconds, "missed_bugs": survivors, "error": error}
        figures["ended"] = [one["reason"] for one in document.get("skipped", ())]
        results.append(figures)
    return results


def shown(results: list[dict], mutants: list[dict], console: Console) -> None:
    """Print what was measured."""
    columns = [
        "model",
        "bare s",
        "ours: first s",
        "of bare",
        "of budget",
        "memory +MiB",
        "findings",
        "unconfirmed",
    ]
    table = Table(*columns, "checks", "where the time went")
    for one in results:
        mine, bare = one["ours"], one["bare"]
        if "budget" not in one:
            table.add_row(one["model"], f"{bare['seconds']:.1f}", mine["error"] or bare["error"])
            continue
        total = sum(mine["spent"].values()) or 1.0
        spent = sorted(mine["spent"].items(), key=lambda item: -item[1])[:4]
        last = max(mine["first"].values(), default=0.0)
        ratio = one["first_verdicts"]
        table.add_row(
            one["model"],
            f"{bare['seconds']:.1f}",
            f"{last:.1f}" if ratio else f"{mine['unreached']} pairs unreached",
            f"{ratio:.2f}" if ratio else "–",
            f"{one['budget']:.2f}",
            f"{one['memory_mib']:.0f}",
            str(len(mine["findings"])),
            str(one["false_alarms"]),
            str(mine["checks"]),
            ", ".join(f"{name} {100 * seconds / total:.0f}%" for name, seconds in spent),
        )
    console.print(table)
    for one in results:
        for found in one["ours"].get("findings", ()):
            mark = "confirmed" if found["confirmed"] else "NOT CONFIRMED"
            text = (
                f"{one['model']} {found['mode']} {found['runtime']} {found['kind']}: {found['message'][:160]}"
            )
            console.print(f"  {mark}: {text}", markup=False, highlight=False)
        for name, peer in one["peers"].items():
            said = {each["mode"]: sorted(set(each["outcomes"].values())) for each in peer["modes"]}
            text = peer["error"] or "; ".join(
                f"{mode} {', '.join(map(str, all_))}" for mode, all_ in said.items()
            )
            console.print(f"  {name} on {one['model']}: {peer['seconds']:.1f} s, {text[:300]}", markup=False)
    for one in mutants:
        console.print({key: value for key, value in one.items() if key != "missed_bugs"})


def summary(results: list[dict], mutants: list[dict]) -> dict:
    """Return the figures that the goals are about."""
    whole = [one for one in results if "budget" in one]
    caught = sum(one["caught"] or 0 for one in mutants)
    missed = sum(one["missed"] or 0 for one in mutants)
    ratios = [one["first_verdicts"] for one in whole]
    return {
        "models": len(results),
        "not_measured": [one["model"] for one in results if "budget" not in one],
        "first_verdicts_median": statistics.median(filter(None, ratios)) if any(ratios) else None,
        "first_verdicts": None if not ratios or None in ratios else max(ratios),
        "budget": max((one["budget"] for one in whole), default=None),
        "memory_mib": max((one["memory_mib"] for one in whole), default=None),
        "false_alarms": sum(one["false_alarms"] for one in whole),
        "caught": caught / (caught + missed) if caught + missed else None,
        "goals": GOALS,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="may be repeated")
    parser.add_argument("--modes", action="append", default=[], metavar="MODE", help="may be repeated")
    parser.add_argument("--time", default="60s", help="the budget of diffexport for each model")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="where onnx-diagnostic is installed")
    parser.add_argument("--mutants", type=int, default=0, metavar="N")
    parser.add_argument("--mutation-time", default="5m", help="for each of the two models")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    unknown = set(options.only) - {entry.name for entry in GALLERY} - {"none"}
    if unknown:
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    os.chdir(ROOT)
    console = Console(width=None if sys.stdout.isatty() else 200)
    results: list[dict] = []
    mutants: list[dict] = []

    def write() -> None:
        if options.json is not None:
            document = {"summary": summary(results, mutants), "models": results, "mutants": mutants}
            options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    for entry in GALLERY:
        if not options.only or entry.name in options.only:
            results.append(measured(entry, options))
            shown(results[-1:], [], console)
            write()
    if options.mutants:
        mutants += mutated(options)
    write()
    shown(results, mutants, console)
    console.print(summary(results, mutants))
    return 0


if __name__ == "__main__":
    sys.exit(main())
