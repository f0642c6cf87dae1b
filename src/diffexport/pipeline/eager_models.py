"""The eager side of every comparison: builds each case's module once, and runs it."""

from __future__ import annotations

import copy
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
from diffexport.pipeline.rerun import rerun
from diffexport.processes import STEPS, end_copy, raised_by_code, without_copies
from diffexport.pytorch import follow_containers
from diffexport.subjects.cases import Case
from diffexport.values import Call, Inputs, Mode


class EagerModels:
    """The eager models of cases.

    Args:
        evaluate: run them for evaluation, whatever mode they are built in; a mode may still ask for training.
        sharing: other eager models, whose modules are used here, too, so that they are built once.
    """

    def __init__(self, *, evaluate: bool = False, sharing: EagerModels | None = None) -> None:
        self._evaluate = evaluate
        self._prepared: dict[Hashable, Prepared] = {} if sharing is None else sharing._prepared

    def prepare(self, case: Case) -> Prepared:
        """Build the case's module once.

        Raises:
            TargetError: ``build`` raises or does not return a module.
        """
        key = case_key(case)
        if key not in self._prepared:
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
                raise TargetError(
                    f"case {case.name!r}: build returns {type(module).__name__}, not a torch.nn.Module"
                )
            # What it takes and returns may be registered by what was imported for it.
            follow_containers()
            has_buffers = any(True for _ in module.buffers())
            self._prepared[key] = Prepared(case, module, module.training, has_buffers, {})
        return self._prepared[key]

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
        return rerun(*self._prepared_for(case, mode), inputs, keep_none=case.terms.keeps_none)

    def traits(self, case: Case, inputs: Inputs) -> frozenset[str]:
        """Return the model's traits, declared or observed by tracing it on ``inputs``."""
        if case.traits is not None:
            return case.traits
        prepared = self.prepare(case)
        if prepared.traits is None:
            module = copy.deepcopy(prepared.module)
            prepared.traits = exporters.model_traits(module, clone(as_call(inputs)), case.around)
        return prepared.traits

    def trains(self, case: Case, mode: Mode) -> bool:
        """Return whether the model is run in training mode, because it is built so or the mode exports it so."""
        return self._prepared_for(case, mode)[1]

    def _prepared_for(self, case: Case, mode: Mode) -> tuple[Prepared, bool]:
        """Return the case's module, and whether it is run in training mode."""
        prepared = self.prepare(case)
        training = prepared.training and not self._evaluate
        if mode.honours("training"):
            training = {"TRAINING": True, "EVAL": False}.get(mode.training, training)
        return prepared, training

    def _results(self, case: Case, mode: Mode, calls: Sequence[Call]) -> list[Any]:
        """Return for each of many inputs what the module returns, or the error that it raises."""
        prepared, training = self._prepared_for(case, mode)
        results: list[Any] = []
        getpid = os.getpid
        process = getpid()
        STEPS.begin("eager")
        for call in calls:
            STEPS.again()
            try:
                results.append(prepared.for_run(training)(*call.args, **call.kwargs))
            except raised_by_code() as error:
                results.append(error)
            finally:
                # A model may fork, and the copy would answer for whatever comes next.
                if getpid() != process:
                    end_copy(process)
        return results


def case_key(case: Case) -> Hashable:
    """Return what tells cases apart in a process: two models may have one name."""
    return case.name, case.target, id(case.build), case.terms


def _memory(tensor: torch.Tensor) -> int:
    """Return where a tensor's memory begins; 0 for sparse ones and subclasses, which need not have any of their own."""
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
    return tensor.untyped_storage().data_ptr() if plain else 0
