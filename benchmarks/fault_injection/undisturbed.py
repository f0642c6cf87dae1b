"""The run that nothing happens to: what all others are compared with."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from fault_injection.commands import Running
from fault_injection.counting import Record
from fault_injection.observer import SUFFIX
from fault_injection.trial import Trial, Undisturbed
from fault_injection.victims import DIVERGING, KIND, REGRESSIONS

#: Seconds after which even an undisturbed run is given up.
_LIMIT = 900.0


def run_undisturbed(folder: Path) -> Undisturbed:
    """Run the project once, in a folder; return what it leaves.

    Raises:
        SystemExit: it does not find what it has to, so that nothing can be told about faults.
    """
    nothing = Undisturbed(frozenset(), 0, _options(folder), {}, {})
    trial = Trial(random.Random(0), folder, Record("undisturbed", 0), nothing, _LIMIT)
    ended = trial.run(trial.run_words())
    stored = {path.name: path.read_bytes() for path in sorted((trial.project / REGRESSIONS).glob("*"))}
    findings = {name.removesuffix(SUFFIX) for name in stored if name.endswith(SUFFIX)}
    report = json.loads(trial.report.read_text()) if trial.report.exists() else {"divergences": []}
    seen = sorted((one["case"], one["kind"]) for one in report["divergences"])
    if ended.code != 1 or seen != sorted((case, KIND) for case in DIVERGING) or len(findings) != len(seen):
        raise SystemExit(f"an undisturbed run ends with {ended.code} and finds {seen}:\n{ended.output}")
    return Undisturbed(frozenset(findings), ended.seconds, nothing.options, stored, report)


def _options(folder: Path) -> frozenset[str]:
    ended = Running(["run", "--help"], folder, folder).finish(_LIMIT)
    return frozenset(re.findall(r"--[a-z-]+", ended.output))
