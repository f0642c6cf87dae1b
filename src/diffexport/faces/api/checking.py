"""For tests: assert that one trial agrees, or check a model in every mode.

Both raise or return findings as data; with the pytest plugin they are stored as regressions by themselves. Neither
reads a configuration: what holds is what is given.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any, Unpack

from diffexport.backends.runtimes import available, select, witnesses
from diffexport.config import PROFILES
from diffexport.errors import RegressionFileError
from diffexport.explore import (
    Announce,
    Explorer,
    Settings,
    TurnOrder,
    apart,
    applicable,
    check_trial,
    deliver,
    drive,
    order_of_use,
    replay_entry,
    shipped_for,
)
from diffexport.faces.api.model_case import as_case
from diffexport.faces.api.result import Result
from diffexport.findings.events import CheckStarting, Event, KnownReplayed, Suspected
from diffexport.findings.journal import RunJournal
from diffexport.findings.regressions import FindingStore, Regression, files, load
from diffexport.findings.reports import Tally
from diffexport.pipeline import Pipeline
from diffexport.processes import limited_steps
from diffexport.subjects.cases import Case, Exclusion, Known, Rule
from diffexport.values import (
    ALL_INPUTS,
    DEFAULT_STEP_LIMITS,
    Budget,
    Inputs,
    InputScope,
    Mode,
    StepLimits,
    TensorSpec,
    TermOptions,
    Verdict,
    named_modes,
    parse_duration,
    select_modes,
    slugify,
)

#: Opens the journal of a check, given the case, the modes, the runtimes and the settings.
OpenJournal = Callable[[Case, Sequence[Mode], Sequence[str], Settings], RunJournal]
#: Set by whoever runs checks one after the other and may go on where he was ended; nothing is kept by default.
JOURNALS: ContextVar[OpenJournal | None] = ContextVar("diffexport_journals", default=None)

#: Where regressions are looked for unless said otherwise.
REGRESSIONS = "tests/regressions"


@cache
def shared_road() -> Pipeline:
    """Return the pipeline that all tests of a process share, so that exports and sessions are made once."""
    return Pipeline()


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
    limits: StepLimits = DEFAULT_STEP_LIMITS,
) -> list[Verdict]:
    """Check one trial on every runtime; return the verdicts, none where a known crash would take the process along.

    Args:
        case: the model under test.
        mode: how to export it, or its text.
        inputs: a tuple of positional arguments or a [Call][diffexport.Call]; tensors or numpy arrays, nested
            or not, and other values.
        runtimes: names; by default every one that is installed.
        export_inputs: what to export with; by default ordinary values of the shapes of ``inputs``.
        known: divergences that are accepted besides the case's own; by default the catalogue's.
        strict: let notes fail.
        limits: as in [check][].

    Raises:
        Diverged: for the first divergence that is not known. Its type is one for each failure, so that
            Hypothesis shrinks different failures apart from each other.
    """
    with limited_steps(limits):
        return check_trial(
            shared_road(),
            case,
            Mode.parse(mode) if isinstance(mode, str) else mode,
            select(runtimes) if runtimes is not None else available(),
            inputs,
            export_inputs=export_inputs,
            known=shipped_known(case.target) if known is None else known,
            strict=strict,
            limits=limits,
        )


def check(
    model: Any,
    *,
    inputs: Sequence[str | TensorSpec | Any] | Mapping[str, Any] = (),
    strategy: Any = None,
    modes: str | Iterable[str] = ("default",),
    runtimes: str | Iterable[str] = ("all",),
    examples: int | None = None,
    seed: int = 0,
    rules: Sequence[Rule] = (),
    known: Iterable[Known] = (),
    exclude: Mapping[str, str] | Sequence[Exclusion] = (),
    strict: bool = False,
    ordinary: bool = False,
    no_empty: bool = False,
    empty_examples: bool = False,
    extra_inputs: Sequence[Inputs] = (),
    name: str = "",
    target: str = "",
    save: str | Path | None = None,
    matrices: Mapping[str, Sequence[str]] | None = None,
    limits: StepLimits = DEFAULT_STEP_LIMITS,
    time: str | float | None = None,
    rounds: int | None = None,
    emit: Callable[[Event], None] | None = None,
    **terms: Unpack[TermOptions],
) -> Result:
    """Check a model in every mode with generated inputs.

    Args:
        model: a [Case][diffexport.Case], a ``torch.nn.Module`` (its class, a factory), or an ``autograd.Function``.
        inputs: a tensor spec or a Hypothesis strategy for each argument, see [make_case][diffexport.make_case]; or
        strategy: one for the tuple of positional arguments, or for a [Call][diffexport.Call] with keywords. Without
            either, diffexport works out how to call the model.
        modes, runtimes: matrices, modes or mode patterns; names, ``ort`` or ``all``.
        examples, seed: of Hypothesis for each mode, by default the more, the fewer modes; the same gives the same run.
        rules: expectations, tried before the general ones.
        known: accepted divergences besides the catalogue's ([known_divergence][diffexport.known_divergence]).
        exclude: mode pattern to the reason why such modes are not run.
        strict, ordinary, no_empty, empty_examples: let notes fail; see [InputScope][diffexport.values.InputScope].
        extra_inputs: calls that are always checked as well, tuples or [Call][diffexport.Call]s.
        name, target: what the case is called; the text by which a stored regression finds it again.
        save: the folder for findings and for regressions of known divergences; those are else in ``tests/regressions``.
        matrices: matrices besides ``default`` and ``full``, by name.
        limits: how long one export and one check may take, see [StepLimits][diffexport.StepLimits]; what runs in
            Python, or waits, for longer becomes a finding. What hangs in native code cannot be interrupted here.
        time, rounds: explore modes in turns, for so long (``"90s"``, or seconds) or so many rounds; see docs/budget.md.
        emit: receives every event as it happens.
        terms: see [Terms][diffexport.Terms].

    Raises:
        UsageError: no inputs can be generated, a name does not exist, an option is unknown or wrong.
    """
    given: dict[str, Any] = {"rules": rules, "known": known, "exclude": exclude, "extra_inputs": extra_inputs}
    case = as_case(model, inputs=inputs, strategy=strategy, name=name, target=target, **given, **terms)
    chosen, named = _chosen_modes(modes, matrices)
    how: dict[str, Any] = {"examples": examples, "seed": seed, "strict": strict, "limits": limits}
    scope = InputScope(ordinary, no_empty, empty_examples)
    how |= {"time": time, "rounds": rounds, "selected": named, "scope": scope}
    return explored(case, chosen, runtimes, settings_for(len(chosen), **how), save=save, emit=emit)


def _chosen_modes(
    modes: str | Iterable[str], matrices: Mapping[str, Sequence[str]] | None
) -> tuple[tuple[Mode, ...], tuple[Mode, ...] | None]:
    """Return the modes that are run, and those that were named one by one, see [named_modes][]."""
    texts = (modes,) if isinstance(modes, str) else tuple(modes)
    return select_modes(texts, matrices), named_modes(texts, matrices)


def settings_for(
    modes: int,
    *,
    examples: int | None = None,
    seed: int = 0,
    strict: bool = False,
    limits: StepLimits = DEFAULT_STEP_LIMITS,
    time: str | float | None = None,
    rounds: int | None = None,
    scope: InputScope = ALL_INPUTS,
    selected: tuple[Mode, ...] | None = None,
) -> Settings:
    """Return how a case is explored in a run over so many modes: the fewer, the more examples, unless said.

    Raises:
        UsageError: the time is none.
    """
    profile = PROFILES["dev"]
    budget = None
    if time is not None or rounds is not None:
        seconds = None if time is None else parse_duration(str(time))
        budget = Budget(seconds, rounds, goes_on=examples is None)
    return Settings(
        examples=profile.examples_for(modes) if examples is None else examples,
        block=profile.block_for(modes),
        seed=seed,
        strict=strict,
        steps=limits,
        budget=budget,
        scope=scope,
        selected=selected,
    )


def explored(
    case: Case,
    modes: Sequence[Mode],
    runtimes: str | Iterable[str],
    settings: Settings,
    *,
    save: str | Path | None = None,
    emit: Callable[[Event], None] | None = None,
) -> Result:
    """Replay what is known of a case, and explore it; see [check][] for the arguments.

    Raises:
        UsageError: there is no such runtime, or nothing of an input is in scope.
        KeyboardInterrupt: it was interrupted; what was seen by then is stored.
    """
    asked = (runtimes,) if isinstance(runtimes, str) else tuple(runtimes)
    names, store, tally = select(asked), FindingStore(None if save is None else Path(save)), Tally()

    def listen(event: Event) -> None:
        if emit is not None:
            emit(event)

    # A pipeline of its own: another model may have been checked under this name.
    pipeline = Pipeline()
    of_case = replace(case, known=applicable(case.known)).within(settings.scope)
    open_journal = JOURNALS.get()
    journal = RunJournal.none() if open_journal is None else open_journal(case, modes, names, settings)
    history = journal.history

    def work(announce: Announce) -> Iterator[Event]:
        yield from history.events()
        folder, done = Path(REGRESSIONS if save is None else save), {event.id for event in history.replayed}
        yield from _replayed(
            replace(of_case, known=tuple(entry for entry in of_case.known if entry.id not in done)),
            modes,
            folder,
            pipeline,
        )
        left = [mode for mode in modes if not history.is_settled(case.name, str(mode))]
        carried, shipped = history.carried(case.name), shipped_known(case.target)
        explorer = Explorer(of_case, names, settings, shipped, pipeline=pipeline, carried=carried)
        if settings.budget is None:
            yield from apart(case.name, explorer.explore(left, announce))
        else:
            turns = TurnOrder.going_on(order_of_use(modes), settings, history.turns)
            yield from apart(case.name, explorer.explore_in_turns(turns, announce))

    def announce(event: Suspected | CheckStarting) -> None:
        journal.announce(event)
        listen(event)

    settings = replace(settings.keeping_to_budget(monotonic()), witnesses=witnesses(asked))
    ends: Any = {"stop_after": settings.limits.stop_after, "deadline": settings.limits.deadline}
    events = drive(work, announce=announce, earlier=history.suspects, **ends)
    try:
        with limited_steps(settings.steps):
            deliver(events, store.take, journal.take, tally.take, listen)
    finally:
        journal.close(complete=False)
    return Result(case.name, tally, store, case.terms, case.texts, settings.scope)


def _replayed(case: Case, modes: Sequence[Mode], folder: Path, pipeline: Pipeline) -> Iterator[KnownReplayed]:
    """Replay the regressions of the case's known divergences, those that were found with an exporter of these modes."""
    exporters = {mode.exporter for mode in modes}
    for entry in case.known:
        if not any(entry.concerns(case.name, mode, "") for mode in modes):
            continue
        stored = _stored(folder / entry.regression)
        if stored is None:
            yield replay_entry(entry, (folder,), pipeline)
        elif stored.case == case.name and stored.mode.exporter in exporters:
            # One of another model of that name is found by its target.
            yield replay_entry(entry, (folder,), pipeline, case if stored.target == case.target else None)


def _stored(path: Path) -> Regression | None:
    """Return a regression; None if there is none that can be read."""
    try:
        return load(path)
    except RegressionFileError:
        return None


def stored_of(case: Case, folder: Path, exporters: Container[str]) -> Iterator[Path]:
    """Yield the files of a folder that hold regressions of a case, found with one of these exporters."""
    for path in files([folder]):
        if path.name.startswith(f"{slugify(case.name)}--"):
            stored = _stored(path)
            if stored is None or stored.mode.exporter not in exporters:
                continue
            if (stored.case, stored.target) == (case.name, case.target):
                yield path
