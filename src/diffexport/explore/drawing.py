"""What is drawn for a case in a mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from diffexport.arrays import as_call
from diffexport.explore.export_examples import export_shapes, export_variety, plain_shapes
from diffexport.pipeline import Pipeline
from diffexport.strategies import LAYOUTS, VARIETY, Trial, examples, trials
from diffexport.subjects.cases import Case
from diffexport.values import Call, Inputs, Mode, Shape


class Drawing:
    """Makes the strategy that each mode of a case is explored with.

    Args:
        case: the model under test.
        pipeline: exports the case once, to mine the numbers in its graph.
        block: most samples in one example.
    """

    def __init__(self, case: Case, pipeline: Pipeline, block: int) -> None:
        self.case, self.pipeline, self.block = case, pipeline, block

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
        shapes = self.export_shapes(mode) if variety is None else self.usual_shapes(mode)[:variety]
        drawn = trials(
            self.case.inputs,
            dynamic=mode.dynamic,
            export_shapes=shapes,
            max_samples=block or self.block,
            constants=self._constants(mode, shapes, repeat=variety is None),
            layouts=LAYOUTS,
            requires_grad=True,
            same=True,
            variety=self.export_variety(mode)[:variety],
            dynamic_axes=self._dynamic_axes(),
        )
        return drawn if self.case.form is None else drawn.map(self._arranged)

    def _arranged(self, trial: Trial) -> Trial:
        """Return a trial whose arguments are arranged as the case says."""
        call_of = self.case.call_of
        return Trial(call_of(trial.export_inputs), tuple(map(call_of, trial.samples)))

    def export_shapes(self, mode: Mode) -> Sequence[tuple[Shape, ...]]:
        """Return the joint shapes that a mode is exported at.

        A mode that has only one, at which the model raises in eager, would go untested: it gets ordinary ones instead.
        """
        shapes = export_shapes(self.case.specs, mode)
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
