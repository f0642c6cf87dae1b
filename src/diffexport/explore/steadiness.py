"""Before a case is explored: whether eager gives the same for the same input, and in which mode it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import torch
from hypothesis import HealthCheck, Phase

from diffexport import oracle
from diffexport.arrays import as_call
from diffexport.errors import UntestableError
from diffexport.explore.drawing import Drawing
from diffexport.findings.events import Remark
from diffexport.pipeline import EagerResult, Pipeline, heeds_training
from diffexport.strategies import Trial, examples
from diffexport.subjects.cases import Case
from diffexport.values import Call, Mode

#: How many inputs are drawn, where there are no ordinary ones, until eager accepts one.
_DRAWN = 5


class Steadiness:
    """Asks eager with the same input more than once, for each way in which modes want the model run: eval, training.

    Args:
        case: the model under test.
        pipeline: runs it; the values of what is random are not compared any more.
        drawing: gives inputs where ordinary ones cannot be had from specs.
    """

    def __init__(self, case: Case, pipeline: Pipeline, drawing: Drawing) -> None:
        self._case, self._pipeline, self._drawing = case, pipeline, drawing
        self._asked: set[bool | None] = set()
        self._is_refused = False

    def look(self, mode: Mode) -> Iterator[Remark]:
        """Ask, unless a mode that wants the model run in the same way was asked about; say what a person should know.

        Raises:
            UntestableError: the model keeps state from call to call, so that there is nothing to compare with.
        """
        yield from self.remarks()
        state = self._pipeline.state_of(self._case, mode)
        if state in self._asked:
            return
        self._asked.add(state)
        if state is False:
            yield from self._mode_remark()
        for call in self._inputs(mode):
            if self._pipeline.eager(self._case, mode, call).error:
                continue
            problem, keeps_state = self._problem(mode, call)
            if not problem:
                return
            if state is False or self._case.as_built:
                if keeps_state:
                    raise UntestableError(f"case {self._case.name!r}: {problem}. {_STATE_ADVICE}")
                self._is_refused = True
                yield self._remark(f"{problem}. {_NOT_COMPARED} {_RANDOM_ADVICE}", refuses=True)
            elif not self._is_refused:  # else it is random in training mode, too
                which = f"that is in training mode, which modes with training={mode.training} ask for"
                yield self._remark(f"{problem}; {which}. {_NOT_COMPARED}")
            self._pipeline.note_random(self._case, mode)
            return

    def remarks(self) -> Iterator[Remark]:
        """Yield what is to be said of weights that runs or exports have written to."""
        yield from [Remark(self._case.name, text) for text in self._pipeline.taken_remarks()]

    def _remark(self, text: str, *, refuses: bool = False) -> Remark:
        return Remark(self._case.name, f"case {self._case.name!r}: {text}", refuses)

    def _mode_remark(self) -> Iterator[Remark]:
        module = self._pipeline.prepare(self._case).module
        in_training = [child for child in module.modules() if child.training]
        heeding = [child for child in in_training if heeds_training(child)]
        if not heeding:
            return
        count = len(heeding)
        which = "" if module.training else f" (of its modules: {', '.join(_names(module, heeding))})"
        kinds = ", ".join(dict.fromkeys(type(child).__name__ for child in heeding[:3]))
        yield Remark(
            self._case.name,
            f"case {self._case.name!r} was handed over in training mode{which}; it is tested in eval mode, which "
            f"makes a difference to {kinds}{' and others' if count > 3 else ''} (a mode with training=TRAINING tests "
            "the other)",
        )

    def _problem(self, mode: Mode, call: Call) -> tuple[str, bool]:
        """Return what is wrong with the model on an input, if anything, and whether it is that it keeps state."""
        asked = self._pipeline.stages.eager.repeated(self._case, mode, call)
        where = _difference(asked.first, asked.again)
        if where:
            names = ", ".join(f"`{name}`" for name in asked.changed[:4])
            what = f"attribute {names} changed" if names else _UNSEEN_STATE
            text = "the model keeps state from call to call: a second call with the same input differs"
            return f"{text} ({where}); {what}", True
        where = _difference(asked.first, asked.otherwise)
        text = "the model is random: two calls with the same input differ"
        return (f"{text} ({where})", False) if where else ("", False)

    def _inputs(self, mode: Mode) -> Iterator[Call]:
        specs = self._case.specs
        if specs and len(specs) == len(self._case.inputs):
            shapes = self._drawing.usual_shapes(mode)[0]
            yield as_call(self._case.call_of(examples(shapes, specs)))
            return
        yield from [as_call(trial.samples[0]) for trial in reversed(self._drawn(mode)) if trial.samples]

    def _drawn(self, mode: Mode) -> list[Trial]:
        drawn: list[Trial] = []
        settings = hypothesis.settings(
            max_examples=_DRAWN,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            verbosity=hypothesis.Verbosity.quiet,
        )

        def note(trial: Trial) -> None:
            drawn.append(trial)

        run: Any = settings(hypothesis.seed(0)(hypothesis.given(self._drawing.trials(mode))(note)))
        try:
            run()
        except Exception:  # noqa: BLE001 - whoever explores says what is wrong with a strategy
            return []
        return drawn


_NOT_COMPARED = (
    "Its values are not compared; the number, shapes and dtypes of its outputs are, and it has to export."
)
_RANDOM_ADVICE = (
    "Use eval mode, make what is drawn an input of the model, or seed a generator of its own in forward."
)
_STATE_ADVICE = (
    "An exported model holds one state for ever, so that nothing of it is compared: make the state an input and an "
    "output, or set it back at the beginning of forward."
)
_UNSEEN_STATE = (
    "none of its attributes changed, so that the state is outside of it: a global, the time, or a random generator of "
    "its own"
)


def _names(module: torch.nn.Module, wanted: list[torch.nn.Module]) -> list[str]:
    names = [name for name, child in module.named_modules() if any(child is one for one in wanted)]
    return [*names[:3], *(["…"] if len(names) > 3 else [])]


def _difference(one: EagerResult, other: EagerResult) -> str:
    """Return at which output two results differ by more than rounding, and how; empty where they do not."""
    if one.error or other.error:
        return f"one raises {one.error or other.error}" if one.error != other.error else ""
    for found in oracle.compare(one.outputs, other.outputs):
        # The least difference that torch.testing calls one.
        if found.excess is None or found.excess > 1:
            place = found.place.text.replace("[", " ").replace("]", "")
            return f"{place}: {found.kind}"
    return ""
