"""Models of which some arguments are constants."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Constants by position in the whole call, or by name.
Constants = Mapping[int | str, Any]


@dataclass(frozen=True, eq=False)
class Bound:
    """Makes a module of which some arguments are constants.

    Attributes:
        build: makes the module that takes all arguments.
        constants: by position in the whole call, or by name.
        names: of the arguments that are left, in their order; empty for those that are positional. Without any name
            they are all positional, however many there are.
    """

    build: Callable[[], Any]
    constants: tuple[tuple[int | str, Any], ...]
    names: tuple[str, ...] = ()

    def __call__(self) -> Any:
        """Return the module, which takes the other arguments."""
        import torch

        constants = self.constants
        by_name = tuple(name for name in self.names if name)
        positional = len(self.names) - len(by_name)
        modules = [key for key, value in constants if isinstance(value, torch.nn.Module)]

        class WithConstants(torch.nn.Module):
            def __init__(self, inner: torch.nn.Module) -> None:
                super().__init__()
                self.inner = inner
                # Where they can be seen: parameters must be known to exporters, and copied along.
                self.given = torch.nn.ModuleDict(
                    {str(key): value for key, value in constants if isinstance(value, torch.nn.Module)}
                )

            def forward(self, *args: Any, **kwargs: Any) -> Any:
                # The TorchScript exporter gives them all by position.
                merged = list(args[:positional]) if by_name else list(args)
                named = {**dict(zip(by_name, args[positional:], strict=False)), **kwargs}
                for key, value in constants:
                    held = self.given[str(key)] if key in modules else value
                    if isinstance(key, int):
                        merged.insert(key, held)
                    else:
                        named[key] = held
                return self.inner(*merged, **named)

        if by_name:
            parameters = ["self", *(f"x{number}" for number in range(positional)), *by_name]
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            signature = inspect.Signature([inspect.Parameter(name, kind) for name in parameters])
            WithConstants.forward.__signature__ = signature  # type: ignore[attr-defined]
        return WithConstants(self.build())


def binding(build: Callable[[], Any], constants: Constants, names: Sequence[str] = ()) -> Callable[[], Any]:
    """Return what makes the module with constants in place of some arguments, if there are any.

    Args:
        build: makes the module.
        constants: by position in the whole call, or by name.
        names: of the arguments that are left; empty for those that are positional.
    """
    if not constants:
        return build
    ordered = sorted(constants.items(), key=lambda item: (isinstance(item[0], str), item[0]))
    return Bound(build, tuple(ordered), tuple(names) if any(names) else ())
