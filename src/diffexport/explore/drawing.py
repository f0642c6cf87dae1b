"""What is drawn for a case in a mode."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from diffexport.arrays import Array, as_call, tensors_of
from diffexport.explore.export_examples import export_shapes, export_variety, plain_shapes
from diffexport.explore.intermediate_values import Intermediates, IntermediateSearch
from diffexport.explore.mined_sizes import larger_sizes, mined_sizes
from diffexport.explore.settings import Settings
from diffexport.pipeline import Pipeline
from diffexport.strategies import LAYOUTS, VARIETY, Trial, examples, trials
from diffexport.subjects.cases import Case
from diffexport.values import (
    LARGER_FROM,
    MAX_ELEMENTS,
    NO_DEADLINE,
    Call,
    Deadline,
    Inputs,
    Mode,
    Shape,
    admits_all,
    shapes_of_ranks,
)


class Drawing:
    """Makes the strategy that each mode of a case is explored with.

    Args:
        case: the model under test.
        pipeline: exports the case once, to mine the numbers in its graph.
        block: most samples in one example.
        larger_sizes, most_elements: see [Settings][diffexport.explore.Settings].
    """

    def __init__(
        self,
        case: Case,
        pipeline: Pipeline,
        block: int,
        *,
        larger_sizes: bool = False,
        most_elements: int = MAX_ELEMENTS,
    ) -> None:
        self.case, self.pipeline, self.block = case, pipeline, block
        self._larger_sizes, self._most_elements = larger_sizes, most_elements
        self._intermediates = IntermediateSearch(case, pipeline)

    @classmethod
    def under(cls, settings: Settings, case: Case, pipeline: Pipeline) -> Drawing:
        """Return what draws for a case as the settings say."""
        sizes = settings.larger_sizes
        return cls(case, pipeline, settings.block, larger_sizes=sizes, most_elements=settings.most_elements)

    def trials(
        self, mode: Mode, variety: int | None = None, block: int | None = None
    ) -> st.SearchStrategy[Trial]:
        """Return the strategy that a mode is explored with.

        Args:
            mode: how it is exported.
            variety: how many shapes to export at, and how many kinds of examples to export with, are drawn from; by
                default all. Each takes an export.
            block: most samples in one example; by default that of all modes.
        """
        if not self.case.inputs:
            return self.case.strategy.map(lambda args: Trial((), (_as_inputs(args),)))  # type: ignore[no-any-return]
        shapes = self.export_shapes(mode) if variety is None else self.usual_shapes(mode)
        constants = self._constants(mode, shapes[:variety], repeat=variety is None)
        mined = self._mined(constants) if self._larger_sizes else ()
        larger = self._larger_shapes(mode, mined, shapes) if variety != 1 else []
        in_turn = [*shapes, *larger] if variety is None else [*shapes[:1], *larger, *shapes[1:]]
        drawn = trials(
            self.case.inputs,
            dynamic=mode.dynamic,
            export_shapes=in_turn[:variety],
            max_samples=block or self.block,
            constants=(*constants, *self.intermediates(mode, repeat=variety is None).numbers),
            layouts=LAYOUTS,
            requires_grad=True,
            same=True,
            variety=self.export_variety(mode)[:variety],
            dynamic_axes=self._dynamic_axes(),
            sizes=larger_sizes(mined) if self._larger_sizes else (),
            most_elements=self._most_elements,
        )
        return drawn if self.case.form is None else drawn.map(self._arranged)

    def intermediates(
        self, mode: Mode, *, repeat: bool = False, deadline: Deadline = NO_DEADLINE
    ) -> Intermediates:
        """Return inputs of the usual shapes that put a number on the way where something is compared with it.

        Args:
            mode: how the model is exported.
            repeat: see [Pipeline.export][diffexport.pipeline.Pipeline.export].
            deadline: ends the search for them.
        """
        specs = self.case.specs
        if not specs or len(specs) < len(self.case.inputs):
            return Intermediates()
        if self.pipeline.watch is not None:
            # Checks are announced since one has ended the process: nothing is run that is not.
            return Intermediates()
        shapes = self.usual_shapes(mode)[0]
        if self._raises(mode, shapes):
            return Intermediates()
        exported = self.pipeline.export(self.case, mode, as_call(self._example(shapes)), repeat=repeat)
        return self._intermediates.found(mode, examples(shapes, specs), exported, deadline)

    def exact_samples(self, mode: Mode, deadline: Deadline) -> Iterator[list[tuple[Array, ...]]]:
        """Yield the inputs of [intermediates][], if there are any, in one list."""
        found = self.intermediates(mode, deadline=deadline).samples
        if found:
            yield found

    def usual_example(self, mode: Mode) -> Inputs:
        """Return the ordinary call that a mode is exported with first; there are specs for all arguments."""
        return self._example(self.usual_shapes(mode)[0])

    def _arranged(self, trial: Trial) -> Trial:
        """Return a trial whose arguments are arranged as the case says."""
        call_of = self.case.call_of
        return Trial(call_of(trial.export_inputs), tuple(map(call_of, trial.samples)), trial.large)

    def _mined(self, constants: Sequence[float]) -> tuple[int, ...]:
        """Return the numbers that may be thresholds of the model's sizes."""
        given = [call for call in self.case.extra_inputs if self.case.specs]
        examples = [tuple(tensor.shape) for call in given for tensor in tensors_of(as_call(call))]
        return mined_sizes(self.pipeline.prepare(self.case).module, constants, examples)

    def _larger_shapes(
        self, mode: Mode, mined: Sequence[int], besides: Sequence[tuple[Shape, ...]]
    ) -> list[tuple[Shape, ...]]:
        """Return joint shapes to export at whose sizes are beyond what was mined: other branches may be taken there."""
        if not mined or not self.case.specs:
            return []
        ranks = [len(shape) for shape in plain_shapes(self.case.specs)]
        wanted = dict.fromkeys((mined[0] + 1, *((max(mined) + 1,) if mode.description.is_cheap else ())))
        shapes = [
            shapes_of_ranks(
                self.case.specs,
                ranks,
                itertools.repeat(LARGER_FROM),
                larger=(size,),
                most=self._most_elements,
            )
            for size in wanted
        ]
        return [
            joint
            for joint in dict.fromkeys(shapes)
            if joint not in besides and admits_all(self.case.specs, joint) and not self._raises(mode, joint)
        ]

    def export_shapes(self, mode: Mode) -> Sequence[tuple[Shape, ...]]:
        """Return the joint shapes that a mode is exported at.

        A mode that has only one, at which the model raises in eager, would go untested: it gets ordinary ones instead.
        """
        shapes = export_shapes(self.case.specs, mode, empty=self.case.empty_examples)
        if len(shapes) == 1 and self._raises(mode, shapes[0]):
            plain = plain_shapes(self.case.specs)
            return shapes if self._raises(mode, plain) else [plain]
        return shapes

    def usual_shapes(self, mode: Mode) -> Sequence[tuple[Shape, ...]]:
        """Return the joint shapes that a mode is exported at, the ordinary one first."""
        plain = plain_shapes(self.case.specs)
        return [plain, *(shapes for shapes in self.export_shapes(mode) if shapes != plain)]

    def _raises(self, mode: Mode, shapes: tuple[Shape, ...]) -> bool:
        """Return whether the model is known to raise on ordinary inputs of these shapes."""
        specs = self.case.specs
        if len(specs) < len(self.case.inputs):
            return False
        return bool(self.pipeline.eager(self.case, mode, as_call(self._example(shapes))).error)

    def _example(self, shapes: tuple[Shape, ...]) -> Inputs:
        """Return an ordinary call at these shapes; there are specs for all arguments."""
        return self.case.call_of(examples(shapes, self.case.specs))

    def export_variety(self, mode: Mode) -> Sequence[tuple[str, str, bool]]:
        """Return what the example to export with may be like."""
        variety = export_variety(mode)
        if not any(spec.scope.ordinary for spec in self.case.specs):
            return variety
        return [one for one in variety if one[0] != "extreme"] or VARIETY[:1]

    def _dynamic_axes(self) -> tuple[tuple[int, ...], ...] | None:
        """Return for each spec the axes at which the case's terms let it be run at other sizes; None: at any."""
        terms = self.case.terms
        if terms.dynamic_axes is None:
            return None
        return tuple(tuple(terms.axes_of(terms.input_name(n))) for n, _ in enumerate(self.case.specs))

    def _constants(
        self, mode: Mode, shapes: Sequence[tuple[Shape, ...]], *, repeat: bool
    ) -> tuple[float, ...]:
        """Return the numbers in the graph that the mode exports: thresholds, slopes, scales."""
        specs = self.case.specs
        if len(specs) < len(self.case.inputs):
            return ()
        plain = plain_shapes(specs)
        chosen = plain if plain in shapes else shapes[0]
        if self._raises(mode, chosen):
            return ()
        exported = self.pipeline.export(self.case, mode, as_call(self._example(chosen)), repeat=repeat)
        return exported.graph.constants if exported.graph is not None else ()


def _as_inputs(drawn: Any) -> tuple[Any, ...] | Call:
    if isinstance(drawn, Call):
        return drawn.plain()
    return tuple(drawn) if isinstance(drawn, tuple | list) else (drawn,)
