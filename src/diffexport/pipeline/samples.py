"""Many inputs, one export: the part of the road that is walked for every sample."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from diffexport import oracle
from diffexport.arrays import (
    Array,
    Feeds,
    array_of,
    as_call,
    as_parts,
    clone,
    holds_parts,
    is_complex,
    join_parts,
    part_dtype,
)
from diffexport.backends import exporters, runtimes
from diffexport.backends.graphs import Graph, check_declared, foreign_nodes
from diffexport.pipeline.eager import Eager
from diffexport.pipeline.export import Exported
from diffexport.pipeline.judges import Comparing, Judge, Remembering, bits_of
from diffexport.strategies import ordinary_like
from diffexport.subjects.cases import Case, Expected
from diffexport.values import (
    Aspect,
    Call,
    Divergence,
    Inputs,
    Kind,
    Mode,
    Outcome,
    Place,
    Severity,
    Stage,
    Verdict,
)

if TYPE_CHECKING:
    from diffexport.pipeline.pipeline import Road


#: Most samples that are run together, so that eager, the runtimes and the comparison each work at a stretch.
TOGETHER = 64
#: What there is to say of outputs that agree at first sight.
_NOTHING = oracle.Judgement([])


@dataclass(frozen=True)
class _Ran:
    """What one runtime made of many samples, or why it was not run; ``suspects`` are those whose outputs may differ."""

    name: str
    loaded: bool
    found: Sequence[Divergence] = ()
    refused: str = ""
    runs: Sequence[tuple[tuple[Array, ...] | None, list[Divergence]]] = ()
    results: Sequence[tuple[Array, ...] | None] = ()
    suspects: Collection[int] = ()
    #: What declared types get wrong, where that is the same for all samples.
    declared: Sequence[Divergence] | None = None


class Block:
    """A case in a mode with its export and sessions looked up once, to check one tuple of inputs after another.

    Made by [Road.block][]; the export is made when the first inputs come that eager accepts.
    """

    def __init__(
        self,
        road: Road,
        case: Case,
        mode: Mode,
        names: Sequence[str],
        export_inputs: Inputs | None,
        strict: bool,
        repeat: bool,
        settled: Callable[[Inputs, Sequence[Verdict]], bool] | None = None,
    ) -> None:
        self._settled = settled
        self._road, self._case, self._mode, self._names = road, case, mode, names
        self._strict, self._repeat = strict, repeat
        self._example = None if export_inputs is None else as_call(export_inputs)
        self._exported: Exported | None = None
        self._mode_text = str(mode)
        self._declared: tuple[Any, list[Divergence]] = (None, [])
        self._apart = False
        self._agreed: dict[str, dict[str, Any]] = {}
        self._feeder: tuple[Call, Feeds] | None = None

    def __call__(self, inputs: Inputs) -> list[Verdict]:
        """Return one verdict for each runtime."""
        return next(self._together([inputs]))

    def each(self, samples: Sequence[Inputs]) -> Iterator[list[Verdict]]:
        """Yield for each of many inputs one verdict for each runtime.

        Several are run together: first eager for all of them, then each runtime, then the comparison, each of
        which stays in the processor's caches that way. That takes half the time of one after the other. What
        differs is arbitrated only when its turn comes: who stops at the first failure pays for no other.
        """
        start = 0
        while start < len(samples):
            together = 1 if self._apart or self._example is None else TOGETHER
            yield from self._together(samples[start : start + together])
            start += together

    def _together(self, samples: Sequence[Inputs]) -> Iterator[list[Verdict]]:
        given = [as_call(inputs) for inputs in samples]
        # Arrays were copied into tensors; what eager does to those leaves the arrays as they are.
        own = [_is_copied(inputs) for inputs in samples]
        eagers = self._eager([call if o else clone(call) for call, o in zip(given, own, strict=True)])
        if eagers is None:
            for inputs in samples:
                yield self(inputs)
            return
        accepted: list[tuple[Eager, dict[str, Array], Inputs]] = []
        on_example: set[int] = set()
        reasons: list[str] = []
        for inputs, call, is_own, eager in zip(samples, given, own, eagers, strict=True):
            reasons.append(eager.error)
            if eager.error:
                continue
            example = ordinary_like(call) if self._example is None else self._example
            if self._exported is None or self._example is None:
                self._exported = self._road.export(self._case, self._mode, example, repeat=self._repeat)
            if self._exported.rejected:
                reasons[-1] = f"on the inputs to export with: {self._exported.rejected}"
                on_example.add(len(reasons) - 1)
                continue
            accepted.append((eager, self._feeds(example, call, inputs if is_own else None), inputs))
        judged = self._judge(*(list(column) for column in zip(*accepted, strict=True))) if accepted else None
        for number, reason in enumerate(reasons):
            if reason or judged is None:
                yield self._rejected(reason, number in on_example)
            else:
                yield next(judged)

    def _feeds(self, example: Call, call: Call, own: Any) -> dict[str, Array]:
        """Return what to feed; ``own``, where it is not None, holds the arrays that ``call`` is of."""
        if self._feeder is None or self._feeder[0] is not example:
            self._feeder = example, self._road.feeder(self._case, example)
        feeder = self._feeder[1]
        if own is not None and len(feeder.flat) == len(own):
            return dict(zip(feeder.flat, own, strict=True))
        return {name: _array(leaf) for name, leaf in feeder.feeds(call).items()}

    def _eager(self, many: list[Call]) -> list[Eager] | None:
        if len(many) == 1:
            return [self._road.run_eager(self._case, self._mode, many[0])]
        eagers = self._road.run_eager_together(self._case, self._mode, many)
        if eagers is None:
            self._apart = True
        return eagers

    def _rejected(self, reason: str, on_example: bool) -> list[Verdict]:
        case = self._case
        return [
            Verdict(
                case.name,
                self._mode_text,
                name,
                Outcome.REJECTED,
                reason=reason,
                target=case.target,
                on_example=on_example,
            )
            for name in self._names
        ]

    def _judge(
        self, eagers: list[Eager], feeds: list[dict[str, Array]], samples: list[Inputs]
    ) -> Iterator[list[Verdict]]:
        """Yield for each sample the verdict of each runtime."""
        exported = self._exported
        assert exported is not None
        typed: Sequence[dict[str, Array]] = []
        outputs = [eager.outputs for eager in eagers]
        ran: list[_Ran] = []
        for name in self._names:
            session, found, refused = self._load(exported, name)
            if session is None:
                ran.append(_Ran(name, False, found, refused))
                continue
            assert exported.graph is not None
            typed = typed or _all_typed(feeds, exported.graph)
            runs = [_run(session, name, arrays, exported.graph) for arrays in typed]
            results = [
                None if raw is None else _as_complex(raw, own)
                for (raw, _), own in zip(runs, outputs, strict=True)
            ]
            suspects = range(1) if len(results) == 1 else oracle.suspects(outputs, results)
            declared = None
            if not isinstance(suspects, range) and _alike(typed):
                # The outputs are of the same types as well, or all of the samples would be suspects.
                declared = self._declared_of(exported.graph, typed[0], runs[0][0] or ())
            ran.append(_Ran(name, True, runs=runs, results=results, suspects=suspects, declared=declared))
        # Nothing can be wrong but what an output is.
        sound = not exported.divergences and all(runtime.declared == [] for runtime in ran)
        for number, eager in enumerate(eagers):
            if sound and not eager.foreign and not any(number in runtime.suspects for runtime in ran):
                # As nearly always.
                yield [
                    self._agreeing(runtime.name, exported, eager, runtime.results[number] or ())
                    for runtime in ran
                ]
                continue
            fed = typed[number] if typed else {}
            suspicious = any(runtime.loaded and number in runtime.suspects for runtime in ran)
            if not suspicious or self._settled is not None:
                plain = self._judge_one(number, eager, fed, ran, Comparing(eager))
                if not suspicious or (self._settled is not None and self._settled(samples[number], plain)):
                    yield plain
                    continue
            rerun = self._road.rerun(self._case, self._mode, samples[number])
            # Eager is run again once for all runtimes.
            arbiter = oracle.Arbiter(eager.outputs, rerun)
            yield self._judge_one(
                number, eager, fed, ran, self._remembering(arbiter, samples[number], eager) or arbiter
            )

    def _remembering(self, arbiter: oracle.Arbiter, inputs: Inputs, eager: Eager) -> Remembering | None:
        """Return what arbitrates for the same arrays and tensors once; None where there are other arguments."""
        if not isinstance(inputs, tuple) or not all(
            isinstance(value, np.ndarray | torch.Tensor) for value in inputs
        ):
            return None
        given = bits_of([array_of(value) for value in inputs]), len({id(value) for value in inputs})
        key = self._road.judged_as(self._case, self._mode), given, bits_of(eager.outputs)
        return Remembering(arbiter, self._road.judgements, key)

    def _judge_one(
        self,
        number: int,
        eager: Eager,
        fed: dict[str, Array],
        ran: Sequence[_Ran],
        judge: Judge,
    ) -> list[Verdict]:
        exported = self._exported
        assert exported is not None
        verdicts = []
        # Runtimes of one family usually give the same outputs: what was found for the last, and for what.
        last: tuple[tuple[Array, ...], oracle.Judgement] | None = None
        for runtime in ran:
            if not runtime.loaded:
                verdicts.append(
                    self._verdict(runtime.name, exported, eager, runtime.found, refused=runtime.refused)
                )
                continue
            assert exported.graph is not None
            (raw, found), got = runtime.runs[number], runtime.results[number]
            judgement = _NOTHING
            if raw is not None and got is not None:
                if eager.foreign:
                    found = _foreign(eager)
                elif number in runtime.suspects:
                    if last is None or not oracle.same_bits(last[0], got):
                        last = got, self._judged(judge, eager.outputs, got)
                    judgement = last[1]
                    found = judgement.found
                declared = runtime.declared
                if declared is None:
                    declared = self._declared_of(exported.graph, fed, raw)
                if declared:
                    found = [*found, *declared]
            verdicts.append(
                self._verdict(
                    runtime.name, exported, eager, found, () if got is None else got, judgement=judgement
                )
            )
        return verdicts

    def _judged(
        self,
        judge: Judge,
        eager: tuple[Array, ...],
        got: tuple[Array, ...],
    ) -> oracle.Judgement:
        terms = self._case.terms
        if not terms.lenient:
            return judge.judge(got)

        def decide(mine: Sequence[Array], theirs: Sequence[Array]) -> oracle.Judgement:
            # What was brought into another shape or dtype is not what eager gives when it is run again.
            as_given = all(one is other for one, other in zip(mine, eager, strict=True))
            return judge.judge(theirs) if as_given else oracle.Judgement(oracle.compare(mine, theirs))

        return oracle.judge_leniently(eager, got, terms, decide)

    def _load(
        self, exported: Exported, runtime: str
    ) -> tuple[runtimes.Session | None, list[Divergence], str]:
        """Return the session; or None, the divergences, and with which text the model is refused as expected."""
        if exported.export.model is None or exported.refused:
            return None, [], exported.refused
        session = self._road.session(exported, runtime)
        unloadable = exported.expectation.expected is Expected.UNLOADABLE
        if isinstance(session, runtimes.LoadError):
            text = str(session)
            foreign = exported.expectation.expected is Expected.MAY_REFUSE and foreign_nodes(exported.graph)
            if unloadable or foreign:
                return None, [], text
            signature = exporters.error_signature(session)
            error = Divergence(Stage.LOAD, Kind.LOAD_ERROR, Place.MODEL, signature, f"{runtime}: {text}")
            return None, [error], ""
        if unloadable:
            message = (
                f"{runtime} loads the model, though it is expected to refuse ({exported.expectation.rule})"
            )
            success = Divergence(Stage.LOAD, Kind.UNEXPECTED_SUCCESS, Place.MODEL, Aspect.LOADED, message)
            return None, [success], ""
        return session, [], ""

    def _declared_of(
        self, inspected: Graph, feeds: dict[str, Any], got: tuple[Array, ...]
    ) -> list[Divergence]:
        return [one for one in self._check_declared(inspected, feeds, got) if self._matters(one)]

    def _check_declared(
        self, inspected: Graph, feeds: dict[str, Any], got: tuple[Array, ...]
    ) -> list[Divergence]:
        """Look at declared types once for all inputs and outputs of the same types."""
        key = (
            inspected,
            [(name, np.shape(array)) for name, array in feeds.items() if hasattr(array, "dtype")],
            [(array.dtype, array.shape) for array in got],
        )
        last, found = self._declared
        if last is None or last[0] is not inspected or last[1:] != key[1:]:
            found = check_declared(inspected, feeds, got)
            self._declared = key, found
        return found

    def _matters(self, declared: Divergence) -> bool:
        """Return whether the case's terms care for what a declaration gets wrong."""
        terms = self._case.terms
        return terms.check_dtype if declared.is_about(Kind.DECLARED_TYPE, Aspect.DTYPE) else terms.check_shape

    def _verdict(
        self,
        runtime: str,
        exported: Exported,
        eager: Eager,
        found: Sequence[Divergence],
        got: tuple[Array, ...] = (),
        refused: str = "",
        judgement: oracle.Judgement = _NOTHING,
    ) -> Verdict:
        if not (found or refused or exported.divergences or judgement is not _NOTHING):
            return self._agreeing(runtime, exported, eager, got)
        failing: tuple[Divergence, ...] = ()
        notes: tuple[Divergence, ...] = ()
        if found or exported.divergences:
            everything = (*exported.divergences, *found)
            failing = tuple(d for d in everything if self._strict or d.severity is Severity.FAILURE)
            notes = tuple(d for d in everything if not self._strict and d.severity is Severity.NOTE)
        outcome = Outcome.REFUSED if refused else Outcome.AGREES
        return Verdict(
            self._case.name,
            self._mode_text,
            runtime,
            Outcome.DIVERGES if failing else outcome,
            failing,
            notes,
            refused,
            eager.outputs,
            got,
            exported.export.chatter,
            self._case.target,
            judgement.arbitrated,
            judgement.excused,
            judgement.unrefereed,
            judgement.tolerated,
        )

    def _agreeing(self, runtime: str, exported: Exported, eager: Eager, got: tuple[Array, ...]) -> Verdict:
        """Return the verdict that is nearly always given; all its fields but the outputs are made once."""
        fields = self._agreed.get(runtime)
        if fields is None:
            plain = Verdict(
                self._case.name,
                self._mode_text,
                runtime,
                Outcome.AGREES,
                chatter=exported.export.chatter,
                target=self._case.target,
            )
            fields = self._agreed[runtime] = vars(plain)
        verdict = object.__new__(Verdict)
        vars(verdict).update(fields, eager=eager.outputs, got=got)
        return verdict


