"""For tests: assert that one trial agrees, or check a model in every mode.

Both raise or return findings as data; with the pytest plugin they are stored as regressions by themselves. Neither
reads a configuration: what holds is what is given.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from diffexport import exclusion, matrix, traits
from diffexport import known as known_divergences
from diffexport.call import Call, Inputs
from diffexport.case import Case, extra_calls, make_case
from diffexport.config import PROFILES
from diffexport.engine.diverged import attribute, diverged
from diffexport.engine.events import Event
from diffexport.engine.explore import Explorer, Settings, arrays_of
from diffexport.engine.minimise import Point
from diffexport.engine.run import applicable, shipped_for
from diffexport.engine.units import replay_entry
from diffexport.errors import RegressionFileError, UsageError
from diffexport.exclusion import Exclusion
from diffexport.expectation import Rule
from diffexport.known import Known
from diffexport.mode import Mode
from diffexport.regressions import files, load
from diffexport.report.summary import Summary
from diffexport.result import Result
from diffexport.road import Road
from diffexport.runtimes import available, select
from diffexport.spec import TensorSpec
from diffexport.strategies.texts import parse_inputs
from diffexport.target import builder_of
from diffexport.terms import TermOptions, Terms
from diffexport.verdict import Verdict, slugify

if TYPE_CHECKING:
    from diffexport.infer import Inference

#: Where regressions are looked for unless said otherwise.
REGRESSIONS = "tests/regressions"


@cache
def shared_road() -> Road:
    """Return the road that all tests of a process share, so that exports and sessions are made once."""
    return Road()


@cache
def shipped_known(target: str) -> tuple[Known, ...]:
    """Return the shipped known divergences that concern a target, for the installed versions."""
    return shipped_for(target)


def assert_agrees(
    case: Case,
    mode: Mode | str,
    inputs: Inputs,
    *,
    runtimes: Iterable[str] | None = None,
    export_inputs: Inputs | None = None,
    known: Iterable[Known] | None = None,
    strict: bool = False,
) -> list[Verdict]:
    """Check one trial on every runtime; return the verdicts, none where a known crash would take the process along.

    Args:
        case: the model under test.
        mode: how to export it, or its text.
        inputs: a tuple of positional arguments or a [Call][diffexport.call.Call]; tensors or numpy arrays, nested
            or not, and other values.
        runtimes: names; by default every one that is installed.
        export_inputs: what to export with; by default ordinary values of the shapes of ``inputs``.
        known: divergences that are accepted besides the case's own; by default the catalogue's.
        strict: let notes fail.

    Raises:
        Diverged: for the first divergence that is not known. Its type is one for each failure, so that
            Hypothesis shrinks different failures apart from each other.
    """
    mode = Mode.parse(mode) if isinstance(mode, str) else mode
    names = select(runtimes) if runtimes is not None else available()
    entries = (*case.known, *(shipped_known(case.target) if known is None else known))
    inputs = Call.of(inputs).plain()
    example = inputs if export_inputs is None else Call.of(export_inputs).plain()
    explorer = Explorer(case, names, Settings(), entries, emit=lambda _: None, road=shared_road())
    if explorer.known_to_kill(mode, inputs, example) is not None:
        return []
    verdicts = shared_road().check_runtimes(
        case, mode, names, inputs, export_inputs=export_inputs, strict=strict
    )
    for verdict, divergence, identity in attribute(verdicts):
        entry = known_divergences.find(
            entries,
            case.name,
            mode,
            verdict.runtime,
            divergence,
            lambda trait: traits.holds(trait, arrays_of(inputs), arrays_of(example)),
        )
        if entry is None:
            point = Point(mode, identity.runtime or verdict.runtime, inputs, example)
            raise diverged(case, identity, point, verdict, divergence, shrunk=True)
    return verdicts


def check(
    model: Any,
    *,
    inputs: Sequence[str | TensorSpec | Any] = (),
    strategy: Any = None,
    modes: str | Iterable[str] = ("default",),
    runtimes: str | Iterable[str] = ("all",),
    examples: int | None = None,
    seed: int = 0,
    rules: Sequence[Rule] = (),
    known: Iterable[Known] = (),
    exclude: Mapping[str, str] | Sequence[Exclusion] = (),
    strict: bool = False,
    extra_inputs: Sequence[Inputs] = (),
    name: str = "",
    target: str = "",
    save: str | Path | None = None,
    matrices: Mapping[str, Sequence[str]] | None = None,
    emit: Callable[[Event], None] | None = None,
    **terms: Unpack[TermOptions],
) -> Result:
    """Check a model in every mode with generated inputs.

    Args:
        model: a [Case][diffexport.case.Case], a ``torch.nn.Module`` (instance, class or factory) or an
            ``autograd.Function``.
        inputs: one entry for each positional argument, a tensor spec or a Hypothesis strategy; or
        strategy: a Hypothesis strategy for the tuple of positional arguments, or for a
            [Call][diffexport.call.Call] with keywords. Without either, diffexport works out how to call the model.
        modes: matrices, modes or mode patterns.
        runtimes: names, ``ort`` or ``all``.
        examples: Hypothesis examples for each mode; by default the more, the fewer modes there are.
        seed: the same seed gives the same run.
        rules: expectations, tried before the general ones.
        known: accepted divergences besides the catalogue's; see [known_divergence][diffexport.known.known_divergence].
            Their regressions are replayed first: one that no longer diverges makes the result fail.
        exclude: mode pattern to the reason why such modes are not run.
        strict: let notes fail.
        extra_inputs: calls that are checked in every mode besides what is generated: tuples of positional arguments
            or [Call][diffexport.call.Call]s.
        name, target: what the case is called, and the text by which a stored regression finds it again.
        save: the folder in which findings are stored as regressions, and those of known divergences looked for
            (else in ``tests/regressions``).
        matrices: matrices besides ``default`` and ``full``, by name.
        emit: receives every event as it happens.
        terms: what is asked of export and comparison besides the mode; see [Terms][diffexport.terms.Terms].

    Raises:
        UsageError: no inputs can be generated, a name does not exist, an option is unknown or wrong.
    """
    case = as_case(
        model,
        inputs=inputs,
        strategy=strategy,
        rules=rules,
        known=known,
        exclude=exclude,
        extra_inputs=extra_inputs,
        name=name,
        target=target,
        **terms,
    )
    summary = Summary(None if save is None else Path(save))

    def take(event: Event) -> None:
        summary.take(event)
        if emit is not None:
            emit(event)

    chosen = matrix.select((modes,) if isinstance(modes, str) else modes, matrices)
    profile = PROFILES["dev"]
    if examples is None:
        examples = profile.examples_for(len(chosen))
    settings = Settings(examples=examples, block=profile.block_for(len(chosen)), seed=seed, strict=strict)
    names = select((runtimes,) if isinstance(runtimes, str) else runtimes)
    # A road of its own: another model may have been checked under this name.
    road = Road()
    own = replace(case, known=applicable(case.known))
    _replay_known(own, chosen, Path(REGRESSIONS if save is None else save), road, take)
    Explorer(own, names, settings, shipped_known(case.target), emit=take, road=road).explore(chosen)
    return Result(
        case.name,
        tuple(summary.findings),
        tuple(summary.modes),
        "\n".join(summary.failed.values()),
        "\n".join(summary.advice.values()),
        tuple(summary.excluded),
        tuple(summary.replayed),
        case.terms,
        tuple(summary.saved.items()),
        tuple(summary.save_errors.items()),
        case.texts,
    )


def _replay_known(
    case: Case, modes: Sequence[Mode], folder: Path, road: Road, emit: Callable[[Event], None]
) -> None:
    """Replay the regressions of the case's known divergences that are about an exporter of these modes."""
    exporters = {mode.exporter for mode in modes}
    for entry in case.known:
        if not any(entry.concerns(case.name, mode, "") for mode in modes):
            continue
        path = folder / entry.regression
        if path.is_file() and about_another(path, exporters):
            continue
        replay_entry(entry, (folder,), road, emit, case)


