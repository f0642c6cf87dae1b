"""Checks per second: diffexport against upstream's way, Hypothesis's ``arrays()`` and a loop with nothing around it.

Run by hand: ``python benchmarks/throughput.py [--json FILE] [--seconds S] [--memory N]``. All figures come from one
run, in one process: the contestants take turns for several rounds, each turn is measured in processor time, and
what is shown is the median over the rounds (of a ratio: the median of the rounds' own ratios), so that a machine
that is busy with other things does not favour one of them. One thread for torch and for ONNX Runtime.

- bare loop: inputs drawn beforehand, then eager, ``session.run`` and ``np.allclose`` on each output; nothing else.
- diffexport: ``Explorer`` with the catalogue's known divergences, that is, Hypothesis draws trials and every sample
  is judged. With ``ort-basic`` alone, which is the work of the bare loop, and with every level of ONNX Runtime.
- road alone: ``Road.block`` on blocks of 64 of the same inputs, drawn beforehand: nothing drawn, nothing counted.
- arrays(): a plain ``@given(arrays(float32, array_shapes()))`` test with one session for each rank.
- upstream: torch's own ``verification.verify``, which exports each example.
- dynamo per example: ``torch.onnx.export(dynamo=True)`` and ``torch.onnx.testing.assert_onnx_program``.

A check is one sample compared on one runtime. diffexport's and arrays()'s figures are of the steady state: their
exports and sessions are made before the clock starts. A figure over several models is the mean cost of a check.
"""

import argparse
import contextlib
import json
import statistics
import time
import warnings
from pathlib import Path

import hypothesis
import numpy as np
import onnxruntime
import torch
import torch.onnx.testing
from exports import as_shipped, median_ms
from hypothesis.extra.numpy import array_shapes, arrays

from diffexport import Mode, catalogue
from diffexport.config import PROFILES
from diffexport.engine.events import CaseFailed, Found, ModeFinished
from diffexport.engine.examples import export_shapes, export_variety
from diffexport.engine.explore import Explorer, Settings
from diffexport.engine.run import shipped_for
from diffexport.engine.units import warm_up
from diffexport.expectation import Expected
from diffexport.inputs import array_of, as_call, ordinary_like
from diffexport.road import Road
from diffexport.runtimes import select
from diffexport.strategies import lay_out, trials
from diffexport.strategies.examples import examples

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
#: Hypothesis examples that make the exports before the clock starts, and the most samples in each of them.
WARM_UP, SMALL = 40, 8
#: Most samples that the bare loop takes from one example: it draws nothing, but its inputs have to be there.
SMALL_POOL = 64
#: Examples from which is reckoned how many fill a turn.
TRIED = 6


class Clock:
    """Seconds of processor time and checks of one turn."""

    def __init__(self):
        self.seconds, self.checks = 0.0, 0

    @contextlib.contextmanager
    def running(self):
        started = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - started

    @property
    def cost(self):
        return self.seconds / self.checks


def mean_rate(clocks):
    """Return checks per second when every model gets the same number of checks."""
    return 1 / statistics.fmean(clock.cost for clock in clocks)


def quiet(examples):
    """Settings under which Hypothesis generates and does nothing else."""
    return hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def single_threaded():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


@contextlib.contextmanager
def single_threaded_sessions():
    """Have code that makes its own sessions make them with one thread as well: processor time counts all."""
    shipped, onnxruntime.SessionOptions = onnxruntime.SessionOptions, _options_maker()
    try:
        yield
    finally:
        onnxruntime.SessionOptions = shipped


def _options_maker():
    made = onnxruntime.SessionOptions

    def make():
        options = made()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return options

    return make


def exported_in(mode):
    """Return the catalogue's cases that export in a mode; one that refuses has nothing to compare."""
    return [case for case in catalogue.every() if case.expect(mode, case.traits).expected is Expected.AGREES]


