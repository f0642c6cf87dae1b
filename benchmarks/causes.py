"""How many findings one cause gives, over models from public bug reports and over the catalogue.

Run by hand: ``python benchmarks/causes.py [--reports FOLDER] [--catalogue] [--only NAME] [--json FILE] [-v]``.

What the true causes are is written down here and in the catalogue's file of known divergences, and has nothing to do
with how diffexport tells causes: each divergence is put down to one by its stage, kind, mode, runtime and input. It
counts, for each cause that was met, in how many findings its divergences are (the goal is 1, for at least 80 % of
causes), how many there would be if each divergence were a finding of its own, and which findings have divergences of
two causes (the goal is none). The catalogue is run without what is known of it.

Each model is checked in this process, in a few modes, with a fixed seed; all of it takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.table import Table

from diffexport.backends.runtimes import available
from diffexport.explore import Explorer, Settings, applicable, drive
from diffexport.explore.accepted import Accepted
from diffexport.explore.settings import Limits
from diffexport.findings.events import Finding
from diffexport.findings.reports import Tally
from diffexport.findings.reports.descriptions import values
from diffexport.pipeline import Pipeline
from diffexport.subjects import catalogue
from diffexport.subjects.cases import Case, load_known
from diffexport.subjects.targets import resolve
from diffexport.values import Deadline, Kind, Mode

MODES = ("torchscript", "torchscript,dynamic=true", "torchscript,opset=12", "dynamo", "dynamo,dynamic=true")
#: Of the catalogue, what shows its known divergences.
CATALOGUE_MODES = (
    "torchscript",
    "torchscript,dynamic=true",
    "torchscript,opset=7",
    "dynamo,opset=13,dynamic=true",
)
#: Seconds for one model.
SECONDS = 90.0


@dataclass(frozen=True)
class Report:
    """A model from a report.

    Attributes:
        inputs: their specs.
        causes: what is wrong with it: a name, and what the divergences look like that come from it, as a regular
            expression over ``stage kind mode runtime place | input | message``. The first that fits counts.
    """

    inputs: tuple[str, ...]
    causes: Mapping[str, str]


REPORTS = {
    "nms": Report(
        ("float32[N>=1, 4]", "float32[N]"),
        {
            "triu has no conversion below opset 14": "export-error",
            # The second input has the scores.
            "NaN scores are sorted elsewhere": r"\| [^|]*float32\[\d+, 4\], \[[^]|]*nan",
            "Clip without a max turns infinity into a number": r"torchscript.*\| [^|]*inf",
            "a maximum over an axis loses NaN": r"\| [^|]*(nan|inf|e\+)",
        },
    ),
    "mask_index": Report(("float32[N]",), {"an assignment is lost": r"compare"}),
    "lsq": Report(
        ("float32[N]",),
        {
            "no conversion of fake quantisation by dynamo": "export-error dynamo",
            "no conversion of fake quantisation below opset 13": "torchscript,opset=12",
            "the reference evaluator does not saturate": "reference",
        },
    ),
    "one_minus": Report(
        ("float32[N]", "int64[N]"), {"a number less an integer tensor": "export-error dynamo"}
    ),
    "fakequant": Report(
        ("float32[N]",),
        {
            "a guard on data in FakeQuantize": "export-error dynamo",
            "no conversion below opset 13": "export-error torchscript",
            "the reference evaluator does not saturate": "reference",
        },
    ),
    "topk_post": Report(
        ("float32[1, A>=1, 6]",),
        {
            "the branch of the example is baked in": "run-error|shape",
            "ties are in another order": "compare",
        },
    ),
    "qdq": Report(
        ("float32[1, 3, H>=1, W>=1]",),
        {
            "no axis of QuantizeLinear below opset 13": "opset=12",
            "the reference evaluator does not saturate": r"compare value .*reference",
            "NaN becomes a number": "compare nan",
        },
    ),
}
#: Known divergences of the catalogue that are one cause in other words; the others are a cause each.
ONE = (
    (r".*stays-at-opset-18.*", "what converts down to older opsets fails, and the model stays"),
    (r"reduce-max-of-nothing.*", "ReduceMax of nothing keeps the axis"),
    (r"constant-of-a-function-requires-grad.*", "a constant of a Function requires a gradient"),
    (r"unchanged-number-is.*", "a Function that returns a number cannot be exported"),
    (r"clip-(without|below).*", "Clip without a max turns infinity into a number"),
)


def explored(case: Case, modes: Sequence[str], runtimes: Sequence[str]) -> Tally:
    """Return what is found in a case of which nothing is known."""
    pipeline, tally = Pipeline(), Tally()
    limits = Limits(deadline=Deadline(monotonic() + SECONDS), shrink_seconds=SECONDS / 4)
    settings = Settings(examples=12, block=8, limits=limits)
    explorer = Explorer(replace(case, known=()), runtimes, settings, (), pipeline=pipeline)
    for event in drive(
        lambda tell: explorer.explore([Mode.parse(m) for m in modes], tell), deadline=limits.deadline
    ):
        tally.take(event)
    return tally


def in_words(finding: Finding) -> str:
    """Return what the patterns of causes look at."""
    one = finding.divergence
    where = f"{one.stage} {one.kind} {finding.mode} {finding.runtime} {one.where}"
    return f"{where} | {values(finding.inputs)} | {one.message.partition(chr(10))[0]}"


def of_report(report: Report, finding: Finding) -> str:
    """Return the true cause of a divergence of a report."""
    text = in_words(finding)
    return next(
        (name for name, pattern in report.causes.items() if re.search(pattern, text)), f"unknown: {text}"
    )


def of_catalogue(accepted: Accepted, finding: Finding) -> str | None:
    """Return the true cause of a divergence of the catalogue: the known divergence that it is; None if it is none."""
    mode = Mode.parse(finding.mode)
    entry = accepted.entry(mode, finding.runtime, finding.divergence, finding.inputs, finding.export_inputs)
    if entry is None:
        return None
    return next((name for pattern, name in ONE if re.fullmatch(pattern, entry.id)), entry.id)


def subjects(options: argparse.Namespace) -> Iterator[tuple[str, Case, Sequence[str], Report | None]]:
    """Yield what is to be run: a name, the case, the modes, and what is known of a report."""
    for name, report in REPORTS.items() if options.reports else ():
        if not options.only or name in options.only:
            case = resolve(f"{options.reports / name}.py:Model", inputs=report.inputs)
            yield name, case, MODES, report
    if not options.catalogue:
        return
    known = applicable(load_known(catalogue.known_file()))
    # What ends this process is left out.
    fatal = {case for entry in known for case in entry.cases if entry.kind is Kind.CRASH}
    concerned = {case for entry in known for case in entry.cases} - fatal
    for name in catalogue.ENTRIES:
        if name in concerned and (not options.only or name in options.only):
            yield name, catalogue.load(name), CATALOGUE_MODES, None


def measured(options: argparse.Namespace, console: Console) -> tuple[Table, dict[str, object]]:
    """Return a table of causes, and the figures."""
    runtimes = [name for name in available() if name in ("ort-disabled", "ort-all", "reference")]
    known = applicable(load_known(catalogue.known_file()))
    table = Table("model", "cause", "divergences", "findings")
    causes, once, merged, divergences, findings = 0, 0, [], 0, 0
    for name, case, modes, report in subjects(options):
        tally = explored(case, modes, runtimes)
        accepted = Accepted(case, known, Pipeline())
        counts: dict[str, set[str]] = defaultdict(set)
        numbers: dict[str, int] = defaultdict(int)
        for finding in tally.findings:
            true: set[str] = set()
            for one in (finding, *tally.faces_of(finding)):
                cause = of_report(report, one) if report else of_catalogue(accepted, one)
                if cause is not None:
                    true.add(cause)
                    counts[cause].add(finding.identity.digest)
                    numbers[cause] += 1
                if options.verbose:
                    told = finding.cause and finding.cause.what
                    console.print(f"{name}: {cause}: {in_words(one)[:160]} -> {told}", markup=False)
            if len(true) > 1:
                merged.append(f"{name}: {' and '.join(sorted(true))}")
        for cause, found in counts.items():
            causes, once = causes + 1, once + (len(found) == 1)
            divergences, findings = divergences + numbers[cause], findings + len(found)
            table.add_row(name, cause, str(numbers[cause]), str(len(found)))
        console.print(f"{name}: {len(tally.findings)} findings", style="dim")
    figures = {
        "causes": causes,
        "one_finding": once,
        "divergences": divergences,
        "findings": findings,
        "merged": merged,
    }
    return table, figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reports", type=Path, help="folder with the models of reports")
    parser.add_argument("--catalogue", action="store_true", help="run the catalogue, too")
    parser.add_argument("--only", action="append", help="this model alone; may be repeated")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("-v", "--verbose", action="store_true", help="show each divergence")
    options = parser.parse_args(arguments)
    if options.reports is not None and not options.reports.is_dir():
        parser.error(f"--reports {options.reports}: there is no such folder")
    console = Console(soft_wrap=True)
    table, figures = measured(options, console)
    console.print(table)
    causes, once = figures["causes"], figures["one_finding"]
    share = once / causes if causes else 1.0  # type: ignore[operator]
    before = figures["divergences"] / causes if causes else 0.0  # type: ignore[operator]
    now = figures["findings"] / causes if causes else 0.0  # type: ignore[operator]
    console.print(
        f"{causes} causes; {share:.0%} give exactly one finding; {before:.1f} divergences, {now:.1f} findings each"
    )
    for pair in figures["merged"]:  # type: ignore[attr-defined]
        console.print(f"merged: {pair}", markup=False)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(share < 0.8 or bool(figures["merged"]))


if __name__ == "__main__":
    sys.exit(main())
