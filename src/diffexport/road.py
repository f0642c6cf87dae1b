"""The road: one function takes (case, mode, runtime, inputs) to a verdict.

``eager → export → check graph → load → run → compare → judge against the expectation``. Everything else (the
pytest plugin, the command line, replays) goes through [Road.check][]; nothing else exports, runs or compares.
Exports, graph inspections and sessions are memoised in bounded caches.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch

from diffexport import dtypes, exporters, graph, oracle, runtimes
from diffexport.bridge import to_array
from diffexport.call import Call, Inputs, leaves
from diffexport.case import Case
from diffexport.chatter import captured
from diffexport.errors import TargetError
from diffexport.expectation import Expectation, Expected
from diffexport.exporters.arguments import clone, feeds_of, walk
from diffexport.inputs import array_of, as_call, digest, dynamic_axes, ordinary_like
from diffexport.mode import DEFAULT_OPSET, Mode
from diffexport.verdict import Divergence, Kind, Outcome, Severity, Stage, Verdict

Array = np.ndarray[Any, Any]
V = TypeVar("V")


#: torch's seed while a case builds its module.
BUILD_SEED = 0
#: Begins the reason of a rejection that is not about the inputs to run on.
ON_EXAMPLE = "on the inputs to export with: "
#: Most samples that are run together, so that eager, the runtimes and the comparison each work at a stretch.
TOGETHER = 64


class Bounded(Generic[V]):
    """A mapping that forgets what was used longest ago."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value for ``key``, making it when it is not there."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        value = self._items[key] = make()
        if len(self._items) > self._size:
            self._items.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._items


@dataclass(frozen=True)
class Eager:
    """What the eager model does with one call: its outputs as arrays, or its error.

    A Python number among the outputs is an output like any other. ``foreign`` says which of them are neither
    tensors nor numbers nor None, and so can be no output of an ONNX model; they are not among ``outputs``.
    """

    outputs: tuple[Array, ...]
    error: str = ""
    numbers: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """One export with everything that can be said about it before running it.

    ``rejected`` is eager's error on the example inputs where the export failed on them, too.
    """

    expectation: Expectation
    digest: bytes
    export: exporters.Export
    graph: graph.Graph | None
    divergences: tuple[Divergence, ...]
    refused: str = ""
    rejected: str = ""


@dataclass
class _Prepared:
    """A case's module in this process. The case is kept with it, so that its key stays its own.

    ``shared`` holds a copy for evaluation and one for training mode. A module with buffers may change when
    it runs, so each of its runs gets a copy of its own instead.
    """

    case: Case
    module: torch.nn.Module
    training: bool
    has_buffers: bool
    shared: dict[bool, torch.nn.Module]
    traits: frozenset[str] | None = None

    def for_run(self, training: bool) -> torch.nn.Module:
        """Return a module to run once, in training mode or not."""
        if self.has_buffers or training not in self.shared:
            self.shared[training] = copy.deepcopy(self.module).train(training)
        return self.shared[training]


