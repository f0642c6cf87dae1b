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
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from diffexport import dtypes, exporters, graph, oracle, runtimes
from diffexport.bridge import to_array, to_tensor
from diffexport.call import Call, Inputs, leaves, mapped
from diffexport.case import Case
from diffexport.chatter import captured
from diffexport.errors import TargetError
from diffexport.expectation import Expectation, Expected
from diffexport.exporters.arguments import DynamicAxes, clone, feeds_of, tensors_of
from diffexport.mode import Mode
from diffexport.spec import DTYPES, Dim, TensorSpec
from diffexport.strategies.examples import ordinary
from diffexport.verdict import Divergence, Kind, Outcome, Severity, Stage, Verdict

Array = np.ndarray[Any, Any]
V = TypeVar("V")


#: torch's seed while a case builds its module.
BUILD_SEED = 0

#: Samples of a block that are run together.
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
        with warnings.catch_warnings():
            # What the model and the runtimes warn about while running is not the user's to act on.
            warnings.simplefilter("ignore")
            return self._check(case, mode, names, as_call(inputs), export_inputs, strict, repeat)

    @contextlib.contextmanager
    def block(
        self,
        case: Case,
        mode: Mode,
        names: Sequence[str],
        call: Call,
        export_inputs: Inputs | None,
        strict: bool,
        repeat: bool,
    ) -> list[Verdict]:
        def rejected(reason: str) -> list[Verdict]:
            return [
                Verdict(case.name, str(mode), name, Outcome.REJECTED, reason=reason, target=case.target)
                for name in names
            ]

        example = as_call(export_inputs) if export_inputs is not None else ordinary_like(call)
        eager = self.eager(case, mode, call)
        if eager.error:
            return rejected(eager.error)
        exported = self.export(case, mode, example, repeat=repeat)
        if exported.rejected:
            return rejected(f"on the inputs to export with: {exported.rejected}")
        module = self.prepare(case).module
        feeds = {name: np.asarray(array_of(leaf)) for name, leaf in feeds_of(module, example, call).items()}
        return [self._judge(case, mode, name, exported, eager, feeds, strict) for name in names]

    def eager(self, case: Case, mode: Mode, inputs: Inputs) -> Eager:
        """Run the eager model, in training mode if the mode exports it so, on copies of the inputs."""
        return self.run_eager(case, mode, _clone(args))

    def run_eager(self, case: Case, mode: Mode, args: tuple[Any, ...]) -> Eager:
        """Run the eager model on inputs that it may change."""
        eager = _outputs(self._run_module(case, mode, [args])[0])
        # A module may give out memory that it writes to the next time.
        return Eager(tuple([array.copy() for array in eager.outputs]), eager.error)

    def run_eager_together(
        self, case: Case, mode: Mode, many: Sequence[tuple[Any, ...]]
    ) -> list[Eager] | None:
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

    def _run_module(self, case: Case, mode: Mode, many: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return for each of many inputs what the module returns, or the error that it raises."""
        prepared = self.prepare(case)
        training = prepared.training
        if mode.is_torchscript:
            training = {"TRAINING": True, "EVAL": False}.get(mode.training, training)
        try:
            call = clone(as_call(inputs))
            return _outputs(prepared.for_run(training)(*call.args, **call.kwargs))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything; it rejects these
            return Eager((), f"{type(error).__name__}: {_first_line(error)}")

    def export(self, case: Case, mode: Mode, inputs: Inputs, *, repeat: bool = True) -> Exported:
        """Export (memoised) and check the graph on its own.

        The first export in each mode is made twice, to see that it repeats identically; not so without ``repeat``.
        """
        call = as_call(inputs)
        key = (_key(case), mode, _digest(call))
        if not repeat and key not in self._exports:
            return self._exports.get((*key, "once"), lambda: self._export(case, mode, call, False))
        return self._exports.get(key, lambda: self._export(case, mode, call, True))

    def prepare(self, case: Case) -> _Prepared:
        """Build the case's module once.

        Raises:
            TargetError: ``build`` raises or does not return a module.
        """
        key = _key(case)
        if key not in self._prepared:
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
            self._prepared[key] = _Prepared(case, module, module.training, has_buffers, {})
        return self._prepared[key]

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

        self._repeated.get((_key(case), mode), note)
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
        export_inputs: Sequence[Any] | None,
        strict: bool,
    ) -> None:
        self._road, self._case, self._mode, self._names, self._strict = road, case, mode, names, strict
        self._example = None if export_inputs is None else as_args(export_inputs)
        self._exported: Exported | None = None
        self._mode_text = str(mode)
        self._declared: tuple[Any, list[Divergence]] = (None, [])
        self._apart = False

    def __call__(self, inputs: Sequence[Any]) -> list[Verdict]:
        """Return one verdict for each runtime."""
        return self._together([inputs])[0]

    def each(self, samples: Sequence[Sequence[Any]]) -> Iterator[list[Verdict]]:
        """Yield for each tuple of inputs one verdict for each runtime.

        Several are done together: first eager for all of them, then each runtime, then the comparison, each of
        which stays in the processor's caches that way. That takes half the time of one after the other.
        """
        start = 0
        while start < len(samples):
            together = 1 if self._apart or self._example is None else TOGETHER
            yield from self._together(samples[start : start + together])
            start += together

    def _together(self, samples: Sequence[Sequence[Any]]) -> list[list[Verdict]]:
        given = [as_args(inputs) for inputs in samples]
        # Arrays were copied into tensors; what eager does to those leaves the arrays as they are.
        own = [
            all(type(value) is np.ndarray and value.flags.c_contiguous for value in inputs)
            for inputs in samples
        ]
        eagers = self._eager([a if o else _clone(a) for a, o in zip(given, own, strict=True)])
        if eagers is None:
            return [self(inputs) for inputs in samples]
        verdicts: list[list[Verdict]] = []
        accepted: list[tuple[Eager, dict[str, Array], list[Verdict]]] = []
        for inputs, args, is_own, eager in zip(samples, given, own, eagers, strict=True):
            verdicts.append(self._rejected(eager) if eager.error else [])
            if eager.error:
                continue
            if self._exported is None or self._example is None:
                example = ordinary_like(args) if self._example is None else self._example
                self._exported = self._road.export(self._case, self._mode, example)
            if is_own:
                feeds = {f"x{number}": array for number, array in enumerate(inputs)}
            else:
                feeds = {
                    name: _array(leaf) if isinstance(leaf, torch.Tensor) else np.asarray(leaf)
                    for name, leaf in named_leaves(args).items()
                }
            accepted.append((eager, feeds, verdicts[-1]))
        if accepted:
            self._judge([a[0] for a in accepted], [a[1] for a in accepted], [a[2] for a in accepted])
        return verdicts

    def _eager(self, many: list[tuple[Any, ...]]) -> list[Eager] | None:
        if len(many) == 1:
            return [self._road.run_eager(self._case, self._mode, many[0])]
        eagers = self._road.run_eager_together(self._case, self._mode, many)
        if eagers is None:
            self._apart = True
        return eagers

    def _rejected(self, eager: Eager) -> list[Verdict]:
        case = self._case
        return [
            Verdict(
                case.name, self._mode_text, name, Outcome.REJECTED, reason=eager.error, target=case.target
            )
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
            results = [_run(session, name, arrays, exported.graph) for arrays in typed]
            outputs = [eager.outputs for eager in eagers]
            suspects = range(1) if len(results) == 1 else oracle.suspects(outputs, [r[0] for r in results])
            for number, (got, found) in enumerate(results):
                if got is not None:
                    if number in suspects:
                        last = before.get(number)
                        if last is None or not oracle.same_bits(last[0], got):
                            last = before[number] = got, oracle.compare(outputs[number], got)
                        found = last[1]
                    found = found + self._check_declared(exported.graph, feeds[number], got)
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
        known = {declared.name for declared in exported.graph.inputs}
        unknown = sorted(known - feeds.keys())
        if unknown:
            message = f"the model has inputs that eager has not: {', '.join(unknown)}"
            return verdict([Divergence(Stage.RUN, Kind.STRUCTURE, "inputs", "unknown inputs", message)])
        typed = _typed(feeds, exported.graph)
        try:
            raw = session.run(typed)
        except runtimes.RunError as error:
            signature = exporters.error_signature(error)
            return verdict([Divergence(Stage.RUN, Kind.RUN_ERROR, "model", signature, f"{runtime}: {error}")])
        got = _as_complex(raw, eager.outputs)
        found = _foreign(eager) or oracle.compare(eager.outputs, got)
        found += graph.check_declared(exported.graph, typed, raw)
        return verdict(found, got)


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


def _as_complex(raw: Sequence[Array], eager: Sequence[Array]) -> tuple[Array, ...]:
    """Return the outputs of a runtime, those that hold the parts of a complex output put together again."""
    if len(raw) != len(eager):
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
    """Return the outputs of the eager model, flattened as exporters flatten them; they leave out None."""
    outputs: list[Array] = []
    numbers: list[str] = []
    foreign: list[str] = []
    for leaf in leaves(result):
        kind = f"output[{len(outputs) + len(foreign)}] is of type {type(leaf).__name__}"
        if isinstance(leaf, torch.Tensor):
            outputs.append(to_array(leaf))
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


def as_call(inputs: Inputs) -> Call:
    """Return the call with every numpy array turned into a tensor of the same strides.

    Raises:
        UsageError: ``inputs`` is a single tensor or array instead of a sequence of arguments.
    """
    call: Call = mapped(Call.of(inputs), _tensor)
    return call


def as_plain(inputs: Inputs) -> tuple[Any, ...] | Call:
    """Return copies as they are kept in findings: arrays, and tensors where an array could not say it all.

    That is a tensor that requires a gradient, or that starts inside its storage.
    """

    def kept(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor) and not leaf.requires_grad and not leaf.storage_offset():
            return to_array(clone(leaf))
        return clone(leaf)

    call: Call = mapped(Call.of(inputs), kept)
    return call.plain()


def array_of(value: Any) -> Any:
    """Return the array with the values and strides of a tensor; anything else as it is."""
    return to_array(value) if isinstance(value, torch.Tensor) else value


def ordinary_like(call: Call) -> Call:
    """Return ordinary example values with the shapes and dtypes of ``call``; other values are kept."""
    tensors = tensors_of(call)
    if any(str(t.dtype).removeprefix("torch.") not in DTYPES for t in tensors):
        return call
    arrays = ordinary(
        [tuple(t.shape) for t in tensors], [str(t.dtype).removeprefix("torch.") for t in tensors]
    )
    made = {
        id(tensor): to_tensor(array.copy()).requires_grad_(tensor.requires_grad)
        for tensor, array in zip(tensors, arrays, strict=True)
    }
    filled: Call = mapped(call, lambda leaf: made.get(id(leaf), leaf))
    return filled


def _tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if not value.flags.c_contiguous and value.size:
        steps = [stride // value.itemsize for stride in value.strides]
        extent = 1 + sum((size - 1) * step for size, step in zip(value.shape, steps, strict=True))
        storage = np.zeros(extent, dtype=value.dtype)
        np.lib.stride_tricks.as_strided(storage, value.shape, value.strides)[...] = value
        return to_tensor(storage).as_strided(value.shape, steps)
    return to_tensor(value.copy())


def dynamic_axes(case: Case, inputs: Inputs) -> DynamicAxes | None:
    """Return the axes that the case's specs leave free, by name where they have one; None without specs."""
    call = as_call(inputs)
    if not case.specs or len(call.args) != len(case.inputs) or call.kwargs:
        return None
    axes: list[dict[int, str | None]] = []
    for entry, value in zip(case.inputs, call.args, strict=True):
        for tensor in tensors_of((value,)):
            dims = entry.dims_for(tensor.dim()) if isinstance(entry, TensorSpec) else (Dim(),) * tensor.dim()
            axes.append(
                {axis: None if dim.one else dim.name for axis, dim in enumerate(dims) if dim.low != dim.high}
            )
    return tuple(axes)


def _digest(call: Call) -> bytes:
    state = hashlib.sha256()
    numbers: dict[int, int] = {}
    for tensor in tensors_of(call):
        laid_out = (tensor.stride(), tensor.storage_offset(), tensor.requires_grad)
        same_as = numbers.setdefault(id(tensor), len(numbers))
        state.update(repr((str(tensor.dtype), tuple(tensor.shape), laid_out, same_as)).encode())
        state.update(to_array(tensor).tobytes())
    state.update(repr(mapped(call, lambda leaf: "T" if isinstance(leaf, torch.Tensor) else leaf)).encode())
    return state.digest()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""
