"""What one export costs: each exporter, and the dynamo exporters as shipped against with reused tables.

Run by hand: ``python benchmarks/exports.py [--rounds N] [--json FILE]``. All figures come from one run, as medians of
processor time, so that they can be compared with each other on a busy machine.
"""

import argparse
import contextlib
import copy
import json
import statistics
import time
from pathlib import Path

import torch

from diffexport import Mode
from diffexport.backends import exporters
from diffexport.pytorch import dynamo
from diffexport.subjects import catalogue


@contextlib.contextmanager
def as_shipped():
    reused, dynamo.reused_tables = dynamo.reused_tables, contextlib.nullcontext
    try:
        yield
    finally:
        dynamo.reused_tables = reused


def median_ms(module, mode, rounds):
    times = []
    for _ in range(rounds + 1):
        fresh = copy.deepcopy(module)
        started = time.process_time()
        export = exporters.export(fresh, (torch.ones(2, 3),), mode)
        times.append((time.process_time() - started) * 1e3)
        assert export.model is not None, export.failure
    return statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    module = catalogue.load("clamp").build()
    figures = {}
    for text in (
        "torchscript",
        "dynamo",
        "dynamo,dynamic=true",
        "dynamo-strict",
        "dynamo-strict,dynamic=true",
    ):
        mode = Mode.parse(text)
        figures[text] = {"ms": median_ms(module, mode, options.rounds)}
        if mode.exporter != "torchscript":
            with as_shipped():
                figures[text]["shipped_ms"] = median_ms(module, mode, max(2, options.rounds // 2))
            figures[text]["ratio"] = figures[text]["shipped_ms"] / figures[text]["ms"]
    for text, figure in figures.items():
        shipped = (
            f"   as shipped {figure['shipped_ms']:7.1f} ms, ratio {figure['ratio']:.1f}"
            if "ratio" in figure
            else ""
        )
        print(f"{text:<28} {figure['ms']:7.1f} ms{shipped}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
