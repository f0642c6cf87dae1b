"""Configuration: ``[tool.diffexport]`` in pyproject.toml, and the profiles.

Every key and value is validated; an unknown one is an error that names it and suggests the nearest.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from diffexport.errors import ConfigError, DiffexportError, UnknownNameError, shown, suggestion
from diffexport.subjects import catalogue
from diffexport.subjects.cases import Exclusion, Known, parse_exclusions, parse_known, read_toml
from diffexport.values import (
    ALL_INPUTS,
    DEFAULT_REGRESSION_SIZE,
    DEFAULT_STEP_LIMITS,
    MATRICES,
    MOST_EXAMPLES,
    MOST_JOBS,
    MOST_PATTERN,
    MOST_SECONDS,
    MOST_SEED,
    MOST_TEXT,
    InputScope,
    StepLimits,
    check_runtime_choice,
    parse_duration,
    parse_size,
    select_modes,
)


@dataclass(frozen=True)
class Profile:
    """How thorough a run is.

    Attributes:
        modes: matrices or modes covered.
        examples: Hypothesis examples for each mode of each case, where there are many modes.
        most: the same where there is one.
        block: most samples in one example, where there are many modes.
        largest: the same where there is one. Larger blocks cost less for each sample: drawing an example costs
            as much as checking ten to twenty samples.
        max_examples: examples of a property in ``tests/properties``.
        derandomise: whether properties draw the same examples each time.
        summary: one line.
        seconds: the time for each target that is not of the catalogue, where nothing else is said; None: no limit.
    """

    name: str
    modes: tuple[str, ...]
    examples: int
    most: int
    block: int
    largest: int
    max_examples: int
    derandomise: bool
    summary: str
    seconds: float | None = None

    def examples_for(self, modes: int) -> int:
        """Return how many examples each mode gets in a run over this many: up to eight modes the most of them."""
        return max(self.examples, min(self.most, 8 * self.most // max(modes, 1)))

    def block_for(self, modes: int) -> int:
        """Return how many samples an example may have in a run over this many modes; scaled as [examples_for][] is."""
        return max(self.block, min(self.largest, 8 * self.largest // max(modes, 1)))


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("dev", ("default",), 8, 64, 8, 64, 50, False, "what one runs while working", 180.0),
        Profile("ci", ("default",), 8, 64, 8, 64, 50, True, "the same every time, without a database"),
        Profile("nightly", ("full",), 8, 256, 64, 512, 500, False, "long: the whole product of options"),
        Profile("debug", ("default",), 3, 3, 1, 1, 10, True, "few examples of one sample, everything shown"),
    )
}


@dataclass(frozen=True)
class Config:
    """The validated configuration; defaults where nothing is configured."""

    profile: str = "dev"
    cases: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ("all",)
    examples: int | None = None
    seed: int = 0
    jobs: int | None = None
    strict: bool = False
    scope: InputScope = ALL_INPUTS
    placeholders: tuple[str, ...] = ()
    regressions: str = "tests/regressions"
    recorded: str | None = None
    steps: StepLimits = DEFAULT_STEP_LIMITS
    regression_size: int = DEFAULT_REGRESSION_SIZE
    time: float | None = None
    rounds: int | None = None
    matrices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    known: tuple[Known, ...] = ()
    exclude: tuple[Exclusion, ...] = ()
    file: Path | None = None


_KEYS = (
    "profile",
    "cases",
    "modes",
    "runtimes",
    "examples",
    "seed",
    "jobs",
    "strict",
    "ordinary",
    "no_empty",
    "empty_examples",
    "placeholders",
    "regressions",
    "recorded",
    "export_timeout",
    "check_timeout",
    "import_timeout",
    "memory",
    "time",
    "rounds",
    "regression_size",
    "matrices",
    "known",
    "exclude",
)


def profile(name: str) -> Profile:
    """Return a profile.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in PROFILES:
        raise UnknownNameError("profile", name, PROFILES)
    return PROFILES[name]


