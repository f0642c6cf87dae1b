"""Numbers of things in words."""

from __future__ import annotations

#: Plurals that take more than an s.
_ENDINGS = {"y": "ies", "x": "xes", "s": "ses", "ch": "ches", "sh": "shes"}


def counted(number: int, what: str) -> str:
    """Return a number of things as people write it: ``1 check``, ``1,200 checks``, ``0 entries``.

    Args:
        number: how many.
        what: one of them; its last word is put into the plural.
    """
    return f"{number:,} {what if number == 1 else _plural(what)}"


def _plural(what: str) -> str:
    ending = next((end for end in ("ch", "sh", "x", "s", "y") if what.endswith(end)), "")
    if not ending or (ending == "y" and what[-2:-1] in "aeiou"):
        return f"{what}s"
    return what.removesuffix(ending) + _ENDINGS[ending]