class Road:
    """Walks the road, and remembers exports, graphs and sessions while it is kept.

    Args:
        exports, sessions: how many of each to remember.
    """

    def __init__(self, *, exports: int = 2048, sessions: int = 512) -> None:
        self._prepared: dict[Hashable, _Prepared] = {}
        self._exports: Bounded[Exported] = Bounded(exports)
        self._repeated: Bounded[bool] = Bounded(4 * exports)
        self._graphs: Bounded[graph.Graph] = Bounded(sessions)
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
            runtime: one of [diffexport.runtimes.RUNTIMES][].
            inputs: what to run on: a tuple of positional arguments or a [Call][diffexport.call.Call], holding
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
    ) -> Iterator[Block]:
        """Check many inputs against one export: yields what [check_runtimes][] is, for the inputs alone."""
        with warnings.catch_warnings():
            # What the model and the runtimes warn about while running is not the user's to act on.
            warnings.simplefilter("ignore")
            yield Block(self, case, mode, names, export_inputs, strict, repeat)

    def eager(self, case: Case, mode: Mode, inputs: Inputs) -> Eager:
        """Run the eager model, in training mode if the mode exports it so, on copies of the inputs."""
        return self.run_eager(case, mode, clone(as_call(inputs)))

    def run_eager(self, case: Case, mode: Mode, call: Call) -> Eager:
        """Run the eager model on inputs that it may change."""
        eager = _outputs(self._run_module(case, mode, [call])[0])
        # A module may give out memory that it writes to the next time.
        return replace(eager, outputs=tuple([array.copy() for array in eager.outputs]))

    def run_eager_together(self, case: Case, mode: Mode, many: Sequence[Call]) -> list[Eager] | None:
        """Run the eager model on each of many inputs; None if it gives out the same memory each time."""
        results = self._run_module(case, mode, many)
        whose: dict[int, int] = {}
        for number, result in enumerate(results):
            for tensor in walk(result):
                # Sparse and other tensors without memory of their own do not become arrays either.
                place = tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0
                if place and whose.setdefault(place, number) != number:
                    return None
        return [_outputs(result) for result in results]

    def _run_module(self, case: Case, mode: Mode, many: Sequence[Call]) -> list[Any]:
        """Return for each of many inputs what the module returns, or the error that it raises."""
        prepared = self.prepare(case)
        training = prepared.training
        if mode.is_torchscript:
            training = {"TRAINING": True, "EVAL": False}.get(mode.training, training)
        results: list[Any] = []
        for call in many:
            try:
                results.append(prepared.for_run(training)(*call.args, **call.kwargs))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything; it rejects these
                results.append(error)
        return results

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:
        """Export (memoised) and check the graph on its own.

        The first export of each kind is made twice, to see that it repeats identically; not so without ``repeat``.
        """
        call = as_call(inputs)
        key = (_key(case), mode, digest(call))
        if not repeat and key not in self._exports:
            return self._exports.get((*key, "once"), lambda: self._export(case, mode, call, False))
        return self._exports.get(key, lambda: self._export(case, mode, call, True))

    def prepare(self, case: Case) -> _Prepared:
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
                    f"case {case.name!r}: building the model raises {type(error).__name__}: {_first_line(error)}"
                ) from error
            if not isinstance(module, torch.nn.Module):
                raise TargetError(
                    f"case {case.name!r}: build returns {type(module).__name__}, not a torch.nn.Module"
                )
            has_buffers = any(True for _ in module.buffers())
            self._prepared[_key(case)] = _Prepared(case, module, module.training, has_buffers, {})
        return self._prepared[_key(case)]

    def traits(self, case: Case, inputs: Inputs) -> frozenset[str]:
        """Return the model's traits, declared or found by tracing it on ``inputs``."""
        if case.traits is not None:
            return case.traits
        prepared = self.prepare(case)
        if prepared.traits is None:
            prepared.traits = exporters.model_traits(copy.deepcopy(prepared.module), clone(as_call(inputs)))
        return prepared.traits

    def _export(self, case: Case, mode: Mode, call: Call, repeat: bool) -> Exported:
        prepared = self.prepare(case)
        expectation = case.expect(mode, self.traits(case, call))
        first = repeat and not self._seen(case, mode)
        module, dynamic = copy.deepcopy(prepared.module), dynamic_axes(case, call)
        export = exporters.export(module, clone(call), mode, dynamic=dynamic, repeat=first)
        found: list[Divergence] = []
        refused = ""
        if export.failure is not None:
            if expectation.refuses_with(export.failure.message):
                refused = export.failure.message
            else:
                eager = self.eager(case, mode, call)
                if eager.error:
                    return Exported(expectation, b"", export, None, (), rejected=eager.error)
                found.append(_export_error(export.failure, expectation, eager))
        elif expectation.expected is Expected.REFUSES:
            found.append(
                Divergence(
                    Stage.CONVERT,
                    Kind.UNEXPECTED_SUCCESS,
                    "model",
                    "the export succeeds",
                    f"the export succeeds, though it is expected to refuse ({expectation.rule})",
                )
            )
        found += [
            Divergence(
                Stage.CONVERT,
                Kind.STALE_GLOBALS if what.startswith("GLOBALS.") else Kind.IMPURE_EXPORT,
                "model",
                what,
                f"exporting changed something it should not have: {what}: {detail}",
            )
            for what, detail in export.impurities
        ]
        if export.repeat:
            message = f"two exports of the same module differ: {export.repeat}"
            found.append(
                Divergence(Stage.CONVERT, Kind.NONDETERMINISTIC_EXPORT, "model", export.repeat, message)
            )
        inspected = None
        digest = b""
        if export.model is not None:
            model = export.model
            digest = hashlib.sha256(model).digest()
            inspected = self._graphs.get((digest, mode.opset), lambda: graph.inspect(model, mode.opset))
            found += inspected.divergences
            missing = graph.missing_nodes(inspected, expectation.nodes)
            if missing:
                present = ", ".join(sorted(inspected.nodes))
                found.append(
                    Divergence(
                        Stage.CONVERT,
                        Kind.GRAPH_CONTRACT,
                        "graph",
                        f"missing {', '.join(missing)}",
                        f"the graph lacks {', '.join(missing)}; it has {present} ({expectation.rule})",
                    )
                )
        return Exported(expectation, digest, export, inspected, tuple(found), refused)

    def _seen(self, case: Case, mode: Mode) -> bool:
        fresh: list[Mode] = []

        def note() -> bool:
            fresh.append(mode)
            return True

        # The exporters built on torch.export capture the same way whatever the opset is: once for each way of capturing
        # and converting. An export there takes a fifth of a second.
        way = (
            mode
            if mode.is_torchscript
            else (mode.exporter, mode.dynamic, mode.optimize, mode.opset < DEFAULT_OPSET)
        )
        self._repeated.get((_key(case), way), note)
        return not fresh

    def session(self, exported: Exported, runtime: str) -> runtimes.Session | runtimes.LoadError:
        """Load an exported model (memoised), or return why the runtime refuses it."""
        model = exported.export.model
        assert model is not None

        def load() -> runtimes.Session | runtimes.LoadError:
            with captured():
                try:
                    return runtimes.load(runtime, model)
                except runtimes.LoadError as error:
                    return error

        return self._sessions.get((exported.digest, runtime), load)


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
    ) -> None:
        self._road, self._case, self._mode, self._names = road, case, mode, names
        self._strict, self._repeat = strict, repeat
        self._example = None if export_inputs is None else as_call(export_inputs)
        self._exported: Exported | None = None
        self._mode_text = str(mode)
        self._declared: tuple[Any, list[Divergence]] = (None, [])
        self._apart = False

    def __call__(self, inputs: Inputs) -> list[Verdict]:
        """Return one verdict for each runtime."""
        return self._together([inputs])[0]

    def each(self, samples: Sequence[Inputs]) -> Iterator[list[Verdict]]:
        """Yield for each of many inputs one verdict for each runtime.

        Several are done together: first eager for all of them, then each runtime, then the comparison, each of
        which stays in the processor's caches that way. That takes half the time of one after the other.
        """
        start = 0
        while start < len(samples):
            together = 1 if self._apart or self._example is None else TOGETHER
            yield from self._together(samples[start : start + together])
            start += together

    def _together(self, samples: Sequence[Inputs]) -> list[list[Verdict]]:
        given = [as_call(inputs) for inputs in samples]
        # Arrays were copied into tensors; what eager does to those leaves the arrays as they are.
        own = [
            isinstance(inputs, tuple)
            and all(type(value) is np.ndarray and value.flags.c_contiguous for value in inputs)
            for inputs in samples
        ]
        eagers = self._eager([call if o else clone(call) for call, o in zip(given, own, strict=True)])
        if eagers is None:
            return [self(inputs) for inputs in samples]
        verdicts: list[list[Verdict]] = []
        accepted: list[tuple[Eager, dict[str, Array], list[Verdict]]] = []
        for inputs, call, is_own, eager in zip(samples, given, own, eagers, strict=True):
            verdicts.append(self._rejected(eager.error) if eager.error else [])
            if eager.error:
                continue
            example = ordinary_like(call) if self._example is None else self._example
            if self._exported is None or self._example is None:
                self._exported = self._road.export(self._case, self._mode, example, repeat=self._repeat)
            if self._exported.rejected:
                reason = f"{ON_EXAMPLE}{self._exported.rejected}"
                verdicts[-1].extend(self._rejected(reason))
                continue
            if is_own and not call.kwargs and len(call.args) == len(example.args):
                feeds = {f"x{number}": array for number, array in enumerate(cast(Any, inputs))}
                if self._exported.graph is not None and any(
                    i.name not in feeds for i in self._exported.graph.inputs
                ):
                    feeds = self._feeds(example, call)
            else:
                feeds = self._feeds(example, call)
            accepted.append((eager, feeds, verdicts[-1]))
        if accepted:
            self._judge([a[0] for a in accepted], [a[1] for a in accepted], [a[2] for a in accepted])
        return verdicts

    def _feeds(self, example: Call, call: Call) -> dict[str, Array]:
        module = self._road.prepare(self._case).module
        return {name: np.asarray(array_of(leaf)) for name, leaf in feeds_of(module, example, call).items()}

    def _eager(self, many: list[Call]) -> list[Eager] | None:
        if len(many) == 1:
            return [self._road.run_eager(self._case, self._mode, many[0])]
        eagers = self._road.run_eager_together(self._case, self._mode, many)
        if eagers is None:
            self._apart = True
        return eagers

    def _rejected(self, reason: str) -> list[Verdict]:
        case = self._case
        return [
            Verdict(case.name, self._mode_text, name, Outcome.REJECTED, reason=reason, target=case.target)
            for name in self._names
        ]

    def _judge(
        self, eagers: list[Eager], feeds: list[dict[str, Array]], verdicts: list[list[Verdict]]
    ) -> None:
        """Append the verdict of each runtime to the list of each sample."""
        exported = self._exported
        assert exported is not None
        typed: list[dict[str, Array]] | None = None
        # Runtimes of one family usually give the same outputs: what was found for each, and when.
        before: dict[int, tuple[tuple[Array, ...], list[Divergence]]] = {}
        for name in self._names:
            session, found, refused = self._load(exported, name)
            if session is None:
                for eager, own in zip(eagers, verdicts, strict=True):
                    own.append(self._verdict(name, exported, eager, found, refused=refused))
                continue
            assert exported.graph is not None
            if typed is None:
                typed = [_typed(arrays, exported.graph) for arrays in feeds]
            runs = [_run(session, name, arrays, exported.graph) for arrays in typed]
            outputs = [eager.outputs for eager in eagers]
            results = [
                None if raw is None else _as_complex(raw, own)
                for (raw, _), own in zip(runs, outputs, strict=True)
            ]
            suspects = range(1) if len(results) == 1 else oracle.suspects(outputs, results)
            for number, ((raw, found), got) in enumerate(zip(runs, results, strict=True)):
                if raw is not None and got is not None:
                    if eagers[number].foreign:
                        found = _foreign(eagers[number])
                    elif number in suspects:
                        last = before.get(number)
                        if last is None or not oracle.same_bits(last[0], got):
                            last = before[number] = got, oracle.compare(outputs[number], got)
                        found = last[1]
                    found = found + self._check_declared(exported.graph, typed[number], raw)
                verdicts[number].append(
                    self._verdict(name, exported, eagers[number], found, () if got is None else got)
                )

    def _load(
        self, exported: Exported, runtime: str
    ) -> tuple[runtimes.Session | None, list[Divergence], str]:
        """Return the session; or None, the divergences, and with which text the model is refused as expected."""
        if exported.export.model is None:
            return None, [], exported.refused
        session = self._road.session(exported, runtime)
        unloadable = exported.expectation.expected is Expected.UNLOADABLE
        if isinstance(session, runtimes.LoadError):
            text = str(session)
            if unloadable:
                return None, [], text
            signature = exporters.error_signature(session)
            error = Divergence(Stage.LOAD, Kind.LOAD_ERROR, "model", signature, f"{runtime}: {text}")
            return None, [error], ""
        if unloadable:
            message = (
                f"{runtime} loads the model, though it is expected to refuse ({exported.expectation.rule})"
            )
            success = Divergence(
                Stage.LOAD, Kind.UNEXPECTED_SUCCESS, "model", "the runtime loads it", message
            )
            return None, [success], ""
        return session, [], ""

    def _check_declared(
        self, inspected: graph.Graph, feeds: dict[str, Array], got: tuple[Array, ...]
    ) -> list[Divergence]:
        """Look at declared types once for all inputs and outputs of the same types."""
        key = (
            inspected,
            [(name, array.shape) for name, array in feeds.items()],
            [(array.dtype, array.shape) for array in got],
        )
        last, found = self._declared
        if last is None or last[0] is not inspected or last[1:] != key[1:]:
            found = graph.check_declared(inspected, feeds, got)
            self._declared = key, found
        return found

    def _verdict(
        self,
        runtime: str,
        exported: Exported,
        eager: Eager,
        found: Sequence[Divergence],
        got: tuple[Array, ...] = (),
        refused: str = "",
    ) -> Verdict:
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
        )


