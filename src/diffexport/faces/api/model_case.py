"""From a model as a person has it, an instance, class, factory or ``autograd.Function``, to a case."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from diffexport.errors import UsageError
from diffexport.subjects.cases import Case, Exclusion, Known, Rule, exclusions_of, extra_calls, make_case
from diffexport.subjects.targets import builder_of, with_inputs
from diffexport.values import Inputs, TensorSpec, TermOptions, Terms

if TYPE_CHECKING:
    from diffexport.infer.session import Inference


def case_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the arguments of [check][diffexport.check] that make the case."""
    ours = inspect.signature(as_case).parameters.keys() | TermOptions.__annotations__.keys()
    return {name: value for name, value in options.items() if name in ours}


def as_case(
    model: Any,
    *,
    inputs: Sequence[str | TensorSpec | Any] | Mapping[str, Any] = (),
    strategy: Any = None,
    rules: Sequence[Rule] = (),
    known: Iterable[Known] = (),
    exclude: Mapping[str, str] | Sequence[Exclusion] = (),
    extra_inputs: Sequence[Inputs] = (),
    name: str = "",
    target: str = "",
    **terms: Unpack[TermOptions],
) -> Case:
    """Make a case of a model, or add to a Case what is given; arguments as for [check][diffexport.check].

    Raises:
        UsageError: it is no model, no inputs are given for it and none can be worked out, or an option is wrong.
    """
    # What is wrong is said before anything is worked out.
    Terms.of(terms)
    exclude = exclusions_of(exclude)
    if isinstance(model, Case):
        if inputs or strategy is not None:
            given = make_case(model.name, model.build, inputs=inputs, strategy=strategy)
            model = replace(model, inputs=given.inputs, form=given.form, strategy=given.strategy)
        added: Case = replace(
            model,
            rules=(*rules, *model.rules),
            known=(*model.known, *known),
            exclude=(*model.exclude, *exclude),
            extra_inputs=(*model.extra_inputs, *extra_calls(extra_inputs)),
            terms=Terms.of({**model.terms.document(), **terms}),
            name=name or model.name,
            target=target or model.target,
        )
        return added
    import torch

    if isinstance(model, torch.jit.ScriptModule):
        # There is no other way to export it.
        terms["script"] = True
    called = name or name_of(model)
    worked_out = _recorded(model) or inferred(model, called) if not inputs and strategy is None else ()
    case = make_case(
        called,
        builder_of(model),
        # What is worked out takes the place of this.
        inputs=["float32[...]"] if not inputs and strategy is None else inputs,
        strategy=strategy,
        rules=rules,
        known=tuple(known),
        exclude=exclude,
        extra_inputs=extra_inputs,
        target=target or target_of(model),
        **terms,
    )
    with _own_names(model):
        return with_inputs(case, worked_out)


def _recorded(model: Any) -> tuple[str, ...]:
    """Return the texts of the inputs that a model was recorded with, in the configured file; none where it was not."""
    from diffexport.infer.recorded import recorded_calls

    kind = model if isinstance(model, type) else type(model)
    name, file = kind.__qualname__, getattr(sys.modules.get(kind.__module__), "__file__", None)
    seen = recorded_calls().of(f"{kind.__module__}:{name}", Path(file) if file else None, name)
    inference = None if seen is None else seen.inference()
    return () if inference is None else inference.inputs


def _own_names(model: Any) -> Any:
    """Let texts of inputs name what stands in the file that a model is defined in, by the file's name."""
    from diffexport.strategies import names_of_file

    module = sys.modules.get((model if isinstance(model, type) else type(model)).__module__)
    file = getattr(module, "__file__", None)
    return names_of_file(Path(file).stem, module) if file else contextlib.nullcontext()


def name_of(model: Any) -> str:
    """Return what a model is called: its own name, or that of its class.

    Raises:
        UsageError: it is no model.
    """
    import torch

    if isinstance(model, Case):
        return model.name
    if isinstance(model, torch.nn.Module):
        # Of a scripted one, the name of what was scripted.
        return str(getattr(model, "original_name", type(model).__name__))
    if callable(model):
        factory = model.func if isinstance(model, functools.partial) else model
        return str(getattr(factory, "__name__", type(factory).__name__))
    raise UsageError(
        f"{model!r} is neither a Case, a torch.nn.Module, a factory of one nor an autograd.Function"
    )


#: What may be inferred, but not be compared with an export.
_INCOMPARABLE = ("random", "stateful", "non-tensor")


def inferred(model: Any, name: str) -> tuple[str, ...]:
    """Return the texts of the inputs of a model that comes without any, worked out by trying.

    Raises:
        UsageError: they cannot be worked out, or no export could agree; the message says how to declare them.
    """
    inference = _inference(model, name)
    if inference.inputs and inference.status not in _INCOMPARABLE:
        return tuple(inference.inputs)
    if not inference.inputs:
        why = (
            inference.message or f"{name}: {inference.status.meaning}; declare them: inputs=['float32[N, 3]']"
        )
        raise UsageError(f"the inputs of {name} are not declared, and cannot be worked out: {why}")
    raise UsageError(
        f"{name}: {inference.status.meaning}, so that no export can be held against it; to check it all the same, "
        f"declare its inputs: inputs={list(inference.inputs)!r}"
    )


#: What was inferred in this process, and of which model: a test of it has an item for each exporter.
_INFERENCES: dict[int, tuple[Any, Inference]] = {}


def _inference(model: Any, name: str) -> Inference:
    from diffexport.infer.session import infer

    if id(model) not in _INFERENCES:
        # The model is kept beside it: another object cannot get its id meanwhile.
        _INFERENCES[id(model)] = model, infer(model, name=name)
    return _INFERENCES[id(model)][1]


def target_of(model: Any) -> str:
    """Return ``file.py:attr`` for something defined at the top of a file, else empty."""
    definition = model if isinstance(model, type) or inspect.isfunction(model) else None
    qualified = getattr(definition, "__qualname__", "")
    if definition is None or not qualified or "<" in qualified:
        return ""
    try:
        file = Path(inspect.getfile(definition)).resolve()
    except (TypeError, OSError):
        return ""
    try:
        return f"{file.relative_to(Path.cwd())}:{qualified}"
    except ValueError:
        return f"{file}:{qualified}"
