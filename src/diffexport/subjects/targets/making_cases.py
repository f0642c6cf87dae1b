"""From what makes a model, and the texts of its arguments, to a case."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffexport.errors import TargetError, UnknownNameError, UsageError
from diffexport.subjects.cases import Case, make_case
from diffexport.subjects.targets.bound_constants import binding
from diffexport.values import split_names

if TYPE_CHECKING:
    from diffexport.strategies import SplitInputs


def applied(function: Any) -> Any:
    """Return a module whose forward applies an ``autograd.Function``."""
    import torch

    class AppliedFunction(torch.nn.Module):
        def forward(self, *args: Any) -> Any:
            return function.apply(*args)

    AppliedFunction.__name__ = AppliedFunction.__qualname__ = f"Applied{function.__name__}"
    return AppliedFunction()


def case_of(name: str, build: Callable[[], Any], texts: Sequence[str], target: str) -> Case:
    """Make a case of a model and a text for each argument; constants among them become part of the model.

    Raises:
        UsageError: a text does not parse, or all of them are constants.
    """
    from diffexport.strategies import split

    given = split(texts)
    if not given.entries:
        raise UsageError(f"{name}: every argument is a constant, so that there is nothing to generate")
    build = binding(build, given.constants, generated_names(given))
    case = make_case(name, build, inputs=given.entries, target=target, texts=texts)
    return replace(case, form=given.form)


def generated_names(given: SplitInputs) -> tuple[str, ...]:
    """Return the names of the generated arguments, empty for positional ones; none where all are."""
    return () if given.form is None else given.form.names


def has_setup_context(function: Any) -> bool:
    """Return whether an ``autograd.Function`` has a ``setup_context``, so that its forward takes no ``ctx``."""
    import torch

    return bool(function.setup_context is not torch.autograd.Function.setup_context)


def case_of_forward(
    name: str, build: Any, forward: Any, text: str, inputs: Sequence[str], *, skip: int = 0
) -> Case:
    """Make a case of what makes a model, and of its forward.

    Args:
        name: what it is called.
        build: makes the module.
        forward: says what the arguments are.
        text: the target.
        inputs: a text for each argument; without any, each is taken to be a float tensor of any shape.
        skip: how many of the parameters of ``forward`` are none of the model's: ``self``, ``ctx``.

    Raises:
        TargetError: there is no argument.
        UsageError: a text does not parse, or an argument has a name that ``forward`` does not take.
    """
    if not inputs:
        # Without a declaration each required argument is taken to be a float tensor of any shape. Faces ask the room
        # infer/ first, which knows better.
        count = len(_required(forward)[skip:])
        if count == 0:
            raise TargetError(
                f"target {text!r}: its forward has no required argument, so there is nothing to generate; "
                "say what it takes with --input, for instance --input 'float32[N, 3]'"
            )
        inputs = ["float32[...]"] * count
    _check_argument_names(forward, text, inputs, skip)
    return case_of(name, build, inputs, text)


def _check_argument_names(forward: Any, text: str, inputs: Sequence[str], skip: int) -> None:
    """Check the names of arguments against the parameters of a forward, the first of which may not be among them.

    Raises:
        UsageError: there is no parameter of a name, or an argument is given by position and by name.
    """
    names, _ = split_names(inputs)
    if not any(names):
        return
    parameters = list(inspect.signature(forward).parameters.values())[skip:]
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        known = None
    else:
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        known = [parameter.name for parameter in parameters if parameter.kind in kinds]
    by_position = [parameter.name for parameter in parameters[: names.count("")]]
    for name in filter(None, names):
        if known is not None and name not in known:
            raise UnknownNameError(
                "argument", name, known, where=f": the model {text} takes none of that name"
            )
        if name in by_position:
            raise UsageError(f"{text}: the argument {name!r} is given by position and by name")


def _required(forward: Any) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        parameter.name
        for parameter in inspect.signature(forward).parameters.values()
        if parameter.kind in kinds and parameter.default is inspect.Parameter.empty
    ]