def _key(case: Case) -> Hashable:
    """Return what tells cases apart in a process: two models may have one name."""
    return case.name, case.target, id(case.build)


def _typed(feeds: dict[str, Array], inspected: graph.Graph) -> dict[str, Array]:
    """Return what the graph asks for.

    A Python number takes the dtype its input was declared with. A complex tensor is split into its parts where
    the input was declared as real, which is how the exporters built on ``torch.export`` declare every one.
    """
    typed = {}
    for declared in inspected.inputs:
        if declared.name not in feeds:
            continue
        array = feeds[declared.name]
        if declared.name.startswith("constant") and declared.dtype is not None:
            array = array.astype(declared.dtype)
        elif declared.dtype == dtypes.part(array.dtype):
            array = dtypes.parts(array)
        typed[declared.name] = array
    return typed


def _run(
    session: runtimes.Session, runtime: str, feeds: dict[str, Array], inspected: graph.Graph
) -> tuple[tuple[Array, ...] | None, list[Divergence]]:
    """Return the outputs; or None and what is wrong."""
    if len(feeds) < len(inspected.inputs):
        unknown = sorted({declared.name for declared in inspected.inputs} - feeds.keys())
        message = f"the model has inputs that eager has not: {', '.join(unknown)}"
        return None, [Divergence(Stage.RUN, Kind.STRUCTURE, "inputs", "unknown inputs", message)]
    try:
        return tuple(session.run(feeds)), []
    except runtimes.RunError as error:
        signature = exporters.error_signature(error)
        return None, [Divergence(Stage.RUN, Kind.RUN_ERROR, "model", signature, f"{runtime}: {error}")]


