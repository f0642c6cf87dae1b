"""Checks per second: diffexport against upstream's way, Hypothesis's ``arrays()`` and a loop with nothing around it.

Run by hand: ``python benchmarks/throughput.py [--json FILE] [--seconds S] [--memory N]``. All figures come from one
run, in one process: the contestants take turns for several rounds, each turn is measured in processor time, and
what is shown is the median over the rounds (of a ratio: the median of the rounds' own ratios), so that a machine
that is busy with other things does not favour one of them. One thread for torch and for ONNX Runtime.

- bare loop: inputs drawn beforehand, then eager, ``session.run`` and ``np.allclose`` on each output; nothing else.
- diffexport: ``Explorer`` with the catalogue's known divergences, that is, Hypothesis draws trials and every sample
  is judged. With ``ort-basic`` alone, which is the work of the bare loop, and with every level of ONNX Runtime.
- pipeline alone: ``Pipeline.block`` on blocks of 64 of the same inputs, drawn beforehand: nothing is drawn or counted.
- arrays(): a plain ``@given(arrays(float32, array_shapes()))`` test with one session for each rank.
- upstream: torch's own ``verification.verify``, which exports each example.
- dynamo per example: ``torch.onnx.export(dynamo=True)`` and ``torch.onnx.testing.assert_onnx_program``.

A check is one sample compared on one runtime. diffexport's and arrays()'s figures are of the steady state: their
exports and sessions are made before the clock starts. A figure over several models is the mean cost of a check.
"""

import argparse
import json
import multiprocessing
import statistics
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from contestants import Alone, Arrays, Bare, Ours, PerExample, Upstream, mean_rate
from exports import as_shipped, median_ms

from diffexport import Mode
from diffexport.backends.runtimes import select
from diffexport.config import PROFILES
from diffexport.explore.units import warm_up
from diffexport.pipeline import Pipeline
from diffexport.subjects import catalogue

EXPORTERS = ("torchscript", "dynamo", "dynamo-strict")
ROUNDS = 5
GOALS = {
    "of_bare_loop": 0.6,
    "over_arrays": 15,
    "over_upstream": 50,
    "over_dynamo_per_example": 5000,
    "dynamo_export_speedup": 5,
}
MEMORY_GOAL = 0.05
#: Checks after which memory is expected not to grow any more.
SETTLED = 50_000


def measure(options):
    pipeline = Pipeline(exports=4096, sessions=4096)
    levels = select(["ort"])
    contestants = {}
    for exporter in options.exporters:
        for dynamic in (False, True):
            mode = Mode(exporter, dynamic=dynamic)
            kind = f"{exporter} {'dynamic' if dynamic else 'static'}"
            contestants[f"diffexport {kind}"] = Ours(pipeline, mode, ("ort-basic",), options.block)
            contestants[f"bare loop {kind}"] = Bare(pipeline, mode, options.block)
            contestants[f"pipeline alone {kind}"] = Alone(pipeline, mode, options.block)
            contestants[f"diffexport {kind}, {len(levels)} levels"] = Ours(
                pipeline, mode, levels, options.block
            )
    contestants["arrays()"] = Arrays(pipeline)
    contestants["upstream verify"] = Upstream(pipeline)
    contestants["dynamo per example"] = PerExample(pipeline)
    made = len(pipeline.stages.exports)
    share = options.seconds / ROUNDS / len(contestants)
    rates = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            rates[name].append(mean_rate(contestant.turn(share)))
    for contestant in contestants.values():
        for finding in getattr(contestant, "found", ()):
            print(f"found while measuring: {finding.mode}: {finding.divergence.message}")
    return rates, len(pipeline.stages.exports) - made, levels


def ratio(rates, one, other):
    """Return the median over the rounds of what one contestant makes of the other's rate."""
    return statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True))


def least(rates, other, exporters):
    return min(ratio(rates, f"diffexport {exporter} dynamic", other) for exporter in exporters)


