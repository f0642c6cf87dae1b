"""For tests: assert that one trial agrees, or check a model in every mode.

Both raise or return findings as data; with the pytest plugin they are stored as regressions by themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from diffexport import known as known_divergences
from diffexport import matrix, traits
from diffexport.call import Call, Inputs
from diffexport.case import Case, make_case
from diffexport.config import PROFILES
from diffexport.engine.diverged import attribute, diverged
from diffexport.engine.events import CaseFailed, Event, Finding, Found, ModeFinished, Unhealthy
from diffexport.engine.explore import Explorer, Settings, arrays_of
from diffexport.engine.minimise import Point
from diffexport.engine.run import applicable, shipped_for
from diffexport.errors import UsageError
from diffexport.expectation import Rule
from diffexport.known import Known
from diffexport.mode import Mode
from diffexport.road import Road
from diffexport.runtimes import available, select
from diffexport.spec import TensorSpec
from diffexport.target import applied
from diffexport.verdict import Verdict


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
        known: divergences that are accepted; by default the catalogue's.
        strict: let notes fail.

    Raises:
        Diverged: for the first divergence that is not known. Its type is one for each failure, so that
            Hypothesis shrinks different failures apart from each other.
    """
    mode = Mode.parse(mode) if isinstance(mode, str) else mode
    names = select(runtimes) if runtimes is not None else available()
    entries = shipped_known(case.target) if known is None else tuple(known)
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


@dataclass(frozen=True, eq=False)
class Result:
    """What [check][] found.

    Attributes:
        case: the name of the case.
        findings: new divergences, shrunk.
        modes: every mode with its tallies per runtime.
        error: why nothing could be tested; empty if something was.
        advice: which constraint to declare, where the model rejects most of what is generated.
    """

    case: str
    findings: tuple[Finding, ...]
    modes: tuple[ModeFinished, ...]
    error: str = ""
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything was as expected."""
        return not self.findings and not self.error

    def __str__(self) -> str:
        from diffexport.report.describe import describe
        from diffexport.report.summary import Summary

        if self.error:
            return self.error
        checks = sum(row.checks for event in self.modes for row in event.rows)
        head = (
            f"{self.case}: {checks} checks in {len(self.modes)} modes, {len(self.findings)} new divergences"
        )
        head += f"\n{self.advice}" if self.advice else ""
        return "\n".join([head, *("\n".join(describe(f, Summary())) for f in self.findings)])


def check(
    model: Any,
    *,
    inputs: Sequence[str | TensorSpec | Any] = (),
    strategy: Any = None,
    modes: Iterable[str] = ("default",),
    runtimes: Iterable[str] = ("all",),
    examples: int | None = None,
    seed: int = 0,
    rules: Sequence[Rule] = (),
    known: Iterable[Known] = (),
    strict: bool = False,
    name: str = "",
    target: str = "",
    emit: Callable[[Event], None] | None = None,
) -> Result:
    """Check a model in every mode with generated inputs.

    Args:
        model: a [Case][diffexport.case.Case], a ``torch.nn.Module`` (instance, class or factory) or an
            ``autograd.Function``.
        inputs: one entry for each positional argument, a tensor spec or a Hypothesis strategy; or
        strategy: a Hypothesis strategy for the tuple of positional arguments, or for a
            [Call][diffexport.call.Call] with keywords.
        modes: matrices, modes or mode patterns.
        runtimes: names, ``ort`` or ``all``.
        examples: Hypothesis examples for each mode; by default the more, the fewer modes there are.
        seed: the same seed gives the same run.
        rules: expectations, tried before the general ones.
        known: accepted divergences besides the catalogue's.
        strict: let notes fail.
        name, target: what the case is called, and the text by which a stored regression finds it again.
        emit: receives every event as it happens.

    Raises:
        UsageError: no inputs can be generated, or a name does not exist.
    """
    case = as_case(model, inputs=inputs, strategy=strategy, rules=rules, name=name, target=target)
    findings: list[Finding] = []
    finished: list[ModeFinished] = []
    errors: list[str] = []
    advice: list[str] = []

    def take(event: Event) -> None:
        if isinstance(event, Found):
            findings.append(event.finding)
        elif isinstance(event, ModeFinished):
            finished.append(event)
        elif isinstance(event, CaseFailed):
            errors.append(event.message)
        elif isinstance(event, Unhealthy):
            advice.append(event.message)
        if emit is not None:
            emit(event)

    chosen = matrix.select(modes)
    profile = PROFILES["dev"]
    if examples is None:
        examples = profile.examples_for(len(chosen))
    settings = Settings(examples=examples, block=profile.block_for(len(chosen)), seed=seed, strict=strict)
    entries = (*applicable(tuple(known)), *shipped_known(case.target))
    # A road of its own: another model may have been checked under this name.
    explorer = Explorer(case, select(runtimes), settings, entries, emit=take, road=Road())
    explorer.explore(chosen)
    return Result(case.name, tuple(findings), tuple(finished), "\n".join(errors), "\n".join(advice))


def as_case(
    model: Any,
    *,
    inputs: Sequence[str | TensorSpec | Any] = (),
    strategy: Any = None,
    rules: Sequence[Rule] = (),
    name: str = "",
    target: str = "",
) -> Case:
    """Make a case of a model; see [check][] for the arguments.

    Raises:
        UsageError: it is no model, or no inputs are given for it.
    """
    import torch

    if isinstance(model, Case):
        return model
    if not inputs and strategy is None:
        raise UsageError("say what the model's inputs must be like: inputs=['float32[N, 3]'] or strategy=…")
    build: Callable[[], Any]
    if isinstance(model, torch.nn.Module):
        called = type(model).__name__
        build = lambda: model  # noqa: E731
    elif isinstance(model, type) and issubclass(model, torch.autograd.Function):
        called = model.__name__
        build = lambda: applied(model)  # noqa: E731
    elif callable(model):
        called = getattr(model, "__name__", type(model).__name__)
        build = model
    else:
        raise UsageError(
            f"{model!r} is neither a Case, a torch.nn.Module, a factory of one nor an autograd.Function"
        )
    return make_case(
        name or called,
        build,
        inputs=inputs,
        strategy=strategy,
        rules=rules,
        target=target or target_of(model),
    )


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