def _as_complex(raw: Sequence[Array], eager: Sequence[Array]) -> tuple[Array, ...]:
    """Return the outputs of a runtime, those that hold the parts of a complex output put together again."""
    if len(raw) != len(eager):
        return tuple(raw)
    if not any(dtypes.is_complex(one.dtype) for one in eager):
        return tuple(raw)
    return tuple(
        dtypes.joined(array, one.dtype) if dtypes.represents(array, one.dtype, one.ndim) else array
        for array, one in zip(raw, eager, strict=True)
    )


def _export_error(failure: exporters.ExportFailure, expectation: Expectation, eager: Eager) -> Divergence:
    message = f"{failure.error}: {failure.message}"
    if eager.numbers or eager.foreign:
        message += f"\n(in eager, {', '.join((*eager.numbers, *eager.foreign))}: no tensor)"
    if expectation.expected is Expected.REFUSES:
        message = f"the export refuses otherwise than expected ({expectation.rule}): {message}"
    return Divergence(failure.stage, Kind.EXPORT_ERROR, "model", failure.signature, message)


def _outputs(result: Any) -> Eager:
    """Return the outputs of the eager model, flattened as exporters flatten them, or its error; they leave out None."""
    if isinstance(result, BaseException):
        return Eager((), f"{type(result).__name__}: {_first_line(result)}")
    outputs: list[Array] = []
    numbers: list[str] = []
    foreign: list[str] = []
    for leaf in leaves(result):
        kind = f"output[{len(outputs) + len(foreign)}] is of type {type(leaf).__name__}"
        if isinstance(leaf, torch.Tensor):
            try:
                outputs.append(to_array(leaf))
            except Exception as error:  # noqa: BLE001 - a dtype that numpy does not have
                return Eager((), f"{type(error).__name__}: {_first_line(error)}")
        elif isinstance(leaf, bool | int | float):
            outputs.append(np.asarray(leaf))
            numbers.append(kind)
        elif leaf is not None:
            foreign.append(kind)
    return Eager(tuple(outputs), numbers=tuple(numbers), foreign=tuple(foreign))


def _foreign(eager: Eager) -> list[Divergence]:
    """Return what is wrong with an exported model where eager returns what no ONNX model can."""
    return [
        Divergence(
            Stage.COMPARE,
            Kind.STRUCTURE,
            what.partition(" ")[0],
            what.partition(" ")[2],
            f"in eager, {what}, which no ONNX model returns; the export drops it in silence",
        )
        for what in eager.foreign
    ]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""
