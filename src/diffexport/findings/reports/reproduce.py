"""The shell line that shows a finding again."""

from __future__ import annotations

import shlex
from pathlib import Path

from diffexport.config import PROFILES
from diffexport.findings.events import Finding
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports.tally import Tally
from diffexport.values import InputScope, Severity


def reproduce_line(finding: Finding, tally: Tally, store: FindingStore) -> str:
    """Return one shell line that shows the finding again: a replay where it was stored, else a run that makes it."""
    path = store.path_of(finding)
    if path is not None:
        return f"diffexport replay {_relative(path)}"
    if tally.command is not None:
        return tally.command(finding)
    specs = "".join(f" --input {quote(spec)}" for spec in finding.specs)
    strict = " --strict" if finding.divergence.severity is Severity.NOTE else ""
    examples = scope = ""
    if tally.started is not None:
        scope = "".join(f" {option}" for option in scope_options(tally.started.scope))
        # As many as a run over one mode has: what many modes found with a few examples each, one needs more for.
        profile = PROFILES.get(tally.started.profile)
        alone = profile.examples_for(1) if profile is not None else 0
        examples = f" --examples {max(tally.started.examples, alone)}"
        if tally.started.budget is not None:
            # One round more than there were: what came of a first look alone is made minimal there.
            examples = f" --rounds {(tally.rounds or 0) + 1}"
    return (
        f"diffexport run {quote(finding.target)}{specs} --modes {quote(finding.mode)} "
        f"--runtime {finding.runtime}{examples} --seed {finding.seed}{scope}{strict}"
    )


def scope_options(scope: InputScope) -> list[str]:
    """Return the options by which inputs are in scope that are in this one."""
    options = {
        "--ordinary": scope.ordinary,
        "--no-empty": scope.no_empty,
        "--empty-examples": scope.empty_examples,
    }
    return [option for option, is_given in options.items() if is_given]


def quote(text: str) -> str:
    """Quote a word for the shell if it needs it."""
    return shlex.quote(text)


def _relative(path: Path) -> str:
    try:
        return quote(str(path.resolve().relative_to(Path.cwd())))
    except ValueError:
        return quote(str(path))
