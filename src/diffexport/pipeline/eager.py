"""The eager side: a case's module, and what it does with inputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from diffexport.arrays import Array, to_array, walk
from diffexport.errors import error_line
from diffexport.pipeline.kept_state import KeptState
from diffexport.pipeline.memory_errors import ran_out_of_memory
from diffexport.pipeline.model_copies import SharedWeights, copy_of, in_mode
from diffexport.subjects.cases import Case
from diffexport.values import Path, Place, path_text, paths

#: torch's seed while a case builds its module.
BUILD_SEED = 0


class NoTensor(NamedTuple):
    """An output that is of another type than torch.Tensor."""

    place: Place
    type_name: str

    @property
    def signature(self) -> str:
        """What is said of it, without where it is."""
        return f"is of type {self.type_name}"

    def __str__(self) -> str:
        return f"{self.place} {self.signature}"


class EagerResult(NamedTuple):
    """What the eager model does with one call: its outputs as arrays, or its error.

    A Python number among the outputs is an output like any other. ``foreign`` says which of them are neither
    tensors nor numbers nor None, and so can be no output of an ONNX model; they are not among ``outputs``.
    ``names`` say where each of the outputs stands in what the model returns, ``past_key_values[0].keys``; there are
    none where that is one tensor or a tuple of them.
    ``out_of_memory`` says that the error is not the model's: memory ran out.
    """

    outputs: tuple[Array, ...]
    error: str = ""
    numbers: tuple[NoTensor, ...] = ()
    foreign: tuple[NoTensor, ...] = ()
    out_of_memory: bool = False
    names: tuple[str, ...] = ()


class Prepared:
    """A case's module in this process. The case is kept with it, so that its key stays its own.

    Copies of it are run, one in training mode, one in eval mode and one as it was built. Each is run again for as long
    as its runs leave it as it was: every run starts from the state in which the module was built.

    Attributes:
        case: whose module it is.
        module: as the case built it; it is never run itself.
        share: its copies share its large weights, see [copy_of][diffexport.pipeline.model_copies.copy_of].
        traits: its traits, once they were looked for.
    """

    def __init__(self, case: Case, module: torch.nn.Module) -> None:
        self.case, self.module = case, module
        self.share = True
        self.traits: frozenset[str] | None = None
        self._changing: set[bool | None] = set()
        self._copies: dict[bool | None, tuple[torch.nn.Module, KeptState | None]] = {}
        self.weights = SharedWeights(module)

    def fresh(self, training: bool | None) -> torch.nn.Module:
        """Return a copy in training mode, in eval mode, or, with None, as it was built."""
        return in_mode(copy_of(self.module, share=self.share), training)

    def for_run(self, training: bool | None) -> torch.nn.Module:
        """Return a copy to run once; see [fresh][] for ``training``."""
        module, state = self._copies.get(training, (None, None))
        changed = state is not None and state.is_changed()
        if changed:
            self._changing.add(training)
        if module is None or state is None or changed:
            module = self.fresh(training)
            # What a scripted module keeps cannot be looked at from here.
            scripted = any(isinstance(child, torch.jit.ScriptModule) for child in module.modules())
            keeps = scripted and any(True for _ in module.buffers())
            self._copies[training] = module, None if keeps else KeptState(module)
        return module

    def note_change(self, training: bool | None) -> None:
        """Remember that the model changes its own state when it is run."""
        self._changing.add(training)

    def changes_itself(self, training: bool | None) -> bool:
        """Return whether it was seen that the model changes its own state, buffers or attributes, when it is run."""
        self.for_run(training)
        return training in self._changing

    def replace(self, module: torch.nn.Module) -> None:
        """Take another module with the same weights from now on, whose copies have their own."""
        self.module, self.share = module, False
        self.weights = SharedWeights(module)
        self._copies.clear()


def tensors_in(result: Any) -> Iterable[torch.Tensor]:
    """Return the tensors in what a module returned, containers and all."""
    if type(result) is torch.Tensor:
        return (result,)
    if type(result) is tuple and _all_tensors(result):
        return result
    return walk(result)


def outputs_of(result: Any, *, keep_none: bool = False) -> EagerResult:
    """Return the outputs of the eager model, flattened as exporters flatten them, or its error.

    None is left out; with ``keep_none`` it is an output, an array of Python's None.
    """
    if isinstance(result, BaseException):
        text = f"{type(result).__name__}: {error_line(result)}"
        if ran_out_of_memory(result):
            return EagerResult((), f"memory ran out: {text}", out_of_memory=True)
        return EagerResult((), text)
    if type(result) is torch.Tensor or (type(result) is tuple and _all_tensors(result)):
        # As nearly always.
        try:
            return EagerResult(tuple([to_array(tensor) for tensor in tensors_in(result)]))
        except Exception as error:  # noqa: BLE001 - a dtype that numpy does not have
            return EagerResult((), f"{type(error).__name__}: {error_line(error)}")
    outputs: list[Array] = []
    numbers: list[NoTensor] = []
    foreign: list[NoTensor] = []
    places: list[Path] = []
    for path, leaf in paths(result):
        count = len(outputs)
        described = NoTensor(Place.output(len(outputs) + len(foreign)), type(leaf).__name__)
        if isinstance(leaf, torch.Tensor):
            try:
                outputs.append(to_array(leaf))
            except Exception as error:  # noqa: BLE001 - a dtype that numpy does not have
                return EagerResult((), f"{type(error).__name__}: {error_line(error)}")
        elif isinstance(leaf, bool | int | float):
            outputs.append(np.asarray(leaf))
            numbers.append(described)
        elif leaf is None and keep_none:
            outputs.append(np.asarray(None))
        elif leaf is not None:
            foreign.append(described)
        if len(outputs) > count:
            places.append(path)
    is_nested = any(len(path) > 1 or isinstance(path[-1], str) for path in places if path)
    names = tuple(map(path_text, places)) if is_nested else ()
    return EagerResult(tuple(outputs), numbers=tuple(numbers), foreign=tuple(foreign), names=names)


def _all_tensors(values: tuple[Any, ...]) -> bool:
    # Not by all(…): a generator for every output of every sample costs more than what it does.
    for value in values:  # noqa: SIM110
        if type(value) is not torch.Tensor:
            return False
    return True