def find(start: Path | None = None) -> Path | None:
    """Return the nearest pyproject.toml at or above ``start`` (by default the current folder).

    Raises:
        ConfigError: what has that name is no file, or the current folder is gone.
    """
    try:
        here = (start or Path.cwd()).resolve()
    except OSError as error:
        raise ConfigError(
            f"the current folder cannot be read ({error.strerror}); go to another one"
        ) from None
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        try:
            status = file.stat()
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{file}: is no regular file, so that no configuration can be read from it")
        return file
    return None


def load(file: Path | None = None) -> Config:
    """Read the configuration of ``file``, or of the nearest pyproject.toml.

    Raises:
        ConfigError: the file is not TOML, or a key or value is wrong; the message names it.
    """
    file = file or find()
    if file is None:
        return Config()
    tools = read_toml(file).get("tool", {})
    if not isinstance(tools, dict):
        raise ConfigError(f"{file}: 'tool' must be a table")
    table = tools.get("diffexport")
    return Config(file=file) if table is None else parse(table, file)


def parse(table: Any, file: Path) -> Config:
    """Validate the table ``[tool.diffexport]``.

    Raises:
        ConfigError: a key or value is wrong.
    """
    place = f"{file}: [tool.diffexport]"
    if not isinstance(table, dict):
        raise ConfigError(f"{place} must be a table")
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{place}: unknown key {shown(key)}{suggestion(key, _KEYS)}")
    _check_texts(table, place)
    model = _validated(table, place)
    known = parse_known(model.known, source=file)
    exclude = parse_exclusions(model.exclude, source=file)
    _check_names(model, place, file.parent)
    return Config(
        profile=model.profile,
        cases=tuple(model.cases),
        modes=_tuple(model.modes),
        runtimes=_tuple(model.runtimes),
        examples=model.examples,
        seed=model.seed,
        jobs=model.jobs,
        strict=model.strict,
        scope=InputScope(model.ordinary, model.no_empty, model.empty_examples),
        placeholders=tuple(model.placeholders),
        regressions=model.regressions,
        recorded=model.recorded,
        steps=StepLimits(
            model.export_timeout,
            model.check_timeout,
            model.import_timeout,
            parse_size(model.memory) if model.memory is not None else DEFAULT_STEP_LIMITS.memory,
        ),
        regression_size=(
            parse_size(model.regression_size, 1)
            if model.regression_size is not None
            else DEFAULT_REGRESSION_SIZE
        ),
        time=None if model.time is None else _seconds(model.time),
        rounds=model.rounds,
        matrices={name: tuple(texts) for name, texts in model.matrices.items()},
        known=known,
        exclude=exclude,
        file=file,
    )


def _check_texts(table: Mapping[str, Any], place: str) -> None:
    """Check that no text has a character that neither names nor paths can have.

    Raises:
        ConfigError: one has.
    """
    for key, value in table.items():
        left = [value]
        while left:
            one = left.pop()
            if isinstance(one, dict):
                left += [*one.keys(), *one.values()]
            elif isinstance(one, list):
                left += one
            elif isinstance(one, str) and "\0" in one:
                raise ConfigError(f"{place}: {key}: {shown(one)} has a NUL character in it; take it out")