class Ours:
    """diffexport, as ``diffexport run`` does it, for one mode and some runtimes."""

    def __init__(self, road, mode, runtimes, block):
        self.mode, self.runtimes, self.block, self.road = mode, runtimes, block, road
        self.cases = exported_in(mode)
        self.known = {case.name: shipped_for(case.name) for case in self.cases}
        self.found = []
        self.seed = 0
        self.seconds_per_example = {}
        for case in self.cases:
            self.make_exports(case)
            self.explore(case, WARM_UP, SMALL)
            self.seconds_per_example[case.name] = self.explore(case, TRIED).seconds / TRIED

    def make_exports(self, case):
        """Make every export, and load it, that a trial may ask for."""
        for shapes in export_shapes(case.specs, self.mode):
            for flavour, layout, grad in export_variety(self.mode):
                plain = layout == "contiguous" and not grad
                example = tuple(
                    array if plain else lay_out(array, layout, requires_grad=grad)
                    for array in examples(shapes, case.specs, flavour)
                )
                exported = self.road.export(case, self.mode, as_call(example))
                for runtime in self.runtimes if exported.export.model is not None else ():
                    self.road.session(exported, runtime)

    def explore(self, case, number, block=None):
        clock = Clock()
        self.seed += 1
        rows = []

        def take(event):
            if isinstance(event, ModeFinished):
                rows.extend(event.rows)
            elif isinstance(event, Found):
                self.found.append(event.finding)
            elif isinstance(event, CaseFailed):
                raise SystemExit(event.message)

        settings = Settings(examples=number, block=block or self.block, seed=self.seed, shrink=False)
        explorer = Explorer(case, self.runtimes, settings, self.known[case.name], emit=take, road=self.road)
        with clock.running():
            explorer.explore([self.mode])
        clock.checks = sum(row.checks for row in rows)
        return clock

    def turn(self, seconds):
        share = seconds / len(self.cases)
        return [
            self.explore(case, max(TRIED, round(share / self.seconds_per_example[case.name])))
            for case in self.cases
        ]


class Bare:
    """The bare loop, on inputs of the shapes and values that diffexport draws for one mode."""

    def __init__(self, road, mode, block):
        self.pools = [self.pool(road, case, mode, block) for case in exported_in(mode)]

    @staticmethod
    def pool(road, case, mode, block):
        module = road.prepare(case).for_run(False)
        sessions, drawn = {}, []
        explorer = Explorer(
            case, ["ort-basic"], Settings(block=min(block, SMALL_POOL)), emit=lambda _: None, road=road
        )

        @hypothesis.seed(0)
        @quiet(WARM_UP)
        @hypothesis.given(explorer.trials(mode))
        def collect(trial):
            example = as_call(trial.export_inputs)
            exported = road.export(case, mode, example)
            if exported.rejected:
                return  # Two of the models refuse an example that requires a gradient.
            assert exported.export.model is not None, (case.name, mode, exported.refused)
            if exported.digest not in sessions:
                options = single_threaded()
                options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
                sessions[exported.digest] = onnxruntime.InferenceSession(
                    exported.export.model, options, providers=["CPUExecutionProvider"]
                )
            for sample in trial.samples:
                args = tuple(tensor.detach() for tensor in as_call(sample).args)
                feeds = {f"x{number}": array_of(tensor) for number, tensor in enumerate(args)}
                drawn.append((args, feeds, sessions[exported.digest].run))

        collect()
        return module, drawn

    def turn(self, seconds):
        clocks = []
        for module, drawn in self.pools:
            clock, share = Clock(), seconds / len(self.pools)
            while clock.seconds < share:
                with clock.running():
                    for args, feeds, run in drawn:
                        outputs = module(*args)
                        if isinstance(outputs, torch.Tensor):
                            outputs = (outputs,)
                        for eager, got in zip(outputs, run(None, feeds), strict=True):
                            np.allclose(eager.detach().numpy(), got, rtol=1.3e-6, atol=1e-5, equal_nan=True)
                clock.checks += len(drawn)
            clocks.append(clock)
        return clocks


