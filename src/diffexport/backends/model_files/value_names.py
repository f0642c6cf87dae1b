"""Which graph input belongs to which argument, and which graph output to which result."""

from __future__ import annotations

from collections.abc import Sequence

from diffexport.errors import UnknownNameError, UsageError
from diffexport.values import counted


def choose_inputs(given: Sequence[str], names: Sequence[str], parameters: Sequence[str]) -> tuple[str, ...]:
    """Return the graph input for each argument.

    Args:
        given: ``NAME`` for one argument after the other, or ``ARG=NAME``, ARG being the name of a parameter or its
            number from 0. Arguments that nothing is given for get the graph inputs left over, in their order.
        names: the inputs of the graph.
        parameters: the parameters of the model.

    Raises:
        UsageError: a name that does not exist, or that is given twice.
    """
    chosen: dict[int, str] = {}
    for number, text in enumerate(given):
        place, name = number, text
        if text not in names and "=" in text:
            argument, _, name = text.partition("=")
            place = _place(argument, parameters, len(names))
        if name not in names:
            raise UnknownNameError("graph input", name, names)
        if place in chosen:
            raise UsageError(f"argument {place} is given two graph inputs, {chosen[place]!r} and {name!r}")
        if name in chosen.values():
            raise UsageError(f"graph input {name!r} is given to two arguments")
        if place >= len(names):
            raise UsageError(f"there is no argument {place}: the graph has {counted(len(names), 'input')}")
        chosen[place] = name
    left = iter([name for name in names if name not in chosen.values()])
    return tuple(chosen[place] if place in chosen else next(left) for place in range(len(names)))


def _place(argument: str, parameters: Sequence[str], count: int) -> int:
    if argument.isdecimal():
        return int(argument)
    if argument not in parameters:
        raise UnknownNameError("argument", argument, (*parameters, *map(str, range(count))))
    return list(parameters).index(argument)


def choose_outputs(given: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Return, for each output of the model, the number of the graph's; all in their order where none is given.

    Raises:
        UnknownNameError: a name that does not exist.
    """
    for name in given:
        if name not in names:
            raise UnknownNameError("graph output", name, names)
    return tuple(list(names).index(name) for name in given) or tuple(range(len(names)))
