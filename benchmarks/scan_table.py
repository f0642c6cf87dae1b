"""What scans of packages came to: a table in Markdown, the share of inferred inputs, seconds for a Function.

    diffexport scan PACKAGE --json PACKAGE.json   # for each
    python benchmarks/scan_table.py *.json

The share is of those Functions that run on a CPU: left out are those without a forward of their own, those that could
not be had, and those that need a process group, CUDA, a native extension or a module that is not installed.
"""

import argparse
import json
import statistics
from collections import Counter
from pathlib import Path

#: Statuses of Functions that do not run here whatever they are called with.
ELSEWHERE = {
    "abstract", "local", "absent", "import-error", "distributed", "needs-cuda", "needs-native", "needs-module",
}  # fmt: skip


def row(name, functions):
    statuses = Counter(own["status"] for own in functions)
    here = [own for own in functions if own["status"] not in ELSEWHERE]
    inferred = sum(own["inferred"] for own in here)
    seconds = [own["seconds"] for own in functions if own["modes"]]
    counts = Counter()
    for own in functions:
        for verdicts in own["exporters"].values():
            counts.update(verdicts)
    return [
        name,
        str(len(functions)),
        f"{inferred} of {len(here)}",
        ", ".join(f"{count} {status}" for status, count in statuses.most_common()),
        ", ".join(
            f"{counts[verdict]} {verdict}" for verdict in ("agrees", "refused", "diverges") if counts[verdict]
        ),
        f"{statistics.median(seconds):.1f}" if seconds else "",
        f"{max(seconds):.1f}" if seconds else "",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", type=Path)
    reports = {path.stem: json.loads(path.read_text())["functions"] for path in parser.parse_args().reports}
    titles = ["package", "Functions", "inferred", "status", "modes", "median s", "most s"]
    print("| " + " | ".join(titles) + " |\n" + "| --- " * len(titles) + "|")
    for name, functions in reports.items():
        print("| " + " | ".join(row(name, functions)) + " |")
    everything = [own for functions in reports.values() for own in functions]
    print("| " + " | ".join(row("all", everything)) + " |")
    here = [own for own in everything if own["status"] not in ELSEWHERE]
    share = sum(own["inferred"] for own in here) / len(here)
    print(f"\ninferred without help: {share:.0%} (goal: 80 %)")


if __name__ == "__main__":
    main()
