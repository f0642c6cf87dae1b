"""Configuration: ``[tool.diffexport]`` in pyproject.toml, and the profiles.

Every key and value is validated; an unknown one is an error that names it and suggests the nearest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from diffexport.errors import ConfigError, DiffexportError, UnknownNameError, UsageError, suggestion
from diffexport.subjects.cases import Exclusion, Known, parse_exclusions, parse_known
from diffexport.values import DEFAULT_REGRESSION_SIZE, DEFAULT_STEP_LIMITS, StepLimits, parse_size


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

    def examples_for(self, modes: int) -> int:
        """Return how many examples each mode gets in a run over this many: up to eight modes the most of them."""
        return max(self.examples, min(self.most, 8 * self.most // max(modes, 1)))

    def block_for(self, modes: int) -> int:
        """Return how many samples an example may have in a run over this many modes; scaled as [examples_for][] is."""
        return max(self.block, min(self.largest, 8 * self.largest // max(modes, 1)))


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("dev", ("default",), 8, 64, 8, 64, 50, False, "what one runs while working"),
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
    placeholders: tuple[str, ...] = ()
    regressions: str = "tests/regressions"
    steps: StepLimits = DEFAULT_STEP_LIMITS
    regression_size: int = DEFAULT_REGRESSION_SIZE
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
    "placeholders",
    "regressions",
    "export_timeout",
    "check_timeout",
    "import_timeout",
    "memory",
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
    """Return the nearest pyproject.toml at or above ``start`` (by default the current folder)."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file():
            return folder / "pyproject.toml"
    return None


def load(file: Path | None = None) -> Config:
    """Read the configuration of ``file``, or of the nearest pyproject.toml.

    Raises:
        ConfigError: the file is not TOML, or a key or value is wrong; the message names it.
    """
    file = file or find()
    if file is None:
        return Config()
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as TOML: {error}") from None
    tools = document.get("tool", {})
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
            raise ConfigError(f"{place}: unknown key {key!r}{suggestion(key, _KEYS)}")
    model = _validated(table, place)
    try:
        profile(model.profile)
        known = parse_known(model.known, source=file)
        exclude = parse_exclusions(model.exclude, source=file)
        steps = _step_limits(model)
        size = _size("regression_size", model.regression_size, DEFAULT_REGRESSION_SIZE)
        _check_names(model.matrices, _tuple(model.modes), _tuple(model.runtimes))
    except DiffexportError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(file)) else f"{place}: {text}") from None
    return Config(
        profile=model.profile,
        cases=tuple(model.cases),
        modes=_tuple(model.modes),
        runtimes=_tuple(model.runtimes),
        examples=model.examples,
        seed=model.seed,
        jobs=model.jobs,
        strict=model.strict,
        placeholders=tuple(model.placeholders),
        regressions=model.regressions,
        steps=steps,
        regression_size=size,
        matrices={name: tuple(texts) for name, texts in model.matrices.items()},
        known=known,
        exclude=exclude,
        file=file,
    )


def _validated(table: dict[str, Any], place: str) -> Any:
    """Return the table as an object of the right types.

    Raises:
        ConfigError: a value is of another type, or out of its range.
    """
    # Validation by pydantic; imported here so that a project without configuration does not pay for it.
    import pydantic

    Seconds = Annotated[float, pydantic.Field(ge=0.1, allow_inf_nan=False)]

    class Model(pydantic.BaseModel, extra="forbid", strict=True):
        profile: str = "dev"
        cases: list[str] = []
        modes: str | list[str] = []
        runtimes: str | Annotated[list[str], pydantic.Field(min_length=1)] = ["all"]
        examples: pydantic.PositiveInt | None = None
        seed: pydantic.NonNegativeInt = 0
        jobs: pydantic.NonNegativeInt | None = None
        strict: bool = False
        placeholders: list[str] = []
        regressions: str = "tests/regressions"
        export_timeout: Seconds = DEFAULT_STEP_LIMITS.export_seconds
        check_timeout: Seconds = DEFAULT_STEP_LIMITS.check_seconds
        import_timeout: Seconds = DEFAULT_STEP_LIMITS.import_seconds
        memory: str = ""
        regression_size: str = ""
        matrices: dict[str, list[str]] = {}
        known: Any = []
        exclude: Any = []

    try:
        return Model.model_validate(table)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        # pydantic adds the member of a union it tried; the key is what a person looks for.
        key = ".".join(
            str(part) for part in first["loc"] if not str(part).startswith(("str", "list", "constrained"))
        )
        raise ConfigError(f"{place}: {key}: {first['msg']} (it is {first['input']!r})") from None


def _step_limits(model: Any) -> StepLimits:
    """Return the limits that the table gives.

    Raises:
        UsageError: the memory is no size.
    """
    memory = _size("memory", model.memory, DEFAULT_STEP_LIMITS.memory)
    return StepLimits(model.export_timeout, model.check_timeout, model.import_timeout, memory)


def _size(key: str, text: str, default: int) -> int:
    """Return the bytes that a key means.

    Raises:
        UsageError: it is no size.
    """
    try:
        return parse_size(text) if text else default
    except UsageError as error:
        raise UsageError(f"{key}: {error}") from None


def _check_names(
    matrices: Mapping[str, list[str]], modes: tuple[str, ...], runtimes: tuple[str, ...]
) -> None:
    from diffexport.values import MATRICES, select_modes

    for name in matrices:
        if name in MATRICES:
            raise ConfigError(f"matrices: {name!r} is built in and cannot be redefined")
        select_modes([name], matrices)
    select_modes(modes, matrices)
    from diffexport.values import check_runtime_choice

    for runtime in runtimes:
        check_runtime_choice(runtime)


def _tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
