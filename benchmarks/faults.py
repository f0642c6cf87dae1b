"""Faults injected into runs whose findings are known: what is lost, hangs, or is claimed without having been tested.

    python benchmarks/faults.py [--count 1000] [--seed N] [--jobs N] [--json FILE [--resume]] [--only KIND[:NUMBER]…]
    python benchmarks/faults.py --list

First the project of fault_injection/victims.py is run once without being disturbed: three findings, the same each
time. Then faults of every kind are injected into such runs, and into ``replay``, ``show`` and ``compare`` of what they
leave. Linux only. Where it may mount (as root), full and read-only disks are small file systems in memory; where it may
not, these trials count as missed. With the same seed the same faults are injected at the same events; ``--only`` with
the number of a trial repeats that one alone. ``--json`` is written after each trial, so that a campaign that was ended
can be resumed; Ctrl-C shows what there is.

A row for each kind of fault; the goal is 0 in every column but the first:

- injected: faults that took place. What was meant to happen after the run was over is not counted.
- findings lost: findings of the undisturbed run that are not stored when the run has ended (where it was itself ended
  from outside: when it was resumed and has ended), or are not in its report. Where the folder of the findings cannot be
  written, the report is enough. In ``replay``: files without a verdict, good ones with another verdict than theirs.
- doubled: one failure stored in two files, twice in one report, or two verdicts on one file.
- false: findings that the undisturbed run does not have, such as a crash that was a kill from outside, and models of
  the project that are said to be untestable. A hostile model may have findings of its own, of the kind it asks for.
- torn files: stored findings that cannot be read or hold parts of two, files that belong to no finding (after the
  run, or after it was resumed), reports that are missing or not whole, devices and links that were replaced.
- tracebacks: in what was printed.
- hangs: commands that did not end within a limit, and processes of theirs that are still there ten seconds after them.
- exit codes that lie: another one than what happened asks for (0 all as expected, 1 findings, 2 wrong use or nothing
  testable, 130 interrupted), one that its report contradicts, and runs that say nothing of a mode they were asked for.

Exits with 1 where a column is not 0, with 130 where it was interrupted.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from fault_injection import (  # noqa: F401 - each registers its kinds
    configuration,
    disks,
    models,
    odd_models,
    onnx_files,
    other_commands,
    signals,
    stored_files,
    terminals,
)
from fault_injection.counting import COLUMNS, Record
from fault_injection.table import document, rows, show
from fault_injection.trial import KINDS, FaultKind, Undisturbed, carry_out
from fault_injection.undisturbed import run_undisturbed
from rich.console import Console

#: Seconds that a command may take beyond many times what it takes undisturbed.
_PATIENCE = 90.0


def planned(count: int, only: Sequence[str], seed: int) -> list[tuple[FaultKind, int]]:
    """Return the trials that inject about so many faults, in an order that mixes the kinds.

    Raises:
        ValueError: there is no kind of that name.
    """
    single = [name.partition(":") for name in only]
    for name, _, number in single:
        if name not in KINDS or (number and not number.isdigit()):
            raise ValueError(f"unknown kind {name!r}; --list shows which there are")
    if any(number for _, _, number in single):
        return [(KINDS[name], int(number or 0)) for name, _, number in single]
    kinds = [KINDS[name] for name, _, _ in single] or list(KINDS.values())
    total = sum(kind.share for kind in kinds)
    trials = []
    for kind in kinds:
        faults = count * kind.share / total
        trials += [(kind, number) for number in range(max(1, math.ceil(faults / kind.each)))]
    random.Random(seed).shuffle(trials)
    if sum(kind.each for kind, _ in trials) > count + max(kind.each for kind in kinds):
        # Fewer faults than kinds: the first ones in this order.
        sums = itertools.accumulate(kind.each for kind, _ in trials)
        trials = [trial for trial, sum_ in zip(trials, sums, strict=True) if sum_ - trial[0].each < count]
    return trials


class Campaign:
    """A campaign: trials that are done, and where they are kept."""

    def __init__(self, options: argparse.Namespace, undisturbed: Undisturbed, console: Console) -> None:
        self._options, self._undisturbed, self._console = options, undisturbed, console
        self._stop = threading.Event()
        self.interrupted = False
        self.records: list[Record] = []

    def carry_out(self, trials: Iterable[tuple[FaultKind, int]]) -> None:
        """Carry out trials; after Ctrl-C no more are begun."""
        done = {record.name for record in self.records}
        waiting = [trial for trial in trials if f"{trial[0].name}:{trial[1]}" not in done]
        injected = sum(record.injected for record in self.records)
        with concurrent.futures.ThreadPoolExecutor(self._options.jobs) as pool:
            futures = [pool.submit(self._one, kind, number) for kind, number in waiting]
            try:
                for future in concurrent.futures.as_completed(futures):
                    injected += self._take(future, injected, len(waiting))
            except KeyboardInterrupt:
                self.interrupted = True
                self._console.print("interrupted; the trials that are on their way are waited for")
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                for future in futures:
                    if not future.cancelled():
                        injected += self._take(future, injected, len(waiting))

    def _take(self, future: concurrent.futures.Future[Record | None], injected: int, number: int) -> int:
        """Keep the record of a trial that is done; return how many faults it injected, 0 if it is kept already."""
        record = future.result()
        if record is None or record in self.records:
            return 0
        self.records.append(record)
        self._say(record, injected + record.injected, number)
        self._write()
        return record.injected

    def _one(self, kind: FaultKind, number: int) -> Record | None:
        if self._stop.is_set():
            return None
        options = self._options
        limit = options.limit or _PATIENCE + 6 * self._undisturbed.seconds
        return carry_out(kind, number, options.seed, self._undisturbed, limit, options.keep)

    def _say(self, record: Record, injected: int, number: int) -> None:
        wrong = ", ".join(f"{COLUMNS[key]} {value}" for key, value in record.counts.items() if value)
        place = f"{len(self.records)} of {number} trials, {injected} faults"
        text = f"{place}  {record.name}: {record.injected} injected in {record.seconds:.0f} s  {wrong}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        failed = any(remark.startswith("the campaign failed") for remark in record.remarks)
        if wrong or failed or self._options.verbose:
            remarks = sorted(record.remarks, key=lambda remark: remark.startswith("injected"))
            for remark in remarks[: None if self._options.verbose else 12]:
                self._console.print(f"    {remark}", markup=False, highlight=False, soft_wrap=True)
            if record.folder:
                self._console.print(f"    kept in {record.folder}", markup=False, soft_wrap=True)

    def _write(self) -> None:
        file = self._options.json
        if file is not None:
            text = json.dumps(document(self.records, list(KINDS), seed=self._options.seed), indent=1)
            temporary = file.with_name(f".{file.name}.part")
            temporary.write_text(text + "\n", encoding="utf-8", errors="replace")
            os.replace(temporary, file)

    def read(self, file: Path) -> None:
        """Take up the trials that an earlier campaign has done."""
        earlier = json.loads(file.read_text(encoding="utf-8"))
        if earlier["seed"] != self._options.seed:
            sys.exit(f"{file} is of a campaign with the seed {earlier['seed']}")
        self.records = [Record.of(one) for one in earlier["trials"]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000, help="faults, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="trials at the same time")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KIND[:NUMBER]", help="may be repeated"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--resume", action="store_true", help="leave out what --json already has")
    parser.add_argument("--limit", type=float, default=0, help="seconds after which a command hangs")
    parser.add_argument("--keep", action="store_true", help="keep the folders of trials that show something")
    parser.add_argument("--verbose", action="store_true", help="show what was injected")
    parser.add_argument("--list", action="store_true", help="list the kinds of faults")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    if options.list:
        for kind in KINDS.values():
            print(f"{kind.name:<22}{kind.share:>4}  {kind.summary}")
        return 0
    try:
        trials = planned(options.count, options.only, options.seed)
    except ValueError as error:
        parser.error(str(error))
    # Also where it was started in the background, where Ctrl-C is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-undisturbed-") as folder:
        undisturbed = run_undisturbed(Path(folder).resolve())
    console.print(
        f"undisturbed: {len(undisturbed.findings)} findings in {undisturbed.seconds:.1f} s; "
        f"{len(trials)} trials of {len({kind.name for kind, _ in trials})} kinds, seed {options.seed}"
    )
    campaign = Campaign(options, undisturbed, console)
    if options.resume and options.json is not None and options.json.exists():
        campaign.read(options.json)
    campaign.carry_out(trials)
    table = rows(campaign.records, list(KINDS))
    show(console, table)
    failed = [
        record.name for record in campaign.records if any("campaign failed" in r for r in record.remarks)
    ]
    if failed:
        console.print(f"trials that the campaign itself could not carry out: {', '.join(failed)}")
    console.print(f"{time.monotonic() - started:.0f} s")
    if campaign.interrupted:
        return 130
    return 1 if failed or any(counts[key] for counts in table.values() for key in COLUMNS) else 0


if __name__ == "__main__":
    sys.exit(main())
