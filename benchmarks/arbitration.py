"""How often the oracle arbitrates in a run of the catalogue, and what share of its time that takes.

python benchmarks/arbitration.py [--examples N] [CASE…]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from diffexport import oracle
from diffexport.faces.api.checking import check
from diffexport.subjects import catalogue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--examples", type=int, default=None, help="for each mode; by default as in `run`")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args()
    spent = 0.0
    judge = oracle.RoundingCheck.judge

    def timed(arbiter: oracle.RoundingCheck, got: Sequence[Any]) -> oracle.ComparisonResult:
        nonlocal spent
        started = time.perf_counter()
        judgement = judge(arbiter, got)
        spent += time.perf_counter() - started
        return judgement

    oracle.RoundingCheck.judge = timed  # type: ignore[method-assign]
    print(
        f"{'case':<28}{'checks':>9}{'arbitrated':>12}{'excused':>9}{'seconds':>9}{'of which':>10}{'share':>8}"
    )
    for name in options.cases or catalogue.expand([catalogue.MAIN_JOB]):
        spent = 0.0
        started = time.perf_counter()
        result = check(catalogue.load(name), examples=options.examples)
        seconds = time.perf_counter() - started
        rows = [row for event in result.modes for row in event.rows]
        checks, arbitrated, excused = (
            sum(getattr(row, field) for row in rows) for field in ("checks", "arbitrated", "excused")
        )
        print(
            f"{name:<28}{checks:>9,}{arbitrated:>12,}{excused:>9,}{seconds:>9.1f}{spent:>10.2f}{spent / seconds:>8.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
