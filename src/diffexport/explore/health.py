"""Advice for a case whose model rejects most of what is drawn for it: which constraint to declare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffexport.arrays import float_dtypes
from diffexport.findings.events import Row
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import Case
from diffexport.values import Shape, TensorSpec, counted

#: From this many samples on a case is judged, and the share of rejected ones that is too much.
ENOUGH, TOO_MANY = 40, 0.5
#: Most joint shapes remembered.
_LIMIT = 2000

Joint = tuple[Shape, ...]


class Health:
    """Counts which joint shapes of the tensor inputs a model accepts and rejects.

    Attributes:
        accepted, rejected: numbers of samples.
        out_of_memory: how many of the rejected ones are so only because memory ran out.
        reasons: how often each reason was given.
        good, bad: joint shapes that were accepted, and rejected.
    """

    def __init__(self) -> None:
        self.accepted = self.rejected = self.out_of_memory = 0
        self.reasons: dict[str, int] = {}
        self.good: set[Joint] = set()
        self.bad: set[Joint] = set()

    def accept(self, shapes: Joint) -> None:
        """Note that the model ran on inputs of these shapes."""
        self.accepted += 1
        if len(self.good) < _LIMIT:
            self.good.add(shapes)

    def reject(self, shapes: Joint, reason: str) -> None:
        """Note that the model raised on inputs of these shapes."""
        self.rejected += 1
        if len(self.bad) < _LIMIT:
            self.bad.add(shapes)
        if len(self.reasons) < 64 or reason in self.reasons:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1

    @property
    def reason(self) -> str:
        """The reason given most often."""
        return max(self.reasons, key=lambda reason: self.reasons[reason], default="")

    def nothing_accepted(self, case: Case, pipeline: Pipeline) -> str:
        """Return what there is to say of a case whose model accepted nothing; ``pipeline`` has the model."""
        if self.out_of_memory == self.rejected:
            return (
                f"case {case.name!r}: memory ran out on every one of {counted(self.rejected, 'generated input')} "
                f"({self.reason}); a worker has more with --memory, and inputs are smaller with --input"
            )
        own = float_dtypes(pipeline.prepare(case).module)
        given = {spec.dtype for spec in case.specs if "float" in spec.dtype}
        is_other = len(own) == 1 and bool(given) and own[0] not in given
        hint, dtype = (f"its parameters are {own[0]}; ", own[0]) if is_other else ("", "float32")
        return (
            f"case {case.name!r}: the model raises in eager on every one of "
            f"{counted(self.rejected, 'generated input')} "
            f"({self.reason}); {hint}say what its inputs must be like, for instance --input '{dtype}[N, 3]', or "
            "Case(inputs=…) or strategy=…"
        )

    def why_untested(self, row: Row) -> str:
        """Return why a row has no check."""
        if row.out_of_memory:
            return f"memory ran out in each of {counted(row.out_of_memory, 'check')}; a worker has more with --memory"
        if not row.rejected:
            return "no input was drawn"
        return f"each of {counted(row.rejected, 'input')} is rejected ({self.reason})"

    def advice(self, specs: Sequence[TensorSpec]) -> str:
        """Return what to declare, empty while the model accepts enough or too little was drawn to tell."""
        total = self.accepted + self.rejected
        if total < ENOUGH or self.rejected <= TOO_MANY * total or not self.accepted:
            return ""
        head = f"the model rejects {self.rejected} of {counted(total, 'generated input')} ({self.reason})"
        constraint = next(self._constraints(specs), None)
        if constraint is None:
            bounded = f"'{specs[0].dtype if specs else 'float32'}[...] in LO..HI'"
            return f"{head}; their shapes do not tell why: bound the values ({bounded}) or give a strategy"
        return f"{head}; {constraint}"

    def _constraints(self, specs: Sequence[TensorSpec]) -> Iterator[str]:
        """Yield the constraints that tell every accepted shape from every rejected one."""
        good, bad = self.good, self.bad - self.good
        if not bad or not good:
            return
        for number, spec in enumerate(specs):
            ranks = {len(joint[number]) for joint in good}
            if len(ranks) == 1 and all(len(joint[number]) not in ranks for joint in bad):
                (rank,) = ranks
                dims = ", ".join(["*"] * rank)
                yield f"input {number} must have {rank} dimensions: declare '{spec.dtype}[{dims}]'"
            least_rank = min(ranks)
            if least_rank and all(len(joint[number]) < least_rank for joint in bad):
                dims = ", ".join(["..."] + ["*"] * least_rank)
                yield f"input {number} must have at least {least_rank} dimensions: declare '{spec.dtype}[{dims}]'"
            for axis in range(1, least_rank + 1):
                sizes = {joint[number][-axis] for joint in good}
                least = min(sizes)
                after = ", *" * (axis - 1)
                lead = "..., " if spec.leading else "*, " * (least_rank - axis)
                others = [joint[number][-axis] if len(joint[number]) >= axis else None for joint in bad]
                if all(size is None or size < least for size in others) and least:
                    declare = f"{spec.dtype}[{lead}>={least}{after}]"
                    yield f"input {number} needs a size of at least {least} in dimension -{axis}: declare '{declare}'"
                if len(sizes) == 1 and all(size not in sizes for size in others):
                    declare = f"{spec.dtype}[{lead}{least}{after}]"
                    yield f"input {number} needs size {least} in dimension -{axis}: declare '{declare}'"
        yield from _equal(specs, good, bad)


def _equal(specs: Sequence[TensorSpec], good: set[Joint], bad: set[Joint]) -> Iterator[str]:
    """Yield pairs of dimensions, of different inputs, that are equal where the model accepts and differ else."""
    for one in range(len(specs)):
        for other in range(one):
            if all(j[one] == j[other] for j in good) and all(j[one] != j[other] for j in bad):
                text = f"'{specs[other].dtype}[...S]' and '{specs[one].dtype}[...S]'"
                yield f"inputs {other} and {one} must have the same shape: declare {text}"
            depth = min(len(s) for j in good for s in (j[one], j[other]))
            for a in range(1, depth + 1):
                for b in range(1, depth + 1):
                    if all(j[one][-a] == j[other][-b] for j in good) and not any(
                        len(j[one]) >= a and len(j[other]) >= b and j[one][-a] == j[other][-b] for j in bad
                    ):
                        yield (
                            f"dimension -{b} of input {other} and dimension -{a} of input {one} must have the same "
                            "size: give both one name, for instance N"
                        )