class Alone:
    """The road on blocks of inputs drawn beforehand: what diffexport costs besides drawing and counting."""

    def __init__(self, road, mode, block):
        self.road, self.mode = road, mode
        self.cases = [(case, self.blocks(road, case, mode, block)) for case in exported_in(mode)]

    @staticmethod
    def blocks(road, case, mode, block):
        drawn = []
        explorer = Explorer(
            case, ["ort-basic"], Settings(block=min(block, SMALL_POOL)), emit=lambda _: None, road=road
        )

        @hypothesis.seed(0)
        @quiet(WARM_UP)
        @hypothesis.given(explorer.trials(mode))
        def collect(trial):
            # A block of 64 whatever a trial holds, so that this line says what larger blocks give.
            drawn.append((trial.export_inputs, (trial.samples * 64)[:64]))

        collect()
        return drawn

    def turn(self, seconds):
        clocks = []
        for case, blocks in self.cases:
            clock, share = Clock(), seconds / len(self.cases)
            while clock.seconds < share:
                for export_inputs, samples in blocks:
                    with (
                        clock.running(),
                        self.road.block(
                            case, self.mode, ("ort-basic",), export_inputs=export_inputs
                        ) as check,
                    ):
                        for _ in check.each(samples):
                            clock.checks += 1
            clocks.append(clock)
        return clocks


class Arrays:
    """Hypothesis's own arrays in a plain test; one TorchScript export with dynamic axes for each rank."""

    def __init__(self, road):
        self.mode = Mode("torchscript", dynamic=True)
        self.road, self.cases = road, exported_in(self.mode)
        self.sessions = {}
        self.seed = 0
        self.cost = {case.name: self.explore(case, 2 * WARM_UP).cost for case in self.cases}

    def session(self, case, array):
        if (case.name, array.ndim) not in self.sessions:
            exported = self.road.export(case, self.mode, ordinary_like(as_call((array,))))
            self.sessions[case.name, array.ndim] = onnxruntime.InferenceSession(
                exported.export.model, single_threaded(), providers=["CPUExecutionProvider"]
            )
        return self.sessions[case.name, array.ndim]

    def explore(self, case, examples):
        module = self.road.prepare(case).for_run(False)
        clock = Clock()
        self.seed += 1
        shapes = array_shapes(min_side=3) if case.name == "partial_output" else array_shapes()

        @hypothesis.seed(self.seed)
        @quiet(examples)
        @hypothesis.given(arrays(np.float32, shapes))
        def test(array):
            outputs = module(torch.from_numpy(array))
            if isinstance(outputs, torch.Tensor):
                outputs = (outputs,)
            results = self.session(case, array).run(None, {"x0": array})
            clock.checks += 1
            # A failure would have Hypothesis go and shrink it; here it only has to be computed.
            with contextlib.suppress(AssertionError):
                for eager, got in zip(outputs, results, strict=True):
                    np.testing.assert_allclose(got, eager.numpy(), rtol=1.3e-6, atol=1e-5)

        with clock.running():
            test()
        return clock

    def turn(self, seconds):
        share = seconds / len(self.cases)
        return [self.explore(case, max(10, round(share / self.cost[case.name]))) for case in self.cases]


def small_inputs(case):
    """Return inputs as ``Bare`` has them, for those that take one example after the other."""
    drawn = []

    @hypothesis.seed(0)
    @quiet(WARM_UP)
    @hypothesis.given(trials(case.inputs, dynamic=True, max_samples=1))
    def collect(trial):
        drawn.append(as_call(trial.samples[0]).args)

    collect()
    return drawn


