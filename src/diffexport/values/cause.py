"""Causes: what makes several divergences of one model one bug, told apart by as little as can be relied on."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The family of the reference evaluator.
_REFERENCE = "reference"


class CauseKind(enum.StrEnum):
    """What a cause is known by."""

    OPERATOR = "operator"
    ERROR = "error"
    FACT = "fact"


class How(enum.StrEnum):
    """In which way an export departs from eager at an operator."""

    UNKNOWN = ""
    VALUE = "value"
    SHAPE = "shape"
    NAN = "nan"
    INFINITY = "infinity"
    ERROR = "error"
    BRANCH = "branch"

    @property
    def is_special(self) -> bool:
        """Whether a value there is not finite."""
        return self in (How.NAN, How.INFINITY)

    def goes_with(self, other: How) -> bool:
        """Return whether both may be of one cause."""
        if self is other:
            return True
        alone = (How.ERROR, How.BRANCH)
        return self not in alone and other not in alone and not (self.is_special and other.is_special)


@dataclass(frozen=True)
class Cause:
    """The cause of a divergence; see docs/findings.md.

    Attributes:
        kind: known by the first operator of eager at which the export departs, by an error, or by a fact about the
            export as a whole, such as its opset.
        what: what tells it from other causes of the same model: the operator and its number among those of its name
            in the order in which eager runs them (``sort#0``), the normalised text of the error, or the fact.
        operator: the operator concerned (``aten::sort``); empty where it is not known.
        line: the line of the user's source that runs it: ``model.py:12 in forward: return x.sort()``; empty where it
            is not known.
        conversions: the ways of conversion that are at fault, if it is one; else empty.
        family: the family of runtimes whose kernel or optimiser is at fault, if it is one; else empty.
        how: in which way an operator departs.
    """

    kind: CauseKind
    what: str
    operator: str = ""
    line: str = ""
    conversions: tuple[str, ...] = ()
    family: str = ""
    how: How = How.UNKNOWN

    def is_one_with(self, other: Cause) -> bool:
        """Return whether two divergences of one model with these causes have the same.

        An operator that departs for ordinary values is one cause for whatever shows of it; one that departs for NaN
        alone is another than one that departs for infinities alone, or that raises. A vote on who is to blame depends
        on the value that is looked at, so that a conversion and a kernel at one operator are one; two ways of
        conversion, or two families of runtimes, are two, and a bug of the reference evaluator, which is there as a
        witness, is one of its own. Two operators of one name are two causes, unless a kernel is at fault, or both
        depart for the same special value. Errors are one where they say the same, or are about the same operator on
        the same line, or about none on the same line: two ways of capture fail in their own words.
        """
        if self.kind is not other.kind:
            return False
        if self.conversions and other.conversions and not set(self.conversions) & set(other.conversions):
            return False
        families = {self.family, other.family}
        if len(families) > 1 and ("" not in families or _REFERENCE in families):
            return False
        if self.kind is CauseKind.OPERATOR and self.operator == other.operator:
            if not self.how.goes_with(other.how):
                return False
            anywhere = bool(self.family or other.family) or (self.how is other.how and self.how.is_special)
            return anywhere or self.what == other.what
        if self.kind is not CauseKind.ERROR:
            return self.what == other.what
        if self.what == other.what and (self.operator or not (self.line and other.line)):
            return True
        same_line = bool(self.line) and self.line == other.line
        if not (self.operator or other.operator):
            return same_line
        return same_line and (self.what == other.what or _related(self.operator, other.operator))

    def __str__(self) -> str:
        where = f" at {self.line}" if self.line else ""
        if self.kind is CauseKind.OPERATOR:
            return f"{self.operator}{_ordinal(self.what)}{where}"
        return f"{self.operator}{where}".strip() or self.what

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "kind": str(self.kind),
            "what": self.what,
            "operator": self.operator,
            "line": self.line,
            "conversions": list(self.conversions),
            "family": self.family,
            "how": str(self.how),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Cause:
        """Return the cause that [document][] was made of.

        Raises:
            KeyError, ValueError, TypeError: it is none.
        """
        return cls(
            CauseKind(document["kind"]),
            str(document["what"]),
            str(document["operator"]),
            str(document["line"]),
            tuple(map(str, document["conversions"])),
            str(document["family"]),
            How(document["how"]),
        )


def _ordinal(what: str) -> str:
    """Return in words which of the operators of one name it is; nothing for the first."""
    number = int(what.rpartition("#")[2])
    return f" (number {number + 1} of that name)" if number else ""


def _related(one: str, other: str) -> bool:
    """Return whether two names of operators are those of one, of which one may be what the other comes down to."""
    plain = [name.rpartition("::")[2].split(".")[0].strip("_") for name in (one, other)]
    return all(plain) and (plain[0] in plain[1] or plain[1] in plain[0])