def about_another(path: Path, exporters: Container[str]) -> bool:
    """Return whether a regression is about another exporter than one of these; False if it cannot be read."""
    try:
        return load(path).mode.exporter not in exporters
    except RegressionFileError:
        return False


def stored_of(case: Case, folder: Path, exporters: Container[str]) -> Iterator[Path]:
    """Yield the files of a folder that hold regressions of a case, found with one of these exporters."""
    for path in files([folder]):
        if path.name.startswith(f"{slugify(case.name)}--"):
            with contextlib.suppress(RegressionFileError):
                stored = load(path)
                same = (stored.case, stored.target) == (case.name, case.target)
                if same and stored.mode.exporter in exporters:
                    yield path


def case_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the arguments of [check][] that make the case."""
    ours = inspect.signature(as_case).parameters.keys() | TermOptions.__annotations__.keys()
    return {name: value for name, value in options.items() if name in ours}


def as_case(
    model: Any,
    *,
    inputs: Sequence[str | TensorSpec | Any] = (),
    strategy: Any = None,
    rules: Sequence[Rule] = (),
    known: Iterable[Known] = (),
    exclude: Mapping[str, str] | Sequence[Exclusion] = (),
    extra_inputs: Sequence[Inputs] = (),
    name: str = "",
    target: str = "",
    **terms: Unpack[TermOptions],
) -> Case:
    """Make a case of a model; see [check][] for the arguments. What is given for a Case is added to its own.

    Raises:
        UsageError: it is no model, no inputs are given for it and none can be worked out, or an option is wrong.
    """
    if isinstance(model, Case):
        agreed = Terms.of({**model.terms.document(), **terms})
        if inputs or strategy is not None:
            given = make_case(model.name, model.build, inputs=inputs, strategy=strategy)
            model = replace(model, inputs=given.inputs, strategy=given.strategy)
        return replace(
            model,
            rules=(*rules, *model.rules),
            known=(*model.known, *known),
            exclude=(*model.exclude, *exclusion.of(exclude)),
            extra_inputs=(*model.extra_inputs, *extra_calls(extra_inputs)),
            terms=agreed,
            name=name or model.name,
            target=target or model.target,
        )
    import torch

    if isinstance(model, torch.jit.ScriptModule):
        # There is no other way to export it.
        terms["script"] = True
    called = name or name_of(model)
    found: tuple[str, ...] = ()
    if not inputs and strategy is None:
        found = inferred(model, called)
        inputs = parse_inputs(found)
    case = make_case(
        called,
        builder_of(model),
        inputs=inputs,
        strategy=strategy,
        rules=rules,
        known=tuple(known),
        exclude=exclude,
        extra_inputs=extra_inputs,
        target=target or target_of(model),
        **terms,
    )
    return replace(case, texts=found)


def name_of(model: Any) -> str:
    """Return what a model is called: its own name, or that of its class.

    Raises:
        UsageError: it is no model.
    """
    import torch

    if isinstance(model, Case):
        return model.name
    if isinstance(model, torch.nn.Module):
        # Of a scripted one, the name of what was scripted.
        return str(getattr(model, "original_name", type(model).__name__))
    if callable(model):
        made = model.func if isinstance(model, functools.partial) else model
        return str(getattr(made, "__name__", type(made).__name__))
    raise UsageError(
        f"{model!r} is neither a Case, a torch.nn.Module, a factory of one nor an autograd.Function"
    )


#: What may be inferred, but not be compared with an export.
_INCOMPARABLE = ("random", "stateful", "non-tensor")


def inferred(model: Any, name: str) -> tuple[str, ...]:
    """Return the texts of the inputs of a model that comes without any, worked out by trying.

    Raises:
        UsageError: they cannot be worked out, or no export could agree; the message says how to declare them.
    """
    from diffexport.infer import STATUSES

    found = _inference(model, name)
    if found.inputs and found.status not in _INCOMPARABLE:
        return tuple(found.inputs)
    if not found.inputs:
        why = found.message or f"{name}: {STATUSES[found.status]}; declare them: inputs=['float32[N, 3]']"
        raise UsageError(f"the inputs of {name} are not declared, and cannot be worked out: {why}")
    raise UsageError(
        f"{name}: {STATUSES[found.status]}, so that no export can be held against it; to check it all the same, "
        f"declare its inputs: inputs={list(found.inputs)!r}"
    )


#: What was inferred in this process, and of which model: a test of it has an item for each exporter.
_INFERENCES: dict[int, tuple[Any, Inference]] = {}


def _inference(model: Any, name: str) -> Inference:
    from diffexport.infer import infer

    if id(model) not in _INFERENCES:
        # The model is kept beside it: another object cannot get its id meanwhile.
        _INFERENCES[id(model)] = model, infer(model, name=name)
    return _INFERENCES[id(model)][1]


def target_of(model: Any) -> str:
    """Return ``file.py:attr`` for something defined at the top of a file, else empty."""
    definition = model if isinstance(model, type) or inspect.isfunction(model) else None
    qualified = getattr(definition, "__qualname__", "")
    if definition is None or not qualified or "<" in qualified:
        return ""
    try:
        file = Path(inspect.getfile(definition)).resolve()
    except (TypeError, OSError):
        return ""
    try:
        return f"{file.relative_to(Path.cwd())}:{qualified}"
    except ValueError:
        return f"{file}:{qualified}"
