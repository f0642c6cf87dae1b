"""A model as a test: ``test_relu = diffexport.test(Relu, inputs=["float32[N]"])``.

What is made is a plain function that pytest collects, one item for each exporter. Its parameters, besides what the
plugin gives it, are those of the factory that makes the model: fixtures and parameters like those of any test.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any, Unpack

from diffexport.errors import FixtureTargetError, UsageError, suggestion
from diffexport.subjects.cases import Case, Exclusion, Known, Rule
from diffexport.values import ELSEWHERE, Inputs, StepLimits, TermOptions, Terms

#: What the plugin gives a test of a model: the checker, and which exporter an item is for.
CHECKER, EXPORTER, MODE = "diffexport", "diffexport_exporter", "diffexport_mode"


class CheckOptions(TermOptions, total=False):
    """The keyword arguments of [test][]: those of [check][diffexport.check] that a test has."""

    inputs: Sequence[Any]
    strategy: Any
    modes: str | Iterable[str]
    runtimes: str | Iterable[str]
    examples: int
    seed: int
    rules: Sequence[Rule]
    known: Iterable[Known]
    exclude: Mapping[str, str] | Sequence[Exclusion]
    strict: bool
    ordinary: bool
    no_empty: bool
    empty_examples: bool
    name: str
    extra_inputs: Sequence[Inputs]
    limits: StepLimits


@dataclass(frozen=True, eq=False)
class ModelTest:
    """A model and how it is checked.

    Attributes:
        model: the model, its class, an ``autograd.Function``, or a factory.
        options: the keyword arguments that were given.
        parameters: of the factory, to be filled by fixtures.
    """

    model: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()

    @property
    def is_factory(self) -> bool:
        """Whether the model is what a function returns."""
        return inspect.isfunction(self.model)

    def build(self, given: Mapping[str, Any]) -> Any:
        """Return the model; a factory is called, with torch's seed as it is for every model that is built."""
        if not self.is_factory:
            return self.model
        import torch

        from diffexport.pipeline import BUILD_SEED

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(BUILD_SEED)
            model = self.model(**given)
        if model is None:
            raise UsageError(
                f"{self.model.__name__}: the function that diffexport.test decorates returns nothing; it must "
                "return the model"
            )
        return model

    def case(self, text: str, inputs: Sequence[str], otherwise: Sequence[str] = ()) -> Case:
        """Return the case of the test, for who finds it by its target ``text``.

        ``inputs`` replace its own, ``otherwise`` are for one that has none.

        Raises:
            FixtureTargetError: it takes fixtures.
        """
        if self.parameters:
            place, _, name = text.rpartition(":")
            needed = ", ".join(name for name in self.parameters if name != "self") or "its class"
            raise FixtureTargetError(
                f"target {text!r}: its model is made from fixtures ({needed}), which only pytest has; "
                f"run: pytest {place}::{name.replace('.', '::')}"
            )
        from diffexport.faces.api.model_case import as_case, case_options
        from diffexport.subjects.targets import with_inputs

        options = case_options(self.options)
        if not inputs and not options.get("inputs") and options.get("strategy") is None:
            inputs = otherwise
        if inputs:
            # Replaced below.
            options = {**options, "inputs": ["float32[...]"], "strategy": None}
        import torch

        # The factory, where it makes a module: of that a script can be made.
        built = self.build({})
        model = self.model if isinstance(built, torch.nn.Module) else built
        return with_inputs(as_case(model, **{**options, "target": text}), inputs)


