"""The options that say what one step may cost, and which inputs are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from diffexport.errors import DiffexportError, UsageError
from diffexport.faces.cli.option_types import EXAMPLES, PATH, PATTERN, Seconds
from diffexport.values import Budget, InputScope, StepLimits, parse_duration, parse_size

#: The names of these options, as a command gets them.
LIMITS = ("export_timeout", "check_timeout", "import_timeout", "memory")


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``--export-timeout``, ``--check-timeout``, ``--import-timeout`` and ``--memory``."""
    seconds = Seconds(0.1)
    options = [
        click.option(
            "--export-timeout", type=seconds, metavar="SECONDS", help="For one export; 300 by default."
        ),
        click.option(
            "--check-timeout", type=seconds, metavar="SECONDS", help="For one check; 120 by default."
        ),
        click.option(
            "--import-timeout", type=seconds, metavar="SECONDS", help="For one import; 120 by default."
        ),
        click.option(
            "--memory", type=PATTERN, metavar="SIZE", help="What a worker may allocate, such as 4GiB."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def budget_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``--time`` and ``--rounds``."""
    time = click.option(
        "--time",
        type=PATTERN,
        metavar="TIME",
        help="For all of it, such as 90s or 5m; 3m for a model of yours.",
    )
    rounds = click.option("--rounds", type=EXAMPLES, help="Rounds in which every mode has a turn.")
    return time(rounds(command))


def budget_of(
    configured: Budget, default: float | None, *, time: str | None, rounds: int | None
) -> Budget | None:
    """Return how long modes are explored in turns; None: each is explored in one go, until its examples are done.

    Args:
        configured: of the project's configuration; with whether turns go on after the examples, where a time or a
            number of rounds is given.
        default: seconds where nothing is said; None: no limit.
        time, rounds: as given on the command line.

    Raises:
        UsageError: the time is none.
    """
    try:
        seconds = parse_duration(time) if time is not None else configured.seconds
    except DiffexportError as error:
        raise UsageError(f"--time: {error}") from None
    rounds = configured.rounds if rounds is None else rounds
    if seconds is not None or rounds is not None:
        return replace(configured, seconds=seconds, rounds=rounds)
    return None if default is None else Budget(default)


def scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``--ordinary`` and ``--no-empty``."""
    ordinary = click.option(
        "--ordinary",
        is_flag=True,
        default=None,
        help="Finite ordinary values only: no NaN, infinity or subnormal, nothing huge or tiny.",
    )
    no_empty = click.option("--no-empty", is_flag=True, default=None, help="No dimension of size 0.")
    return ordinary(no_empty(command))


def empty_examples_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that exports the option ``--empty-examples``."""
    option = click.option(
        "--empty-examples",
        is_flag=True,
        default=None,
        help="Export on tensors without elements, too.",
    )
    return option(command)


def weights_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--weights``."""
    option = click.option(
        "--weights",
        type=PATH,
        metavar="FILE",
        help="A .safetensors file that the model's weights are taken from.",
    )
    return option(command)


def with_weights(targets: Sequence[str], weights: Path | None) -> tuple[str, ...]:
    """Return targets, the one that is a model of the user's with the weights that it gets.

    Raises:
        UsageError: there are several, it is of the catalogue, or the file cannot be read.
    """
    if weights is None:
        return tuple(targets)
    from diffexport.subjects.targets import Application, Weights

    parts = Application.parse(targets[0]) if len(targets) == 1 else None
    if parts is None:
        raise UsageError(
            "--weights are for one target that is a model of your own: module:attr or file.py:attr"
        )
    return (str(replace(parts, weights=Weights.of_file(weights))),)


def input_scope(configured: InputScope, options: Mapping[str, Any]) -> InputScope:
    """Return the configured scope with what the options of a command say besides."""
    given = [bool(options.get(name)) for name in ("ordinary", "no_empty", "empty_examples")]
    before = (configured.ordinary, configured.no_empty, configured.empty_examples)
    return InputScope(*(one or other for one, other in zip(given, before, strict=True)))


def step_limits(configured: StepLimits, options: Mapping[str, Any]) -> StepLimits:
    """Return the limits that are configured, with those that the options of a command give in their place.

    Raises:
        UsageError: the memory is no size.
    """
    memory = options.get("memory")
    given = {
        "export_seconds": options.get("export_timeout"),
        "check_seconds": options.get("check_timeout"),
        "import_seconds": options.get("import_timeout"),
        "memory": None if memory is None else _size(memory),
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(configured, **changes)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except DiffexportError as error:
        raise UsageError(f"--memory: {error}") from None


def stored_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what a stored regression may do: where its target lies, what it allocates."""
    outside = click.option(
        "--allow-outside", is_flag=True, help="Let targets be files outside of the project's folder."
    )
    largest = click.option(
        "--regression-size",
        "largest",
        metavar="SIZE",
        help="What the tensors of one file may take; 256MiB by default.",
    )
    return outside(largest(command))


def regression_size(configured: int, given: str | None) -> int:
    """Return the bytes that the tensors of a stored regression may take.

    Raises:
        UsageError: what is given on the command line is no size.
    """
    try:
        return configured if given is None else parse_size(given, 1)
    except DiffexportError as error:
        raise UsageError(f"--regression-size: {error}") from None