def _is_copied(inputs: Inputs) -> bool:
    """Return whether a call of these has copies of them, laid out as they are."""
    if type(inputs) is not tuple:
        return False
    # Not by all(…), which makes a generator for every sample.
    for value in inputs:  # noqa: SIM110
        if type(value) is not np.ndarray or not value.flags.c_contiguous:
            return False
    return True


def _alike(feeds: Sequence[dict[str, Array]]) -> bool:
    """Return whether samples are arrays of the same names, dtypes and shapes."""
    types = {
        (*own, *[(a.dtype, a.shape) if type(a) is np.ndarray else id(a) for a in own.values()])
        for own in feeds
    }
    return len(types) == 1


def _array(leaf: Any) -> Any:
    """Return what is fed for a leaf; for a sequence, a list of arrays."""
    return [array_of(item) for item in leaf] if isinstance(leaf, list) else np.asarray(array_of(leaf))


def _all_typed(feeds: Sequence[dict[str, Array]], inspected: Graph) -> Sequence[dict[str, Array]]:
    """Return what the graph asks for, sample by sample, unless it asks for what there is."""
    first = _typed(feeds[0], inspected)
    as_it_is = first.keys() == feeds[0].keys() and all(first[name] is feeds[0][name] for name in first)
    if as_it_is and _alike(feeds):
        return feeds
    return [_typed(arrays, inspected) for arrays in feeds]