def export_speedup():
    """Return what one dynamo export gains from reused tables; see exports.py."""
    module, mode = catalogue.load("clamp").build(), Mode("dynamo")
    reused = median_ms(module, mode, 7)
    with as_shipped():
        shipped = median_ms(module, mode, 3)
    return shipped / reused


def resident():
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def memory(checks, block):
    """Check N samples in a process of their own and watch its memory.

    In that of the contestants, the pieces that they leave behind are filled again first, which looks like growth.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(watched, checks, block).result()


def watched(wanted, block):
    """Check that many samples and say how the memory of this process grew."""
    warm_up()
    warnings.simplefilter("ignore")
    pipeline = Pipeline()
    modes = [Mode("torchscript", dynamic=True), Mode("torchscript")]
    contestants = [Ours(pipeline, mode, ("ort-basic",), block) for mode in modes]
    checks, shown, settled = 0, 0, None
    step = max(wanted // 20, 1)
    print(f"\nmemory, torchscript dynamic and static in turn over {len(contestants[0].cases)} models:")
    while checks < wanted:
        for contestant in contestants:
            for case in contestant.cases:
                checks += contestant.explore(case, 20).checks
                if settled is None and checks >= SETTLED:
                    settled = resident()
        if checks >= shown + step:
            shown = checks
            print(f"  {checks:>10,} checks {resident() / 2**20:8.1f} MiB", flush=True)
    end = resident()
    growth = None if settled is None else end / settled - 1
    if growth is None:
        print(f"  fewer than {SETTLED:,} checks: no growth to report")
    else:
        print(f"  growth after the first {SETTLED:,}: {growth:.2%} (goal: less than {MEMORY_GOAL:.0%})")
    return {"checks": checks, "rss_after_50k": settled, "rss_end": end, "growth": growth}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--seconds",
        type=float,
        default=400.0,
        help="processor time that is measured; below 200, what a run costs to start counts",
    )
    parser.add_argument(
        "--block", type=int, default=PROFILES["nightly"].block_for(1), help="most samples in an example"
    )
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="checks to watch memory for")
    parser.add_argument("--exporters", nargs="+", choices=EXPORTERS, default=EXPORTERS)
    options = parser.parse_args()
    warm_up()
    warnings.simplefilter("ignore")
    rates, made, levels = measure(options)
    print(
        f"checks per second of processor time, medians of {ROUNDS} rounds, blocks of up to {options.block};\n"
        f"exports and sessions were made before the clock started ({made} while it ran)\n"
    )
    for name, values in rates.items():
        spread = f"{min(values):,.1f} to {max(values):,.1f}"
        print(f"{name:<44} {statistics.median(values):>10,.1f}   ({spread})")
    detail = {
        f"{exporter} {kind}": ratio(rates, f"diffexport {exporter} {kind}", f"bare loop {exporter} {kind}")
        for exporter in options.exporters
        for kind in ("dynamic", "static")
    }
    print("\ndiffexport of the bare loop, one runtime")
    for name, value in detail.items():
        print(f"  {name:<30} {value:.2f}")
    ratios = {
        "of_bare_loop": min(detail[f"{exporter} dynamic"] for exporter in options.exporters),
        "over_arrays": least(rates, "arrays()", options.exporters),
        "over_upstream": least(rates, "upstream verify", options.exporters),
        "over_dynamo_per_example": least(rates, "dynamo per example", options.exporters),
        "dynamo_export_speedup": export_speedup(),
    }
    print("\nratios: the slowest exporter with dynamic axes, one runtime")
    for name, value in ratios.items():
        met = "" if value >= GOALS[name] else "   MISSED"
        print(f"  {name:<30} {value:>10,.2f}   goal at least {GOALS[name]:,}{met}")
    figures = {
        "seconds": options.seconds,
        "rounds": ROUNDS,
        "block": options.block,
        "levels": list(levels),
        "exports_while_measured": made,
        "checks_per_second": {name: statistics.median(values) for name, values in rates.items()},
        "of_bare_loop": detail,
        "ratios": ratios,
        "goals": GOALS,
    }
    if options.memory:
        figures["memory"] = memory(options.memory, options.block)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