def test(model: Any = None, /, **options: Unpack[CheckOptions]) -> Any:  # noqa: PT028 - it is no test itself
    """Make a test of a model, or decorate the function that makes the model.

    ``test_relu = diffexport.test(Relu, inputs=["float32[N]"])`` is collected by pytest as one item for each exporter,
    ``test_relu[dynamo]`` and so on. As a decorator, the parameters of the function are fixtures or parameters::

        @pytest.mark.parametrize("width", [1, 8])
        @diffexport.test(inputs=["float32[N, 4]"])
        def test_layer(width):
            return Layer(4, width)

    What diverges is shrunk, shown and stored as a regression. Called by hand, without arguments, the test runs in
    every mode and raises [FindingsError][diffexport.FindingsError].

    Args:
        model: a ``torch.nn.Module`` (instance, class or factory), an ``autograd.Function`` or a
            [Case][diffexport.Case]; left out, what is returned decorates a function that makes one.
        options: as for [check][diffexport.check]; modes, runtimes, examples, seed, known divergences and
            exclusions are the configured ones unless given.

    Raises:
        UsageError: an unknown option, or one that cannot be; the message names it.
    """
    _check_options(options)
    frame = sys._getframe(1)
    place, line = frame.f_code.co_filename, frame.f_lineno
    if model is None:
        return lambda function: _decorated(function, options)
    if inspect.isfunction(model):
        return _decorated(model, options)
    function = _function(ModelTest(model, options), place, line)
    inside_class = "__qualname__" in frame.f_locals and "__module__" in frame.f_locals
    return staticmethod(function) if inside_class else function


# pytest would take it for a test where it is imported by its name.
test.__test__ = False  # type: ignore[attr-defined]


def _check_options(options: Mapping[str, Any]) -> None:
    terms = {name: value for name, value in options.items() if name in TermOptions.__annotations__}
    for name in options:
        if name in CheckOptions.__annotations__ or name in terms:
            continue
        hint = ELSEWHERE.get(name)
        known = [*CheckOptions.__annotations__, *TermOptions.__annotations__]
        raise UsageError(f"unknown option {name!r}" + (f": {hint}" if hint else suggestion(name, known)))
    Terms.of(terms)


def _decorated(function: Any, options: Mapping[str, Any]) -> Any:
    if not inspect.isfunction(function):
        raise UsageError(
            f"diffexport.test(…) as a decorator takes a function that makes a model, not {function!r}; for a class "
            "write test_it = diffexport.test(TheClass, …) behind it"
        )
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = tuple(
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in kinds and parameter.default is inspect.Parameter.empty
    )
    code = function.__code__
    test_function = _function(ModelTest(function, options, parameters), code.co_filename, code.co_firstlineno)
    # Marks, docstring and name, so that decorators may stand on either side.
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(test_function, name, getattr(function, name))
    test_function.__dict__.update(
        {name: value for name, value in vars(function).items() if name != "__wrapped__"}
    )
    return test_function


def _function(model_test: ModelTest, place: str, line: int) -> Any:
    """Return the function that pytest collects, as if it stood in a line of the test's file."""

    def test_model(*self: Any, **given: Any) -> None:
        checker = given.pop(CHECKER, None)
        if self:
            given[model_test.parameters[0]] = self[0]
        if checker is not None:
            checker.run(model_test, given)
            return
        from diffexport.faces.api.checking import check

        given.pop(EXPORTER, None)
        missing = [name for name in model_test.parameters if name not in given]
        if missing:
            raise UsageError(
                f"{test_model.__name__} takes fixtures ({', '.join(missing)}): run it with pytest, or give them"
            )
        check(model_test.build(given), **model_test.options).raise_for_findings()

    asked = (*model_test.parameters, CHECKER, *(() if MODE in model_test.parameters else (EXPORTER,)))
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function: Any = test_model
    function.__signature__ = inspect.Signature(
        [inspect.Parameter(name, kind) for name in dict.fromkeys(asked)]
    )
    code: CodeType = function.__code__
    function.__code__ = code.replace(co_filename=place, co_firstlineno=line)
    function.diffexport_test = model_test
    return function


def test_of(value: Any) -> ModelTest | None:
    """Return the test of a model that a function is, if it is one."""
    model_test = getattr(value, "diffexport_test", None)
    return model_test if isinstance(model_test, ModelTest) else None


test_of.__test__ = False  # type: ignore[attr-defined]


def relative(path: Path) -> str:
    """Return a path as targets are written: relative to the current folder where it is below that."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path.resolve())
