"""From a case, a mode, a runtime and inputs to a verdict; exports, graphs and sessions are remembered."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import torch

from diffexport.arrays import Feeder, Feeds, as_call, clone, digest
from diffexport.backends import exporters, runtimes
from diffexport.backends.graphs import Graph, inspect_graph, missing_nodes
from diffexport.chatter import captured
from diffexport.errors import TargetError, UsageError
from diffexport.oracle import Judgement, Rerun
from diffexport.pipeline.breach import breaches
from diffexport.pipeline.eager import BUILD_SEED, Eager, Prepared, first_line, outputs_of, tensors_in
from diffexport.pipeline.export import Exported, export_error, told_apart, unheld
from diffexport.pipeline.memo import Bounded
from diffexport.pipeline.rerun import rerun
from diffexport.pipeline.samples import Block
from diffexport.subjects.cases import SCRIPTED, Case, Expected, dynamic_axes
from diffexport.values import (
    Aspect,
    Call,
    Divergence,
    Inputs,
    Kind,
    MissingNodes,
    Mode,
    Place,
    Stage,
    Verdict,
)


class Road:
    """Walks the road, and remembers exports, graphs and sessions while it is kept.

    Args:
        exports, sessions: how many of each to remember.
    """

    #: Whether the model is given, so that it is the same whatever the mode.
    given = False

    def __init__(self, *, exports: int = 2048, sessions: int = 512) -> None:
        self._prepared: dict[Hashable, Prepared] = {}
        self._exports: Bounded[Exported] = Bounded(exports)
        self._repeated: Bounded[bool] = Bounded(4 * exports)
        self._graphs: Bounded[Graph] = Bounded(sessions)
        #: What arbitration said; asked by [Block][diffexport.pipeline.Block].
        self.judgements: Bounded[Judgement] = Bounded(exports)
        self._sessions: Bounded[runtimes.Session | runtimes.LoadError] = Bounded(sessions)

    def check(
        self,
        case: Case,
        mode: Mode,
        runtime: str,
        inputs: Inputs,
        *,
        export_inputs: Inputs | None = None,
        strict: bool = False,
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

        Raises:
            UnknownNameError: there is no such runtime.
            TargetError: the case does not build a module.
        """
        return self.check_runtimes(
            case, mode, (runtime,), inputs, export_inputs=export_inputs, strict=strict
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
    ) -> list[Verdict]:
        """Return one verdict for each runtime; see [check][] for the arguments, and [export][] for ``repeat``."""
        with self.block(
            case, mode, names, export_inputs=export_inputs, strict=strict, repeat=repeat
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
    ) -> Iterator[Block]:
        """Check many inputs against one export: yields what [check_runtimes][] is, for the inputs alone.

        ``settled`` is asked about each sample and the verdicts on it before arbitration; where it says yes, they
        stand.
        """
        with warnings.catch_warnings():
            # What the model and the runtimes warn about while running is not the user's to act on.
            warnings.simplefilter("ignore")
            yield Block(self, case, mode, names, export_inputs, strict, repeat, settled)

    def eager(self, case: Case, mode: Mode, inputs: Inputs) -> Eager:
        """Run the eager model, in training mode if the mode exports it so, on copies of the inputs."""
        return self.run_eager(case, mode, clone(as_call(inputs)))

    def run_eager(self, case: Case, mode: Mode, call: Call) -> Eager:
        """Run the eager model on inputs that it may change."""
        eager = outputs_of(self._run_module(case, mode, [call])[0], keep_none=case.terms.keeps_none)
        # A module may give out memory that it writes to the next time.
        return eager._replace(outputs=tuple([array.copy() for array in eager.outputs]))

    def run_eager_together(self, case: Case, mode: Mode, many: Sequence[Call]) -> list[Eager] | None:
        """Run the eager model on each of many inputs; None if it gives out the same memory each time."""
        results = self._run_module(case, mode, many)
        whose: dict[int, int] = {}
        for number, result in enumerate(results):
            for tensor in tensors_in(result):
                place = _place(tensor)
                if place and whose.setdefault(place, number) != number:
                    return None
        return [outputs_of(result, keep_none=case.terms.keeps_none) for result in results]

    def _run_module(self, case: Case, mode: Mode, many: Sequence[Call]) -> list[Any]:
        """Return for each of many inputs what the module returns, or the error that it raises."""
        prepared, training = self._prepared_for(case, mode)
        results: list[Any] = []
        for call in many:
            try:
                results.append(prepared.for_run(training)(*call.args, **call.kwargs))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything; it rejects these
                results.append(error)
        return results

    def rerun(self, case: Case, mode: Mode, inputs: Inputs) -> Rerun:
        """Return how the oracle runs the eager model again on these inputs."""
        return rerun(*self._prepared_for(case, mode), inputs, keep_none=case.terms.keeps_none)

    def judged_as(self, case: Case, mode: Mode) -> Hashable:
        """Return what the judgement on the same inputs and outputs depends on besides these."""
        return _key(case), self._prepared_for(case, mode)[1]

    def _prepared_for(self, case: Case, mode: Mode) -> tuple[Prepared, bool]:
        """Return the case's module, and whether the mode exports it in training mode."""
        prepared = self.prepare(case)
        training = prepared.training
        if mode.honours("training"):
            training = {"TRAINING": True, "EVAL": False}.get(mode.training, training)
        return prepared, training

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:
        """Export (memoised) and check the graph on its own.

        The first export in each mode is made twice, to see that it repeats identically; not so without ``repeat``.

        Raises:
            UsageError: the case's model is to be scripted, and the mode's exporter takes no such model.
        """
        if case.terms.script and not mode.description.takes_scripted:
            raise UsageError(f"case {case.name!r} in mode {mode}: {SCRIPTED.reason}")
        call = as_call(inputs)
        key = (_key(case), mode, digest(call))
        if not repeat and key not in self._exports:
            return self._exports.get((*key, "once"), lambda: self._export(case, mode, call, False))
        return self._exports.get(key, lambda: self._export(case, mode, call, True))

    def prepare(self, case: Case) -> Prepared:
        """Build the case's module once.

        Raises:
            TargetError: ``build`` raises or does not return a module.
        """
        if _key(case) not in self._prepared:
            try:
                with captured(), torch.random.fork_rng(devices=[]):
                    # Random weights have to be the same ones when a regression is replayed.
                    torch.manual_seed(BUILD_SEED)
                    module = case.build()
            except (Exception, SystemExit) as error:
                raise TargetError(
                    f"case {case.name!r}: building the model raises {type(error).__name__}: {first_line(error)}"
                ) from error
            if not isinstance(module, torch.nn.Module):
                raise TargetError(
                    f"case {case.name!r}: build returns {type(module).__name__}, not a torch.nn.Module"
                )
            has_buffers = any(True for _ in module.buffers())
            self._prepared[_key(case)] = Prepared(case, module, module.training, has_buffers, {})
        return self._prepared[_key(case)]

    def feeder(self, case: Case, example: Call) -> Feeds:
        """Return what feeds a model that was exported on ``example``."""
        return Feeder(self.prepare(case).module, example, case.terms)

    def known_as(self, mode: Mode) -> tuple[Mode, ...]:
        """Return the modes whose known divergences apply to what is exported in ``mode``."""
        return (mode,)

    def traits(self, case: Case, inputs: Inputs) -> frozenset[str]:
        """Return the model's traits, declared or found by tracing it on ``inputs``."""
        if case.traits is not None:
            return case.traits
        prepared = self.prepare(case)
        if prepared.traits is None:
            module = copy.deepcopy(prepared.module)
            prepared.traits = exporters.model_traits(module, clone(as_call(inputs)), case.around)
        return prepared.traits

    def _export(self, case: Case, mode: Mode, call: Call, repeat: bool) -> Exported:
        prepared = self.prepare(case)
        expectation = case.expect(mode, self.traits(case, call))
        first = repeat and not self._seen(case, mode)
        module, dynamic = copy.deepcopy(prepared.module), dynamic_axes(case, call)
        export = exporters.export(
            module,
            clone(call),
            mode,
            dynamic=dynamic,
            repeat=first,
            terms=case.terms,
            around=case.around,
            custom_opsets=case.custom_opsets,
        )
        found: list[Divergence] = []
        refused = ""
        if export.failure is not None:
            as_expected = expectation.refuses_with(f"{export.failure.error}: {export.failure.message}")
            # What may refuse anything says nothing of why.
            sure = as_expected and expectation.expected is Expected.REFUSES
            eager = None if sure else self.eager(case, mode, call)
            if eager is not None and eager.error:
                return Exported(expectation, b"", export, None, (), rejected=eager.error)
            if eager is None or as_expected:
                refused = export.failure.message
            else:
                found.append(export_error(export.failure, expectation, eager))
        elif expectation.expected is Expected.REFUSES:
            found.append(
                Divergence(
                    Stage.CONVERT,
                    Kind.UNEXPECTED_SUCCESS,
                    Place.MODEL,
                    Aspect.EXPORTED,
                    f"the export succeeds, though it is expected to refuse ({expectation.rule})",
                )
            )
        found += [
            Divergence(
                Stage.CONVERT,
                Kind.STALE_GLOBALS if change.is_by_itself else Kind.IMPURE_EXPORT,
                Place.MODEL,
                change.text,
                f"exporting changed something it should not have: {change.text}: {change.detail}",
            )
            for change in export.impurities
        ]
        if export.repeat:
            message = f"two exports of the same module differ: {export.repeat}"
            found.append(
                Divergence(Stage.CONVERT, Kind.NONDETERMINISTIC_EXPORT, Place.MODEL, export.repeat, message)
            )
        inspected = None
        digest = b""
        if export.model is not None:
            model = export.model
            digest = hashlib.sha256(b"".join((model, *(data for _, data in export.files)))).digest()
            inspected = self._graphs.get((digest, mode.opset), lambda: inspect_graph(model, mode.opset))
            rejected, others = told_apart(inspected.divergences, expectation)
            refused = rejected
            found += others
            found += breaches(case.terms, mode, inspected)
            found += unheld(case, mode, model)
            missing = missing_nodes(inspected, expectation.nodes)
            if missing:
                present = ", ".join(sorted(inspected.nodes))
                found.append(
                    Divergence(
                        Stage.CONVERT,
                        Kind.GRAPH_CONTRACT,
                        Place.GRAPH,
                        MissingNodes(missing).signature,
                        f"the graph lacks {', '.join(missing)}; it has {present} ({expectation.rule})",
                    )
                )
        return Exported(expectation, digest, export, inspected, tuple(found), refused)

    def _seen(self, case: Case, mode: Mode) -> bool:
        fresh: list[Mode] = []

        def note() -> bool:
            fresh.append(mode)
            return True

        self._repeated.get((_key(case), mode), note)
        return not fresh

    def session(self, exported: Exported, runtime: str) -> runtimes.Session | runtimes.LoadError:
        """Load an exported model (memoised), or return why the runtime refuses it."""
        model = exported.export.model
        assert model is not None

        def load() -> runtimes.Session | runtimes.LoadError:
            with captured():
                try:
                    return runtimes.load(runtime, model, exported.export.files)
                except runtimes.LoadError as error:
                    return error

        return self._sessions.get((exported.digest, runtime), load)


def _place(tensor: torch.Tensor) -> int:
    """Return where a tensor's memory begins; 0 for sparse ones and subclasses, which need not have any of their own."""
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
    return tensor.untyped_storage().data_ptr() if plain else 0


def _key(case: Case) -> Hashable:
    """Return what tells cases apart in a process: two models may have one name."""
    return case.name, case.target, id(case.build), case.terms
