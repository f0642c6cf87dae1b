"""The case that an artefact is compared with: what the target says of its inputs, and what the file says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from diffexport.backends.graphs import Declared, declared_inputs
from diffexport.backends.model_files import Artefact, declared_specs, narrowed
from diffexport.errors import UsageError
from diffexport.subjects.cases import Case
from diffexport.subjects.targets import resolve
from diffexport.values import TensorSpec, counted


def inputs_of_file(artefact: Artefact) -> tuple[Declared, ...]:
    """Return what the file declares of the inputs, in the order of the arguments they are fed with."""
    declared = {value.name: value for value in declared_inputs(artefact.model)}
    return tuple(declared[name] for name in artefact.inputs)


def case_for(text: str, inputs: Sequence[str], artefact: Artefact) -> Case:
    """Return the case a target names, its specs narrowed to what the file admits.

    Args:
        text: the target.
        inputs: tensor specs from the command line.
        artefact: the model. Where neither target nor command line has specs, its inputs are what it declares.

    Raises:
        UsageError: the number of inputs does not fit, or the specs contradict what the file declares.
    """
    declared = inputs_of_file(artefact)
    otherwise = () if inputs else [str(spec) for spec in declared_specs(declared)]
    case = resolve(text, inputs=inputs, otherwise=otherwise)
    if case.strategy is not None:
        # What a strategy gives is known only when it is drawn.
        return case
    name = artefact.path or "the model"
    if len(case.specs) != len(declared):
        names = ", ".join(repr(value.name) for value in declared) or "none"
        what = "--input gives" if inputs else f"{text} takes"
        raise UsageError(
            f"{name} has {counted(len(declared), 'input')} ({names}), but {what} {counted(len(case.specs), 'tensor')}; "
            "say with --input, once for each, what is fed to the file"
        )
    source = "--input" if inputs else f"case {case.name!r}"
    narrow = iter(narrowed(case.specs, declared, source))
    return replace(
        case,
        inputs=tuple(next(narrow) if isinstance(entry, TensorSpec) else entry for entry in case.inputs),
    )
