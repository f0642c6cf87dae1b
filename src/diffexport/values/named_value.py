"""An argument of a type that is a user's, in a process that has not imported where it is from."""

from __future__ import annotations


class NamedValue:
    """Stands for an argument whose type cannot be had without importing a module of a user's.

    Not a dataclass, which would be taken for a container of arguments.

    Attributes:
        type_name: what its type is called.
        shown: its ``repr``.
        text: by which it is stored; None where it cannot be.
        pickled: the argument itself, for a process that has imported its module.
    """

    def __init__(self, type_name: str, shown: str, text: str | None = None, pickled: bytes = b"") -> None:
        self.type_name, self.shown, self.text, self.pickled = type_name, shown, text, pickled

    def __repr__(self) -> str:
        return self.shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedValue) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.type_name, self.shown, self.text))
