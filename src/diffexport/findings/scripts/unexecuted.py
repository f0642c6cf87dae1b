"""The script of a regression of which nothing is executed: no module of its target is imported, nothing is called."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from diffexport.backends.exporters import indented
from diffexport.errors import DiffexportError, TargetError, UsageError
from diffexport.findings.regressions import (
    Regression,
    StoredName,
    case_of,
    check_own,
    is_of_libraries,
    of_libraries,
)
from diffexport.findings.scripts.model_source import (
    WITH_WEIGHTS,
    ModelSource,
    NoSourceError,
    applied_definitions,
    arguments,
    copied_definitions,
    importing_definitions,
    with_constants,
)
from diffexport.findings.scripts.script import standalone_script
from diffexport.findings.scripts.written_model import ModelForm, WrittenModel, written_model
from diffexport.strategies import is_spec, names_under, read_nested, value_of
from diffexport.subjects.cases import Case, make_case
from diffexport.subjects.targets import Application, check_inside, is_catalogue_name, is_part_of_python
from diffexport.values import Call, TensorSpec, leaves, split_name

_JUST = re.compile(r"(?:hypothesis\.)?(?:(?:st|strategies)\.)?just\((?P<value>.*)\)\s*", re.DOTALL)
_NONE = re.compile(r"(?:hypothesis\.)?(?:(?:st|strategies)\.)?none\(\)\s*")
#: What is likely to draw random weights.
_RANDOM = re.compile(r"\bParameter\(|\bnn\.[A-Z]\w*\(|\brand")
_SEED = "torch.manual_seed(0)  # weights may be random: those seen are not stored"


def unexecuted_script(regression: Regression, project: Path | None = None) -> str:
    """Return the script of a regression; see [standalone_script][]. Its target is read as text.

    A case of the catalogue is part of diffexport, and is made as always.

    Args:
        regression: what was stored.
        project: the folder in which a target that is a file has to lie; None: anywhere.

    Raises:
        DiffexportError: the target lies elsewhere, or there is no script for the runtime or the exporter.
    """
    calls = (regression.inputs, regression.export_inputs)
    for leaf in leaves([Call.of(given).args for given in calls] + [Call.of(given).kwargs for given in calls]):
        if isinstance(leaf, StoredName):
            check_own(regression.target, leaf.text)
    if is_catalogue_name(regression.target):
        return standalone_script(regression, case_of(regression))
    if project is not None:
        check_inside(regression.target, project)
    parts = Application.parse(regression.target)
    place, _, attribute = regression.target.rpartition(":")
    if parts is not None:
        place, attribute = parts.place, parts.attribute
    if not place.endswith(".py") and is_part_of_python(place):
        raise TargetError(
            f"target {regression.target!r}: {place} is a part of Python, in which there is no model"
        )
    try:
        written, reason = written_model(place, attribute), ""
    except LookupError as error:
        written, reason = WrittenModel(ModelForm.UNKNOWN, None, attribute), str(error.args[0])
    texts = regression.specs or written.inputs
    constants = _constants(texts, regression.target)
    names = [split_name(text)[0] for text in texts]
    generated = [text for place, text in enumerate(texts) if (names[place] or place) not in constants]
    case = _unbuilt(regression, generated)
    target = parts or Application(place, attribute)
    model = _source(regression, written, target, constants, reason)
    return standalone_script(regression, case, model)


def _constants(texts: Sequence[str], target: str) -> dict[int | str, Any]:
    """Return the arguments that are constants of the model, by position or name; names in them are not looked up."""
    constants: dict[int | str, Any] = {}
    for place, (name, text) in enumerate(map(split_name, texts)):
        just = None if is_spec(text) else _JUST.fullmatch(text.strip())
        if just is not None:
            constants[name or place] = _value(just["value"], target)
        elif not is_spec(text) and _NONE.fullmatch(text.strip()):
            constants[name or place] = None
    return constants


def _value(text: str, target: str) -> Any:
    if not is_of_libraries(text):
        check_own(target, text)
        return StoredName(ast.unparse(ast.parse(text, mode="eval")))
    with names_under(of_libraries()):
        return value_of(text)


def _unbuilt(regression: Regression, texts: Sequence[str]) -> Case:
    """Return the case of a regression as far as its texts say it; it cannot be built."""

    def build() -> Any:
        raise UsageError("a case of which nothing is executed cannot be built")

    def read(text: str) -> Any:
        try:
            return TensorSpec.parse(text)
        except DiffexportError:
            return st.nothing()

    pairs = [split_name(text) for text in texts]
    inputs = Call(
        [read_nested(text, read) for name, text in pairs if not name],
        {name: read_nested(text, read) for name, text in pairs if name},
    )
    if not pairs:
        inputs = Call([TensorSpec.parse("float32[...]")] * max(len(Call.of(regression.inputs).args), 1))
    case = make_case(regression.case or "model", build, inputs=inputs, target=regression.target)
    return Case(**{**vars(case), "terms": regression.terms})


def _source(
    regression: Regression,
    written: WrittenModel,
    target: Application,
    constants: dict[int | str, Any],
    reason: str,
) -> ModelSource:
    """Return the model of a regression as source: copied, or else imported by the script."""
    name = written.name
    try:
        if written.file is None:
            raise NoSourceError(reason)
        if written.form is ModelForm.UNKNOWN:
            raise NoSourceError("what it is shows only when it is imported")
        imports, definitions = copied_definitions(written.file.text, written.file.package, name)
    except (NoSourceError, ImportError, SyntaxError, ValueError, RecursionError) as error:
        imports, (definitions, name) = [], importing_definitions(target.place, target.attribute, str(error))
    given, whole = arguments(Call.of(regression.export_inputs), constants)
    flags, call = target.flags, target.written_call
    kind = ModelForm.FUNCTION if {"parameter", "without-symbolic"} & set(flags) else written.form
    if target.arguments and kind is ModelForm.UNKNOWN:
        kind = ModelForm.CALLED
    if kind in (ModelForm.FUNCTION, ModelForm.UNKNOWN):
        definitions += applied_definitions(name, given, whole, flags)
    expression = {
        ModelForm.FUNCTION: "Applied()",
        ModelForm.CALLED: f"{name}{call}",
        ModelForm.ASSIGNED: f"{name} if isinstance({name}, torch.nn.Module) else {name}{call}",
        ModelForm.UNKNOWN: f"made({name})",
    }[kind]
    if kind is ModelForm.UNKNOWN:
        definitions.append(_MADE)
    if target.weights is not None:
        imports, definitions = [*imports, "import safetensors.torch"], [*definitions, WITH_WEIGHTS]
        expression = f"with_weights({expression}, {target.weights.path!r})"
    if constants and kind is not ModelForm.FUNCTION:
        definitions.append(with_constants(given, whole))
        expression = f"WithConstants({expression})"
        kind_of = inspect.Parameter.POSITIONAL_OR_KEYWORD
        takes = [inspect.Parameter(name, kind_of) for name in given.split(", ")]
        written = replace(written, forward=inspect.Signature(takes))
    text = "\n".join(definitions)
    if kind is not ModelForm.FUNCTION and (
        kind is ModelForm.UNKNOWN or _RANDOM.search(text) or "target." in name
    ):
        definitions.insert(0, _SEED)
    return ModelSource(imports, definitions, expression, _stand_in(written))


#: Finds out what the script has imported.
_MADE = indented(
    "def made(model):",
    "if isinstance(model, torch.nn.Module):",
    "    return model",
    "if isinstance(model, type) and issubclass(model, torch.autograd.Function):",
    "    return Applied()",
    'return getattr(model, "build", model)()',
)


def _stand_in(written: WrittenModel) -> Any:
    """Return an object whose ``forward`` has the parameters of the model; None where they are not known."""
    if written.forward is None:
        return None

    def forward(*_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError

    forward.__signature__ = written.forward  # type: ignore[attr-defined]
    stand_in = torch.nn.Module()
    stand_in.forward = forward
    return stand_in
