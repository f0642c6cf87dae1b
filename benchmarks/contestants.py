"""What throughput.py compares: diffexport, the bare loop, the pipeline alone, ``arrays()`` and upstream's two ways.

Each contestant has ``turn(seconds)``, which works for about that much processor time and returns a ``Clock`` for
each model.
"""

import contextlib
import statistics
import time

import hypothesis
import numpy as np
import onnxruntime
import torch
import torch.onnx.testing
from hypothesis.extra.numpy import array_shapes, arrays

from diffexport import Mode
from diffexport.arrays.inputs import array_of, as_call
from diffexport.explore.explorer import Explorer
from diffexport.explore.export_examples import export_shapes, export_variety
from diffexport.explore.run_plan import shipped_for
from diffexport.explore.settings import Settings
from diffexport.findings.events.events import CaseFailed, FindingMade, ModeFinished
from diffexport.strategies import lay_out, ordinary_like, trials
from diffexport.strategies.example_inputs import examples
from diffexport.subjects import catalogue
from diffexport.subjects.cases.expectation import Expected

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
    return [
        case
        for case in catalogue.every(catalogue.MAIN_JOB)
        if case.expect(mode, case.traits).expected is Expected.AGREES
    ]


class Ours:
    """diffexport, as ``diffexport run`` does it, for one mode and some runtimes."""

    def __init__(self, pipeline, mode, runtimes, block):
        self.mode, self.runtimes, self.block, self.pipeline = mode, runtimes, block, pipeline
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
                exported = self.pipeline.export(case, self.mode, as_call(example))
                for runtime in self.runtimes if exported.export.model is not None else ():
                    self.pipeline.session(exported, runtime)

    def explore(self, case, number, block=None):
        clock = Clock()
        self.seed += 1
        rows = []

        settings = Settings(examples=number, block=block or self.block, seed=self.seed, shrink=False)
        explorer = Explorer(case, self.runtimes, settings, self.known[case.name], pipeline=self.pipeline)
        with clock.running():
            events = list(explorer.explore([self.mode]))
        for event in events:
            if isinstance(event, ModeFinished):
                rows.extend(event.rows)
            elif isinstance(event, FindingMade):
                self.found.append(event.finding)
            elif isinstance(event, CaseFailed):
                raise SystemExit(event.message)
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

    def __init__(self, pipeline, mode, block):
        self.pools = [self.pool(pipeline, case, mode, block) for case in exported_in(mode)]

    @staticmethod
    def pool(pipeline, case, mode, block):
        module = pipeline.prepare(case).for_run(False)
        sessions, drawn = {}, []
        explorer = Explorer(case, ["ort-basic"], Settings(block=min(block, SMALL_POOL)), pipeline=pipeline)

        @hypothesis.seed(0)
        @quiet(WARM_UP)
        @hypothesis.given(explorer.drawing.trials(mode))
        def collect(trial):
            example = as_call(trial.export_inputs)
            exported = pipeline.export(case, mode, example)
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
    """The pipeline on blocks of inputs drawn beforehand: what diffexport costs besides drawing and counting."""

    def __init__(self, pipeline, mode, block):
        self.pipeline, self.mode = pipeline, mode
        self.cases = [(case, self.blocks(pipeline, case, mode, block)) for case in exported_in(mode)]

    @staticmethod
    def blocks(pipeline, case, mode, block):
        drawn = []
        explorer = Explorer(case, ["ort-basic"], Settings(block=min(block, SMALL_POOL)), pipeline=pipeline)

        @hypothesis.seed(0)
        @quiet(WARM_UP)
        @hypothesis.given(explorer.drawing.trials(mode))
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
                        self.pipeline.block(
                            case, self.mode, ("ort-basic",), export_inputs=export_inputs
                        ) as check,
                    ):
                        for _ in check.each(samples):
                            clock.checks += 1
            clocks.append(clock)
        return clocks


class Arrays:
    """Hypothesis's own arrays in a plain test; one TorchScript export with dynamic axes for each rank."""

    def __init__(self, pipeline):
        self.mode = Mode("torchscript", dynamic=True)
        self.pipeline, self.cases = pipeline, exported_in(self.mode)
        self.sessions = {}
        self.seed = 0
        self.cost = {case.name: self.explore(case, 2 * WARM_UP).cost for case in self.cases}

    def session(self, case, array):
        if (case.name, array.ndim) not in self.sessions:
            exported = self.pipeline.export(case, self.mode, ordinary_like(as_call((array,))))
            self.sessions[case.name, array.ndim] = onnxruntime.InferenceSession(
                exported.export.model, single_threaded(), providers=["CPUExecutionProvider"]
            )
        return self.sessions[case.name, array.ndim]

    def explore(self, case, examples):
        module = self.pipeline.prepare(case).for_run(False)
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

    def __init__(self, pipeline):
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
            (pipeline.prepare(case).for_run(False), small_inputs(case))
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

    def __init__(self, pipeline):
        self.cases = [
            (pipeline.prepare(case).for_run(False), small_inputs(case))
            for case in exported_in(Mode("dynamo"))
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
