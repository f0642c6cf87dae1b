"""The eager side of every comparison: builds each case's module once, and runs it."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import Any

import torch

from diffexport import oracle
from diffexport.arrays import as_call, clone
from diffexport.backends import exporters
from diffexport.chatter import captured
from diffexport.errors import DiffexportError, TargetError, error_line
from diffexport.pipeline.eager import BUILD_SEED, EagerResult, Prepared, outputs_of, tensors_in
from diffexport.pipeline.model_copies import SharedWeights
from diffexport.pipeline.repeated_eager import RepeatedEager, repeated
from diffexport.pipeline.rerun import rerun
from diffexport.processes import (
    STEPS,
    builtin_names,
    end_copy,
    put_back_builtins,
    raised_by_code,
    without_copies,
)
from diffexport.pytorch import follow_containers
from diffexport.subjects.cases import Case
from diffexport.values import Call, Inputs, Mode


class EagerModels:
    """The eager models of cases.

    Args:
        sharing: other eager models, whose modules are used here, too, so that they are built once.
    """

    def __init__(self, *, sharing: EagerModels | None = None) -> None:
        self._prepared: dict[Hashable, Prepared] = {} if sharing is None else sharing._prepared
        self._random: set[tuple[Hashable, bool | None]] = set() if sharing is None else sharing._random
        self._remarks: list[str] = [] if sharing is None else sharing._remarks

    def prepare(self, case: Case) -> Prepared:
        """Build the case's module once.

        Raises:
            TargetError: ``build`` raises or does not return a module.
        """
        key = case_key(case)
        if key not in self._prepared:
            self._prepared[key] = Prepared(case, _built(case))
        return self._prepared[key]

    def fresh(self, case: Case, mode: Mode) -> torch.nn.Module:
        """Return a copy of the case's module as it is exported in a mode."""
        return self.prepare(case).fresh(self.state_of(case, mode))

    def state_of(self, case: Case, mode: Mode) -> bool | None:
        """Return whether a mode has the model run in training mode; None: some of its modules, as they were built.

        It is run and exported in eval mode, unless the export mode asks for training mode, or to preserve what there
        is, by its option ``training``, or the case wants its model as it is built.
        """
        state: bool | None = None if case.as_built else False
        if mode.honours("training"):
            state = {"TRAINING": True, "PRESERVE": None}.get(mode.training, False)
        if state is None:
            built = {child.training for child in self.prepare(case).module.modules()}
            return built.pop() if len(built) == 1 else None
        return state

    def note_random(self, case: Case, mode: Mode) -> None:
        """Remember that the values that a model gives in a mode are random, so that they are not compared."""
        self._random.add((case_key(case), self.state_of(case, mode)))

    def is_random(self, case: Case, mode: Mode) -> bool:
        """Return whether that is remembered."""
        return (case_key(case), self.state_of(case, mode)) in self._random

    def watch_weights(self, case: Case, doing: str, *, whole: bool = False) -> None:
        """See whether weights that copies share were written to; if so, copies have their own from now on.

        What was written to is put back by building the module again.

        Args:
            case: whose they are.
            doing: what has just been done, for the remark: ``running it``.
            whole: look at every element.
        """
        prepared = self.prepare(case)
        changed = prepared.weights.changed(whole=whole) if prepared.share else []
        if not changed:
            return
        names = ", ".join(f"`{name}`" for name in changed[:3]) + (", …" if len(changed) > 3 else "")
        module, before = _built(case), prepared.weights
        restored = SharedWeights(module).same_as(before)
        prepared.replace(module)
        self._remarks.append(
            f"case {case.name!r}: {doing} writes to its weights {names} "
            f"({'restored' if restored else 'not restored: building it again does not give them back'}); "
            "from then on every copy of it has weights of its own"
        )

    def taken_remarks(self) -> list[str]:
        """Return what was to be said since this was called last."""
        remarks = list(dict.fromkeys(self._remarks))
        self._remarks.clear()
        return remarks

    def run(self, case: Case, mode: Mode, call: Call) -> EagerResult:
        """Run the eager model on inputs that it may change."""
        result = outputs_of(self._results(case, mode, [call])[0], keep_none=case.terms.keeps_none)
        # A module may give out memory that it writes to the next time.
        return result._replace(outputs=tuple([array.copy() for array in result.outputs]))

    def run_together(self, case: Case, mode: Mode, calls: Sequence[Call]) -> list[EagerResult] | None:
        """Run the eager model on each of many inputs; None if it gives out the same memory each time."""
        results = self._results(case, mode, calls)
        owner_of_memory: dict[int, int] = {}
        for number, result in enumerate(results):
            for tensor in tensors_in(result):
                memory = _memory(tensor)
                if memory and owner_of_memory.setdefault(memory, number) != number:
                    return None
        return [outputs_of(result, keep_none=case.terms.keeps_none) for result in results]

    def rerun(self, case: Case, mode: Mode, inputs: Inputs) -> oracle.Rerun:
        """Return how the oracle runs the eager model again on these inputs."""
        return rerun(self.prepare(case), self.state_of(case, mode), inputs, keep_none=case.terms.keeps_none)

    def repeated(self, case: Case, mode: Mode, call: Call) -> RepeatedEager:
        """Ask the eager model three times with the same input."""
        prepared, training = self.prepare(case), self.state_of(case, mode)
        STEPS.begin("eager")
        asked = repeated(prepared, training, call, keep_none=case.terms.keeps_none)
        self.watch_weights(case, "running it", whole=True)
        if asked.changed:
            prepared.note_change(training)
        return asked

    def changes_itself(self, case: Case, mode: Mode) -> bool:
        """Return whether it was seen that the model changes its own state in such a mode, as tracing it does then."""
        return self.prepare(case).changes_itself(self.state_of(case, mode))

    def traits(self, case: Case, inputs: Inputs) -> frozenset[str]:
        """Return the model's traits, declared or observed by tracing it on ``inputs``."""
        if case.traits is not None:
            return case.traits
        prepared = self.prepare(case)
        if prepared.traits is None:
            module = prepared.fresh(None if case.as_built else False)
            prepared.traits = exporters.model_traits(module, clone(as_call(inputs)), case.around)
        return prepared.traits

    def _results(self, case: Case, mode: Mode, calls: Sequence[Call]) -> list[Any]:
        """Return for each of many inputs what the module returns, or the error that it raises."""
        prepared, training = self.prepare(case), self.state_of(case, mode)
        results: list[Any] = []
        getpid = os.getpid
        process = getpid()
        names = builtin_names()
        STEPS.begin("eager")
        for call in calls:
            STEPS.again()
            try:
                results.append(prepared.for_run(training)(*call.args, **call.kwargs))
            except raised_by_code() as error:
                results.append(error)
            finally:
                put_back_builtins(names)
                # A model may fork, and the copy would answer for whatever comes next.
                if getpid() != process:
                    end_copy(process)
        self.watch_weights(case, "running it")
        return results


def _built(case: Case) -> torch.nn.Module:
    """Return the module that a case builds.

    Raises:
        TargetError: ``build`` raises or does not return a module.
    """
    STEPS.begin("build")
    try:
        with captured(), without_copies(), torch.random.fork_rng(devices=[]):
            # Random weights have to be the same ones when a regression is replayed.
            torch.manual_seed(BUILD_SEED)
            module = case.build()
    except DiffexportError:
        # It says what is wrong with the target.
        raise
    except raised_by_code() as error:
        raise TargetError(
            f"case {case.name!r}: building the model raises {type(error).__name__}: {error_line(error)}"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise TargetError(f"case {case.name!r}: build returns {type(module).__name__}, not a torch.nn.Module")
    # What it takes and returns may be registered by what was imported for it.
    follow_containers()
    return module


def case_key(case: Case) -> Hashable:
    """Return what tells cases apart in a process: two models may have one name."""
    return case.name, case.target, id(case.build), case.terms


def _memory(tensor: torch.Tensor) -> int:
    """Return where a tensor's memory begins; 0 for sparse ones and subclasses, which need not have any of their own."""
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
    return tensor.untyped_storage().data_ptr() if plain else 0
