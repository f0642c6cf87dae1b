"""From a case, a mode, a runtime and inputs to a verdict: the stages put together."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torch.nn import Module

from diffexport.arrays import as_call, clone
from diffexport.backends import runtimes
from diffexport.backends.exporters import Export
from diffexport.backends.model_files import Artefact
from diffexport.oracle import Rerun
from diffexport.pipeline.eager import EagerResult, Prepared
from diffexport.pipeline.eager_models import EagerModels
from diffexport.pipeline.exports import Exported, FreshExports
from diffexport.pipeline.fatal_checks import CheckWatch
from diffexport.pipeline.given_export import GivenExport
from diffexport.pipeline.output_comparison import Arbitration
from diffexport.pipeline.runtime_feeds import Feed, RuntimeFeeds, as_declared
from diffexport.pipeline.sample_block import Block, Question, Stages
from diffexport.pipeline.session_loading import CachingLoader, OrderingLoader
from diffexport.subjects.cases import Case, Expectation
from diffexport.values import NO_DEADLINE, Call, Deadline, Inputs, Kind, Mode, Verdict


class Pipeline:
    """Exports, runs and compares; exports, graphs, sessions and judgements are remembered while it is kept.

    Args:
        exports, sessions: how many of each to remember.
        stages: what it is composed of; by default models are exported afresh.

    Attributes:
        stages: what it is composed of.
        watch: knows which checks are not to be made, and announces the others; None in an ordinary run.
        blocks: how many blocks were begun: one for each Hypothesis example, and for each single check.
    """

    def __init__(self, *, exports: int = 2048, sessions: int = 512, stages: Stages | None = None) -> None:
        self.stages = stages or fresh_stages(exports=exports, sessions=sessions)
        self.blocks = 0
        self.watch: CheckWatch | None = None

    @classmethod
    def of_file(cls, artefact: Artefact, *, beside: Pipeline | None = None) -> Pipeline:
        """Return a pipeline with a given model in place of each export.

        Args:
            artefact: the model.
            beside: another pipeline, whose modules are used so that they are built once.
        """
        eager = EagerModels(sharing=None if beside is None else beside.stages.eager)
        loader = OrderingLoader(CachingLoader(16), artefact.outputs)
        return cls(stages=Stages(eager, GivenExport(artefact), loader, Arbitration(eager, 1)))

    def check(
        self,
        case: Case,
        mode: Mode,
        runtime: str,
        inputs: Inputs,
        *,
        export_inputs: Inputs | None = None,
        strict: bool = False,
        deadline: Deadline = NO_DEADLINE,
    ) -> Verdict:
        """Export ``case`` in ``mode``, run it on ``runtime`` and compare with eager.

        Args:
            case: the model under test.
            mode: how to export it.
            runtime: one of [diffexport.backends.runtimes.RUNTIMES][].
            inputs: what to run on: a tuple of positional arguments or a [Call][diffexport.Call], holding
                tensors or numpy arrays, nested or not, and other values.
            export_inputs: what to export with; by default ordinary values of the same shapes and dtypes.
            strict: let the sign of zero fail.
            deadline: is asked between the stages.

        Raises:
            UnknownNameError: there is no such runtime.
            TargetError: the case does not build a module.
            DeadlinePassed: the deadline is over.
        """
        return self.check_runtimes(
            case, mode, (runtime,), inputs, export_inputs=export_inputs, strict=strict, deadline=deadline
        )[0]

    def check_runtimes(
        self,
        case: Case,
        mode: Mode,
        names: Sequence[str],
        inputs: Inputs,
        *,
        export_inputs: Inputs | None = None,
        strict: bool = False,
        repeat: bool = True,
        deadline: Deadline = NO_DEADLINE,
    ) -> list[Verdict]:
        """Return one verdict for each runtime; see [check][] for the arguments, and [export][] for ``repeat``."""
        with self.block(
            case,
            mode,
            names,
            export_inputs=export_inputs,
            strict=strict,
            repeat=repeat,
            deadline=deadline,
        ) as check:
            return check(inputs)

    @contextlib.contextmanager
    def block(
        self,
        case: Case,
        mode: Mode,
        names: Sequence[str],
        *,
        export_inputs: Inputs | None = None,
        strict: bool = False,
        repeat: bool = True,
        settled: Callable[[Inputs, Sequence[Verdict]], bool] | None = None,
        deadline: Deadline = NO_DEADLINE,
    ) -> Iterator[Block]:
        """Check many inputs against one export: yields what [check_runtimes][] is, for the inputs alone.

        ``settled`` is asked about each sample and the verdicts on it before arbitration; where it says yes, they
        stand.

        Raises:
            DeadlinePassed: the deadline is over; now, or between the stages of the block.
        """
        self.blocks += 1
        deadline.check()
        example = None if export_inputs is None else as_call(export_inputs)
        question = Question(case, mode, names, example, strict, repeat, settled, deadline, self.watch)
        with warnings.catch_warnings():
            # What the model and the runtimes warn about while running is not the user's to act on.
            warnings.simplefilter("ignore")
            yield Block(self.stages, question)

    def prepare(self, case: Case) -> Prepared:
        """Build the case's module once.

        Raises:
            TargetError: ``build`` raises or does not return a module.
        """
        return self.stages.eager.prepare(case)

    def fresh(self, case: Case, mode: Mode) -> Module:
        """Return a copy of the case's module as it is exported in a mode."""
        return self.stages.eager.fresh(case, mode)

    def state_of(self, case: Case, mode: Mode) -> bool | None:
        """Return whether a mode runs the model in training mode; None: each of its modules as it was built."""
        return self.stages.eager.state_of(case, mode)

    def note_random(self, case: Case, mode: Mode) -> None:
        """Compare no values of a case in modes that run it as this one does."""
        self.stages.eager.note_random(case, mode)

    def taken_remarks(self) -> list[str]:
        """Return what is to be said of weights that were written to, and was not said."""
        return self.stages.eager.taken_remarks()

    def eager(self, case: Case, mode: Mode, inputs: Inputs) -> EagerResult:
        """Run the eager model, in training mode if the mode exports it so, on copies of the inputs."""
        if self.watch is not None:
            fatal = self.watch.fatal_eager(mode, inputs)
            if fatal is not None:
                starved = fatal.kind is Kind.OUT_OF_MEMORY
                return EagerResult((), fatal.message, out_of_memory=starved)
            self.watch.announce(case.name, mode, inputs, inputs)
        return self.stages.eager.run(case, mode, clone(as_call(inputs)))

    def rerun(self, case: Case, mode: Mode, inputs: Inputs) -> Rerun:
        """Return how the oracle runs the eager model again on these inputs."""
        return self.stages.eager.rerun(case, mode, inputs)

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:
        """Export (memoised), and check the export on its own.

        The first export in each mode is made twice, to see that it repeats identically; not so without ``repeat``.

        Raises:
            UsageError: the case's model is to be scripted, and the mode's exporter takes no such model.
        """
        if self.watch is not None:
            fatal = self.watch.fatal_export(mode, inputs)
            if fatal is not None and fatal.kind is Kind.OUT_OF_MEMORY:
                nothing = Exported(Expectation(), b"", Export(None), None, ())
                return replace(nothing, rejected=fatal.message, out_of_memory=True)
            if fatal is not None:
                return Exported(Expectation(), b"", Export(None), None, (fatal,))
            self.watch.announce(case.name, mode, inputs, inputs)
        return self.stages.exports.export(case, mode, inputs, repeat=repeat)

    def feed(self, case: Case, exported: Exported, example: Call, inputs: Inputs) -> Feed:
        """Return the arrays that an export, made on ``example``, is fed with for some inputs."""
        assert exported.graph is not None
        feeds = RuntimeFeeds(self.stages.exports, case).of(example, [inputs], [clone(as_call(inputs))])
        return as_declared(feeds, exported.graph)[0]

    def session(self, exported: Exported, runtime: str) -> runtimes.Session | runtimes.LoadError:
        """Load an exported model (memoised), or return why the runtime refuses it."""
        return self.stages.loader.load(exported, runtime)

    @property
    def same_in_every_mode(self) -> bool:
        """Whether the model is given, so that it is the same whatever the mode."""
        return self.stages.exports.same_in_every_mode

    def known_modes(self, mode: Mode) -> tuple[Mode, ...]:
        """Return the modes whose known divergences apply to what is exported in ``mode``."""
        return self.stages.exports.known_modes(mode)


def fresh_stages(
    *, exports: int, sessions: int, repeats_in: Callable[[Mode], bool] = lambda _: True
) -> Stages:
    """Return stages that export models afresh.

    Args:
        exports, sessions: how many of each to remember.
        repeats_in: in which modes the first export may be made twice, to see that it repeats identically.
    """
    eager = EagerModels()
    fresh = FreshExports(eager, remembered=exports, graphs=sessions, repeats_in=repeats_in)
    return Stages(eager, fresh, CachingLoader(sessions), Arbitration(eager, exports))


#: The earlier name of the pipeline.
Road = Pipeline