def _typed(feeds: dict[str, Array], inspected: Graph) -> dict[str, Array]:
    """Return what the graph asks for.

    A Python number takes the dtype its input was declared with. A complex tensor is split into its parts where
    the input was declared as real, which is how the exporters built on ``torch.export`` declare every one.
    """
    typed = {}
    for declared in inspected.inputs:
        if declared.name not in feeds:
            continue
        array = feeds[declared.name]
        if not declared.single:
            typed[declared.name] = array
            continue
        if declared.name.startswith("constant") and declared.dtype is not None:
            array = array.astype(declared.dtype)
        elif declared.dtype == part_dtype(array.dtype):
            array = as_parts(array)
        typed[declared.name] = array
    return typed


def _run(
    session: runtimes.Session, runtime: str, feeds: dict[str, Array], inspected: Graph
) -> tuple[tuple[Array, ...] | None, list[Divergence]]:
    """Return the outputs; or None and what is wrong."""
    if len(feeds) < len(inspected.inputs):
        unknown = sorted({declared.name for declared in inspected.inputs} - feeds.keys())
        message = f"the model has inputs that eager has not: {', '.join(unknown)}"
        return None, [Divergence(Stage.RUN, Kind.STRUCTURE, Place.INPUTS, Aspect.UNKNOWN_INPUTS, message)]
    try:
        return tuple(session.run(feeds)), []
    except runtimes.RunError as error:
        signature = exporters.error_signature(error)
        return None, [Divergence(Stage.RUN, Kind.RUN_ERROR, Place.MODEL, signature, f"{runtime}: {error}")]


def _as_complex(raw: Sequence[Array], eager: Sequence[Array]) -> tuple[Array, ...]:
    """Return the outputs of a runtime, those that hold the parts of a complex output put together again."""
    if len(raw) != len(eager):
        return tuple(raw)
    if not any(is_complex(one.dtype) for one in eager):
        return tuple(raw)
    return tuple(
        join_parts(array, one.dtype) if holds_parts(array, one.dtype, one.ndim) else array
        for array, one in zip(raw, eager, strict=True)
    )


def _foreign(eager: Eager) -> list[Divergence]:
    """Return what is wrong with an exported model where eager returns what no ONNX model can."""
    return [
        Divergence(
            Stage.COMPARE,
            Kind.STRUCTURE,
            what.place,
            what.signature,
            f"in eager, {what}, which no ONNX model returns; the export drops it in silence",
        )
        for what in eager.foreign
    ]