def _validated(table: dict[str, Any], place: str) -> Any:
    """Return the table as an object of the right types.

    Raises:
        ConfigError: a value is of another type, or out of its range.
    """
    # Validation by pydantic; imported here so that a project without configuration does not pay for it.
    import pydantic

    def at_most(most: int) -> Any:
        return Annotated[pydantic.NonNegativeInt, pydantic.Field(le=most)]

    Seconds = Annotated[float, pydantic.Field(ge=0.1, le=MOST_SECONDS, allow_inf_nan=False)]
    Text = Annotated[str, pydantic.Field(min_length=1, max_length=MOST_TEXT)]
    Pattern = Annotated[str, pydantic.Field(min_length=1, max_length=MOST_PATTERN)]

    class Model(pydantic.BaseModel, extra="forbid", strict=True):
        profile: Pattern = "dev"
        cases: list[Text] = []
        modes: Text | list[Text] = []
        runtimes: Pattern | Annotated[list[Pattern], pydantic.Field(min_length=1)] = ["all"]
        examples: Annotated[pydantic.PositiveInt, pydantic.Field(le=MOST_EXAMPLES)] | None = None
        seed: at_most(MOST_SEED) = 0  # type: ignore[valid-type]
        jobs: at_most(MOST_JOBS) | None = None  # type: ignore[valid-type]
        strict: bool = False
        ordinary: bool = False
        no_empty: bool = False
        empty_examples: bool = False
        placeholders: list[Pattern] = []
        regressions: Text = "tests/regressions"
        recorded: Text | None = None
        export_timeout: Seconds = DEFAULT_STEP_LIMITS.export_seconds
        check_timeout: Seconds = DEFAULT_STEP_LIMITS.check_seconds
        import_timeout: Seconds = DEFAULT_STEP_LIMITS.import_seconds
        memory: Pattern | None = None
        time: Pattern | pydantic.PositiveInt | None = None
        rounds: Annotated[pydantic.PositiveInt, pydantic.Field(le=MOST_EXAMPLES)] | None = None
        regression_size: Pattern | None = None
        matrices: dict[Pattern, list[Text]] = {}
        known: Any = []
        exclude: Any = []

    try:
        return Model.model_validate(table)
    except pydantic.ValidationError as error:
        # Of a value that may be of several types there is an error for each; the one that says most is of an item.
        key = error.errors()[0]["loc"][0]
        first = max((e for e in error.errors() if e["loc"][0] == key), key=lambda e: len(e["loc"]))
        raise ConfigError(
            f"{place}: {_key(first['loc'])}: {first['msg']} (it is {shown(first['input'])})"
        ) from None


def _key(location: tuple[int | str, ...]) -> str:
    """Return which key is wrong, with the place in its value; pydantic adds the members of a union that it tried."""
    key, *rest = location
    named = rest[:1] if key == "matrices" else []
    numbers = [f"[{part}]" for part in rest if isinstance(part, int)]
    return "".join([str(key), *(f".{part}" for part in named), *numbers])


def _check_names(model: Any, place: str, folder: Path) -> None:
    """Check what texts stand for.

    Raises:
        ConfigError: there is no such case, mode, runtime or profile, or a text is no size or folder.
    """
    key = "profile"
    try:
        profile(model.profile)
        for name in model.matrices:
            key = f"matrices.{name}"
            if name in MATRICES:
                raise ConfigError(f"{name!r} is built in and cannot be redefined")
            select_modes([name], model.matrices)
        key = "modes"
        select_modes(_tuple(model.modes), model.matrices)
        key = "runtimes"
        for runtime in _tuple(model.runtimes):
            check_runtime_choice(runtime)
        key = "cases"
        for name in model.cases:
            if not any(sign in name for sign in ":/.") and name not in catalogue.nameable():
                raise UnknownNameError("case", name, catalogue.nameable())
        key = "memory"
        if model.memory is not None:
            parse_size(model.memory)
        key = "time"
        if model.time is not None:
            _seconds(model.time)
        key = "regression_size"
        if model.regression_size is not None:
            parse_size(model.regression_size, 1)
        key = "regressions"
        if (folder / model.regressions).is_file():
            raise ConfigError(f"{model.regressions} is a file, and a folder is wanted")
        key = "recorded"
        if model.recorded is not None and (folder / model.recorded).is_dir():
            raise ConfigError(f"{model.recorded} is a folder, and a file is wanted")
    except (DiffexportError, OSError) as error:
        raise ConfigError(f"{place}: {key}: {error}") from None


def _seconds(value: str | int) -> float:
    """Return a time in seconds.

    Raises:
        UsageError: it is none.
    """
    return parse_duration(str(value))


def _tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
