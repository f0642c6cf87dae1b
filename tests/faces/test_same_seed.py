"""The same seed gives the same run: the same inputs drawn, the same report, whoever is done first."""

import json
import random
import subprocess
import sys

import torch

from diffexport import make_case
from diffexport.explore.run_plan import RunPlan, events_of
from diffexport.explore.settings import Settings
from diffexport.findings.events.events import FindingMade, ModeFinished
from diffexport.findings.regressions.finding_store import FindingStore
from diffexport.findings.reports.json_report import report_document
from diffexport.findings.reports.tally import Tally
from diffexport.values.matrix import select_modes

MODES = ("torchscript", "torchscript,opset=9,dynamic=true", "torchscript,training=TRAINING")
CI = ("--profile", "ci", *(part for mode in MODES for part in ("--modes", mode)), "--runtime", "ort-disabled")
SEEN = []


class Recorder(torch.nn.Module):
    def forward(self, a):
        if not torch.jit.is_tracing():
            SEEN.append((tuple(a.shape), a.numpy().tobytes()))
        return a + 1


def same_but_for_seconds(value):
    if isinstance(value, dict):
        return {key: same_but_for_seconds(item) for key, item in value.items() if key != "seconds"}
    return [same_but_for_seconds(item) for item in value] if isinstance(value, list) else value


def in_order(report):
    report["results"].sort(key=lambda row: (row["case"], row["mode"], row["runtime"]))
    report["divergences"].sort(key=lambda found: found["id"])
    return same_but_for_seconds(report)


def test_the_seed_decides_what_is_drawn(explore):
    drawn = []
    for seed in (11, 11, 12):
        SEEN.clear()
        case = make_case("recorder", Recorder, inputs=["float32[...]"])
        explore(case, "torchscript", "torchscript,opset=9", examples=10, seed=seed)
        drawn.append(list(SEEN))
    assert len(set(drawn[0])) > 20
    assert drawn[0] == drawn[1]
    assert not set(drawn[0]) <= set(drawn[2])


def test_another_seed_is_another_run_of_the_command_too(check):
    first, second, other = (check("single_output", "--seed", seed, code=0).report for seed in (1, 1, 2))
    assert same_but_for_seconds(first) == same_but_for_seconds(second)
    assert same_but_for_seconds(first)["results"] != same_but_for_seconds(other)["results"]


def test_the_ci_profile_gives_the_same_result_in_another_process(project):
    arguments = ("partial_output", "models.py:SwappedOutputs", *CI)
    reports = []
    # Processes of their own: Hypothesis also draws constants that it finds in the modules a process has loaded.
    for jobs in ("0", "1"):
        command = [sys.executable, "-c", "from diffexport.faces.cli import main; main()", "run", *arguments]
        command += ["--jobs", jobs, "--json", f"{jobs}.json", "--save", str(project / "found")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1, done.stderr
        reports.append(json.loads((project / f"{jobs}.json").read_text()))
    assert reports[0]["profile"] == "ci"
    assert in_order(reports[0]) == in_order(reports[1])


def test_the_report_does_not_depend_on_who_is_done_first(project):
    """Units of work end in any order when several processes do them."""
    plan = RunPlan(
        targets=("single_output", "models.py:SwappedOutputs", "clamp"),
        modes=select_modes([*MODES, "dynamo"]),
        runtimes=("ort-disabled",),
        settings=Settings(examples=3),
        jobs=0,
    )
    events = list(events_of(plan))
    units = {}
    for event in events:
        if isinstance(event, ModeFinished):
            units.setdefault((event.case, event.mode.partition(",")[0]), []).append(event)
        elif isinstance(event, FindingMade):
            units.setdefault((event.finding.identity.case, event.finding.identity.exporter), []).append(event)
    assert len(units) == 6
    others = [event for event in events if not isinstance(event, ModeFinished | FindingMade)]
    reports = []
    for seed in range(4):
        order = sorted(units)
        random.Random(seed).shuffle(order)
        tally = Tally()
        for event in (*others, *(event for unit in order for event in units[unit])):
            tally.take(event)
        reports.append(report_document(tally, FindingStore()))
    assert reports[0]["divergences"]
    assert all(report == reports[0] for report in reports[1:])