class Upstream:
    """What PyTorch's ``run_model_test`` calls, with its options, once for each example."""

    def __init__(self, road):
        try:
            # Private since torch 2.9; before, it was torch.onnx.verification. Checked on torch 2.13.0.
            from torch.onnx._internal.torchscript_exporter import verification  # noqa: TID251

            self.verify = verification.verify
        except (ImportError, AttributeError) as error:
            raise SystemExit(
                f"torch {torch.__version__} has no torch.onnx._internal.torchscript_exporter.verification.verify "
                f"to compare with any more (checked on torch 2.13.0): {error}"
            ) from None
        self.cases = [
            (road.prepare(case).for_run(False), small_inputs(case))
            for case in exported_in(Mode("torchscript"))
        ]
        self.position = 0
        self.turn(0.0)

    def turn(self, seconds):
        clocks = []
        with single_threaded_sessions():
            for module, inputs in self.cases:
                clock = Clock()
                while clock.checks < 2 or clock.seconds < seconds / len(self.cases):
                    self.position += 1
                    args = inputs[self.position % len(inputs)]
                    with clock.running(), contextlib.suppress(AssertionError):
                        self.verify(
                            module,
                            args,
                            opset_version=20,
                            do_constant_folding=True,
                            keep_initializers_as_inputs=False,
                        )
                    clock.checks += 1
                clocks.append(clock)
        return clocks


class PerExample:
    """An export by the dynamo exporter as shipped and torch's own assertion, one example a turn."""

    def __init__(self, road):
        self.cases = [
            (road.prepare(case).for_run(False), small_inputs(case)) for case in exported_in(Mode("dynamo"))
        ]
        self.position = 0
        self.turn(0.0)

    def turn(self, _seconds):
        module, inputs = self.cases[self.position % len(self.cases)]
        # An ordinary one; some shapes of the others are refused.
        args = max(inputs, key=lambda args: args[0].numel())
        self.position += 1
        clock = Clock()
        with clock.running(), single_threaded_sessions(), contextlib.suppress(AssertionError):
            program = torch.onnx.export(module, args, dynamo=True, verbose=False)
            torch.onnx.testing.assert_onnx_program(program)
        clock.checks = 1
        return [clock]


def measure(options):
    road = Road(exports=4096, sessions=4096)
    levels = select(["ort"])
    contestants = {}
    for exporter in options.exporters:
        for dynamic in (False, True):
            mode = Mode(exporter, dynamic=dynamic)
            kind = f"{exporter} {'dynamic' if dynamic else 'static'}"
            contestants[f"diffexport {kind}"] = Ours(road, mode, ("ort-basic",), options.block)
            contestants[f"bare loop {kind}"] = Bare(road, mode, options.block)
            contestants[f"road alone {kind}"] = Alone(road, mode, options.block)
            contestants[f"diffexport {kind}, {len(levels)} levels"] = Ours(road, mode, levels, options.block)
    contestants["arrays()"] = Arrays(road)
    contestants["upstream verify"] = Upstream(road)
    contestants["dynamo per example"] = PerExample(road)
    made = len(road._exports)
    share = options.seconds / ROUNDS / len(contestants)
    rates = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            rates[name].append(mean_rate(contestant.turn(share)))
    for contestant in contestants.values():
        for finding in getattr(contestant, "found", ()):
            print(f"found while measuring: {finding.mode}: {finding.divergence.message}")
    return rates, len(road._exports) - made, levels


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


def memory(options):
    """Check N samples in this process and watch its memory."""
    road = Road()
    modes = [Mode("torchscript", dynamic=True), Mode("torchscript")]
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        contestants = [Ours(road, mode, ("ort-basic",), options.block) for mode in modes]
    checks, shown, settled = 0, 0, None
    step = max(options.memory // 20, 1)
    print(f"\nmemory, torchscript dynamic and static in turn over {len(contestants[0].cases)} models:")
    while checks < options.memory:
        for contestant in contestants:
            for case in contestant.cases:
                checks += contestant.explore(case, 100).checks
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
    parser.add_argument("--seconds", type=float, default=120.0, help="processor time that is measured")
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
        figures["memory"] = memory(options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
