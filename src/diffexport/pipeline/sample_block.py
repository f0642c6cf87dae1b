"""Many inputs, one export: the steps from inputs to verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from diffexport import oracle
from diffexport.arrays import as_call, clone
from diffexport.pipeline.eager import EagerResult
from diffexport.pipeline.eager_models import EagerModels
from diffexport.pipeline.exports import Exported, Exports
from diffexport.pipeline.fatal_checks import CheckWatch
from diffexport.pipeline.output_comparison import (
    Arbitration,
    OutputComparison,
    PlainComparison,
    judge_on_terms,
)
from diffexport.pipeline.runtime_feeds import RuntimeFeeds, SampleBatch, is_copied
from diffexport.pipeline.runtime_stages import (
    DeclaredTypes,
    Outputs,
    RuntimeRun,
    compare_at_sight,
    load,
    run,
)
from diffexport.pipeline.session_loading import SessionLoader
from diffexport.pipeline.verdict_making import NOTHING_DIFFERS, VerdictMaker, outputs_left_out
from diffexport.processes import STEPS
from diffexport.strategies import ordinary_like
from diffexport.subjects.cases import Case
from diffexport.values import Call, Deadline, Divergence, Inputs, Mode, Verdict, leaves

#: Most samples that are run together, so that eager, the runtimes and the comparison each work at a stretch.
TOGETHER = 64


#: Most bytes of inputs that are run together, and about how many seconds that may take.
_BYTES_TOGETHER, _SECONDS_TOGETHER = 4 << 20, 2.0


@dataclass(frozen=True)
class Stages:
    """The stages that a pipeline is composed of, each of which remembers what it made.

    Attributes:
        eager: builds and runs the eager models.
        exports: gives the exported models, checked on their own.
        loader: loads them into runtimes.
        arbitration: tells rounding from other differences.
    """

    eager: EagerModels
    exports: Exports
    loader: SessionLoader
    arbitration: Arbitration


class Question(NamedTuple):
    """What is asked about every sample of a block.

    Attributes:
        case, mode: the model under test, and how it is exported.
        runtimes: the names of those that run it.
        example: what to export with; None: ordinary values of the shapes and dtypes of each sample.
        strict: let the sign of zero fail.
        repeat: see [FreshExports.export][diffexport.pipeline.exports.FreshExports.export].
        watch: knows which checks are not to be made, and announces the others; None in an ordinary run.
        settled: is asked about a sample and the verdicts on it before arbitration; where it says yes, they stand.
        deadline: is asked between the stages.
    """

    case: Case
    mode: Mode
    runtimes: Sequence[str]
    example: Call | None
    strict: bool
    repeat: bool
    settled: Callable[[Inputs, Sequence[Verdict]], bool] | None
    deadline: Deadline
    watch: CheckWatch | None = None


class Block:
    """A case in a mode with its export and sessions looked up once, to check one tuple of inputs after another.

    Made by [Pipeline.block][diffexport.pipeline.Pipeline.block]; the export is made when the first inputs come that
    eager accepts.
    """

    def __init__(self, stages: Stages, question: Question) -> None:
        self._stages, self._question = stages, question
        self._exported: Exported | None = None
        self._reuses_memory = False
        self._feeds = RuntimeFeeds(stages.exports, question.case)
        self._declared_types = DeclaredTypes(question.case.terms)
        self._verdicts = VerdictMaker(question.case, question.mode, strict=question.strict)

    def __call__(self, inputs: Inputs) -> list[Verdict]:
        """Return one verdict for each runtime."""
        question = self._question
        if question.watch is not None:
            example = ordinary_like(as_call(inputs)) if question.example is None else question.example
            fatal = {
                name: check.divergence
                for check in question.watch.fatal_checks(question.mode, inputs, example)
                for name in check.runtimes or question.runtimes
                if name in question.runtimes
            }
            if fatal:
                return self._without_fatal(inputs, fatal)
            question.watch.announce(question.case.name, question.mode, inputs, example)
        return next(self._check([inputs]))

    def _without_fatal(self, inputs: Inputs, fatal: dict[str, Divergence]) -> list[Verdict]:
        """Return the verdicts on a sample that ends the process, or does not end, on some of the runtimes."""
        runtimes = self._question.runtimes
        others = [name for name in runtimes if name not in fatal]
        verdicts = {name: self._verdicts.fatal(name, fatal[name]) for name in fatal}
        if others:
            # The export is remembered by the stages.
            block = Block(self._stages, self._question._replace(runtimes=others))
            verdicts.update(zip(others, block(inputs), strict=True))
        return [verdicts[name] for name in runtimes]

    def each(self, samples: Sequence[Inputs]) -> Iterator[list[Verdict]]:
        """Yield for each of many inputs one verdict for each runtime.

        Several are run together: first eager for all of them, then each runtime, then the comparison, each of
        which stays in the processor's caches that way. That takes half the time of one after the other. What
        differs is arbitrated only when its turn comes: who stops at the first failure pays for no other.
        """
        start, most = 0, _together(samples, TOGETHER)
        together = most
        while start < len(samples):
            if self._reuses_memory or self._question.example is None:
                together = 1
            self._question.deadline.check()
            chunk, begun = samples[start : start + together], time.perf_counter()
            yield from self._check(chunk)
            start += len(chunk)
            seconds = (time.perf_counter() - begun) / len(chunk)
            # What takes long is not run together, so that an end of the time is seen.
            together = min(most, max(int(_SECONDS_TOGETHER / max(seconds, 1e-9)), 1))

    def _check(self, samples: Sequence[Inputs]) -> Iterator[list[Verdict]]:
        """Take samples through the pipeline: eager, export, check, load, run, compare, judge.

        Yields one verdict for each runtime, sample by sample.
        """
        calls = [as_call(inputs) for inputs in samples]
        eager = self._run_eager(samples, calls)
        if eager is None:
            # The model gives out the same memory each time, so that one sample is done with before the next.
            for inputs in samples:
                yield self(inputs)
            return
        accepted = [number for number, result in enumerate(eager) if not result.error]
        if not accepted:
            for result in eager:
                yield self._reject(result)
            return
        # The checks of the export are made with it: they are the same for every sample.
        example, exported = self._export(calls[accepted[0]])
        if exported.rejected:
            for result in eager:
                yield self._reject(result) if result.error else self._reject_example(exported)
            return
        batch = self._batch(example, exported, samples, calls, eager, accepted)
        runs = []
        for runtime in self._question.runtimes:
            self._question.deadline.check()
            model = load(self._stages.loader, exported, runtime)
            raw = run(model, batch)
            runs.append(compare_at_sight(model, raw, batch, self._declared_types))
        judged = self._judge(batch, runs)
        for result in eager:
            yield self._reject(result) if result.error else next(judged)

    def _run_eager(self, samples: Sequence[Inputs], calls: Sequence[Call]) -> list[EagerResult] | None:
        """Return eager's outputs for each sample; None if it gives out the same memory each time."""
        case, mode = self._question.case, self._question.mode
        # Arrays were copied into tensors; what eager does to those leaves the arrays as they are.
        changeable = [
            call if is_copied(inputs) else clone(call) for inputs, call in zip(samples, calls, strict=True)
        ]
        if len(changeable) == 1:
            return [self._stages.eager.run(case, mode, changeable[0])]
        results = self._stages.eager.run_together(case, mode, changeable)
        self._reuses_memory = results is None
        return results

    def _export(self, call: Call) -> tuple[Call, Exported]:
        """Return what the model is exported on, and the export."""
        question = self._question
        example = ordinary_like(call) if question.example is None else question.example
        if self._exported is None or question.example is None:
            question.deadline.check()
            self._exported = self._stages.exports.export(
                question.case, question.mode, example, repeat=question.repeat
            )
        return example, self._exported

    def _batch(
        self,
        example: Call,
        exported: Exported,
        samples: Sequence[Inputs],
        calls: Sequence[Call],
        eager: Sequence[EagerResult],
        accepted: Sequence[int],
    ) -> SampleBatch:
        """Return the samples that eager accepts, with what the runtimes are fed for them."""
        if len(accepted) < len(samples):
            samples = [samples[number] for number in accepted]
            calls = [calls[number] for number in accepted]
            eager = [eager[number] for number in accepted]
        return SampleBatch(exported, samples, eager, self._feeds.of(example, samples, calls))

    def _reject(self, eager: EagerResult) -> list[Verdict]:
        return [
            self._verdicts.rejected(runtime, eager.error, out_of_memory=eager.out_of_memory)
            for runtime in self._question.runtimes
        ]

    def _reject_example(self, exported: Exported) -> list[Verdict]:
        reason = f"on the inputs to export with: {exported.rejected}"
        return [
            self._verdicts.rejected(runtime, reason, on_example=True, out_of_memory=exported.out_of_memory)
            for runtime in self._question.runtimes
        ]

    def _judge(self, batch: SampleBatch, runs: Sequence[RuntimeRun]) -> Iterator[list[Verdict]]:
        """Yield the verdicts on each sample of a batch; what differs is arbitrated when its turn comes."""
        question, exported = self._question, batch.exported
        # Nothing can be wrong but what an output is.
        sound = not exported.divergences and all(ran.declared == [] for ran in runs)
        for number, eager in enumerate(batch.eager):
            differing = any(number in ran.suspects for ran in runs)
            if sound and not eager.foreign and not differing:
                # As nearly always.
                yield [
                    self._verdicts.agreeing(ran.model.runtime, exported, eager, ran.outputs[number] or ())
                    for ran in runs
                ]
                continue
            if not differing or question.settled is not None:
                verdicts = self._judge_sample(number, batch, runs, PlainComparison(eager))
                if not differing or (
                    question.settled is not None and question.settled(batch.samples[number], verdicts)
                ):
                    yield verdicts
                    continue
            question.deadline.check()
            STEPS.begin("arbitrate")
            self._stages.arbitration.deadline = question.deadline
            comparison = self._stages.arbitration.comparison(
                question.case, question.mode, batch.samples[number], eager
            )
            yield self._judge_sample(number, batch, runs, comparison)

    def _judge_sample(
        self, number: int, batch: SampleBatch, runs: Sequence[RuntimeRun], comparison: OutputComparison
    ) -> list[Verdict]:
        """Return the verdict of each runtime on one sample of a batch."""
        eager = batch.eager[number]
        verdicts = []
        # Runtimes of one family usually give the same outputs: what was said of the last, and of which outputs.
        last: tuple[Outputs, oracle.ComparisonResult] | None = None
        for ran in runs:
            outputs, divergences, judgement = ran.outputs_of(number), ran.errors_on(number), NOTHING_DIFFERS
            if outputs is not None:
                if eager.foreign:
                    divergences = outputs_left_out(eager)
                elif number in ran.suspects:
                    if last is None or not oracle.same_bits(last[0], outputs):
                        terms = self._question.case.terms
                        last = outputs, judge_on_terms(comparison, terms, eager.outputs, outputs)
                    judgement = last[1]
                    divergences = judgement.found
                declared = ran.declared
                if declared is None:
                    declared = self._declared_types.wrong(batch, number, ran.results[number][0] or ())
                divergences = [*divergences, *declared]
            verdicts.append(
                self._verdicts.verdict(
                    ran.model.runtime,
                    batch.exported,
                    eager,
                    divergences,
                    got=outputs or (),
                    refused=ran.model.refused,
                    judgement=judgement,
                )
            )
        return verdicts


def _together(samples: Sequence[Inputs], most: int) -> int:
    """Return how many samples are run together, by how large they are."""
    if not samples:
        return most
    first = samples[0]
    size = sum(
        getattr(value, "nbytes", 0) for value in leaves(first if type(first) is tuple else as_call(first))
    )
    return max(min(most, _BYTES_TOGETHER // max(size, 1)), 1)
