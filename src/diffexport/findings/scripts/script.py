"""A regression as a standalone script for a bug report: it needs torch, onnx, onnxruntime and numpy alone.

Below the header it has the model (``model_source``), the export call, and a ``main`` that checks for the divergence
(``check_templates``) on the stored values (``literals``).
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable
from string import Template
from typing import Any

import numpy as np
import torch

from diffexport.arrays import (
    BFLOAT16,
    as_call,
    every_axis,
    feeds_of,
    is_complex,
    names_in,
    tensors_of,
)
from diffexport.backends.exporters import ScriptRequest, exporter_of, indented, mapping, names
from diffexport.backends.runtimes import RuntimeScript, runtime_of
from diffexport.errors import UsageError
from diffexport.findings.regressions import LeftOut, Regression, is_tensor
from diffexport.findings.scripts import check_templates
from diffexport.findings.scripts.check_templates import CONSTANTS, END, template_for, wanted, watched
from diffexport.findings.scripts.filled_values import makers_used
from diffexport.findings.scripts.literals import literal
from diffexport.findings.scripts.model_source import (
    IMPORTS,
    Function,
    ModelSource,
    function_source,
    model_source,
    root_of,
)
from diffexport.pipeline import heeds_training
from diffexport.subjects.cases import Case, dynamic_axes
from diffexport.values import (
    DEFAULT_TERMS,
    RUNTIME_REGISTRY,
    Call,
    Inputs,
    Kind,
    Mode,
    Stage,
    leaves,
)


def standalone_script(regression: Regression, case: Case, model: ModelSource | None = None) -> str:
    """Return a Python script that shows a stored divergence without diffexport.

    It exits 1 and prints ``DIVERGES: …`` when the divergence shows, and exits 0 and prints ``agrees`` when it
    does not.

    Args:
        regression: what was stored.
        case: the case it is about, as [case_of][diffexport.findings.regressions.case_of] returns it.
        model: the model as source; by default that of the case, which is built for it.

    Raises:
        UnknownNameError: the divergence needs a runtime, and there is none of the stored name.
        UsageError: that runtime does not say how a script uses it.
    """
    model = model or model_source(regression, case)
    around = None if case.around is None else function_source(case.around)
    asserted = next((a for a in case.assertions if a.name == regression.signature), None)
    test = None if asserted is None else function_source(asserted.test)
    runs = _runtime_script(regression)
    main = _main(regression, case, model.expression, model.module, test, runs)
    besides = [function for function in (around, test) if function is not None]
    definitions = [*model.definitions, *(text for function in besides for text in function.definitions)]
    imported = [*model.imports, *(line for function in besides for line in function.imports)]
    exporting = _export(regression, case, model.module, around)
    parts = [*dict.fromkeys(definitions), exporting]
    parts += [_arrays(regression)] if "arrays(" in main else []
    if "load(" in main:
        parts += [runs.load]
        imported += runs.imports
    parts += makers_used(main)
    parts += [runs.run_bfloat16] if "run_in_values(" in main else []
    parts += [check_templates.TENSOR_BFLOAT16] if "as_bfloat16(" in main else []
    code = "\n\n\n".join((*parts, main, END % regression.kind.meaning))
    needed = {line for name, line in IMPORTS.items() if re.search(rf"(?<![\w.]){re.escape(name)}\.", code)}
    return f"{_header(regression, imported)}\n{_sorted(needed.union(imported))}\n\n\n{code}\n"


def _header(regression: Regression, imports: Iterable[str]) -> str:
    message = regression.message.splitlines()
    versions = ", ".join(f"{name} {v}" for name, v in regression.versions.items() if name != "hypothesis")
    ran = f", run on {regression.runtime}" if regression.identity.runtime else ""
    libraries = {root_of(line) for line in imports} - {"numpy", "onnx", "onnxruntime", "torch"}
    libraries -= sys.stdlib_module_names
    fatal = regression.kind in (Kind.CRASH, Kind.TIMEOUT)
    paragraphs = [
        f"{regression.case}: {regression.kind} ({regression.kind.meaning})",
        *(message if len(message) <= 12 else [*message[:12], "..."]),
        "",
        f"Exported as {regression.mode}{ran}",
        *([f"Seen with {versions}"] if versions else []),
        *([f"Checked on the terms {regression.terms}"] if regression.terms != DEFAULT_TERMS else []),
        *(["What differs is compared here without those terms"] if regression.terms.lenient else []),
        *([f"Needs {', '.join(sorted(libraries))} as well"] if libraries else []),
        'Exits 1 and prints "DIVERGES: ..." when the divergence shows, exits 0 and prints "agrees" when it '
        + ("does not; if it dies or hangs, that is it." if fatal else "does not; a traceback says neither."),
    ]
    clean = [re.sub(r"\x1b\[\d*m|[\x00-\x1f\x7f-\x9f]", "", text) for text in paragraphs]
    lines = [line for text in clean for line in textwrap.wrap(text, 98, break_on_hyphens=False) or [""]]
    return "\n".join(f"# {line}".rstrip() for line in lines) + "\n"


def _sorted(imports: Iterable[str]) -> str:
    groups: list[list[str]] = [[], [], []]
    for line in sorted(imports, key=lambda line: (line.startswith("from"), line)):
        root = root_of(line)
        groups[0 if root == "__future__" else 1 if root in sys.stdlib_module_names else 2].append(line)
    return "\n\n".join("\n".join(group) for group in groups if group)


def _export(regression: Regression, case: Case, module: Any, around: Function | None) -> str:
    """Return the function that exports with exactly the options of the mode, inside of what surrounds it."""
    text = _exporting(regression, case, module)
    if around is None:
        return text
    head, _, body = text.partition("\n")
    return indented(head, indented(f"with {around.name}():", textwrap.dedent(body)))


def _exporting(regression: Regression, case: Case, module: Any) -> str:
    mode, given = regression.mode, as_call(regression.export_inputs)
    axes = None
    if mode.dynamic:
        declared = dynamic_axes(case, given)
        axes = every_axis(given) if declared is None else declared
    wanted = ScriptRequest(
        module,
        given,
        mode,
        axes,
        regression.terms,
        case.custom_opsets,
        capture_apart=regression.stage is Stage.CAPTURE,
    )
    text = exporter_of(mode).script(wanted)
    if text is None:
        raise UsageError(f"the exporter {mode.exporter!r} does not say how a script uses it")
    return text


def _met(regression: Regression) -> set[torch.dtype]:
    """Return the dtypes of what goes into the model and comes out of it."""
    met = (regression.inputs, regression.export_inputs, regression.eager, regression.got)
    return {tensor.dtype for values in met for tensor in tensors_of(as_call(values))}


def _arrays(regression: Regression) -> str:
    """Return the function that makes arrays of tensors, with what it needs for dtypes that numpy lacks."""
    met = _met(regression)
    special = check_templates.BFLOAT16 if torch.bfloat16 in met else ""
    special += check_templates.COMPLEX if any(dtype.is_complex for dtype in met) else ""
    return Template(check_templates.ARRAYS).substitute(special=special)


def _runtime_script(regression: Regression) -> RuntimeScript:
    """Return how the stored runtime is used; what diverges before there is one may name any."""
    if not regression.identity.runtime and regression.runtime not in RUNTIME_REGISTRY.names():
        return RuntimeScript("", "", "")
    script = runtime_of(regression.runtime).script
    if script is None:
        raise UsageError(f"the runtime {regression.runtime!r} does not say how a script uses it")
    return script


def _dtype_at(regression: Regression) -> np.dtype[Any]:
    """Return the dtype of the output that the divergence is at; a file that was written by hand may lack it."""
    number = regression.place.number
    outputs = () if number is None else regression.eager[number:]
    known = outputs and isinstance(outputs[0], np.ndarray | LeftOut)
    return outputs[0].dtype if known else np.dtype(np.float32)


def _main(
    regression: Regression,
    case: Case,
    expression: str,
    module: Any,
    test: Function | None,
    runs: RuntimeScript,
) -> str:
    """Return the function that says whether the divergence shows."""
    place = regression.place
    number = 0 if place.number is None else place.number
    training = regression.mode.training if regression.mode.honours("training") else ""
    mode = {"EVAL": ".eval()", "TRAINING": ".train()"}.get(training, "")
    template = template_for(regression) if test is None else check_templates.ASSERTION
    dtype = _dtype_at(regression)
    in_values = torch.bfloat16 in _met(regression) and runs.run_bfloat16
    example = _literals(regression.export_inputs)
    inputs = _literals(regression.inputs) if "feeds" in template else example
    exported, run = as_call(regression.export_inputs), as_call(regression.inputs)
    fed = feeds_of(module, exported, run) if regression.mode.description.numbers_become_inputs else {}
    constants = {name: literal(leaf) for name, leaf in fed.items() if not isinstance(leaf, torch.Tensor)}
    named = names_in(exported, run)
    eager = f"eager = arrays(copy.deepcopy(model){mode}(*copy.deepcopy(inputs)))"
    if run.kwargs:
        eager = f"eager = arrays(copy.deepcopy(model){mode}(*args, **kwargs))"
        eager = f"args, kwargs = copy.deepcopy((inputs, keywords))\n{eager}"
    prefix = "" if example == inputs else "example_"
    given = "(inputs, keywords)" if run.kwargs else "inputs"
    checked = Template(template).substitute(
        eager=eager,
        example=("example" if prefix else "inputs") + (f", {prefix}keywords" if exported.kwargs else ""),
        given=given,
        names=names(named),
        known=names((*named, *constants)),
        constants=Template(CONSTANTS).substitute(constants=mapping(constants)) if constants else "",
        used=runs.input_names,
        output=f"[{number}]",
        part={"real": "[..., 0]", "imag": "[..., 1]"}.get(place.part, ""),
        parts=" or one.ndim != other.ndim" if is_complex(dtype) else "",
        run="run_in_values(session, feeds)" if in_values else runs.run,
        tensor="as_bfloat16" if dtype == BFLOAT16 else "torch.tensor",
        opset=regression.mode.opset,
        test="" if test is None else test.name,
        wanted=wanted(regression, case),
        watched=watched(regression.signature).replace("$given", given),
    )
    return indented(
        "def main():",
        'warnings.simplefilter("ignore")',
        f"model = {expression}{_put_into_eval_mode(regression.mode, case, module)}",
        *_assigned(inputs, "inputs", "keywords"),
        *(
            ["# What it is exported with:", *_assigned(example, "example", "example_keywords")]
            if prefix
            else []
        ),
        checked,
    )


def _put_into_eval_mode(mode: Mode, case: Case, module: Any) -> str:
    """Return a line for a model that is handed over in training mode, heeds that, and is tested in eval mode.

    Where only its source is known, or how it is called, it may be one.
    """
    if mode.honours("training") or case.as_built:
        return ""  # what exports it is told, and so is eager
    # A module of no class of its own stands in for one that nothing has built.
    is_unknown = module is None or type(module) is torch.nn.Module
    if is_unknown or any(child.training and heeds_training(child) for child in module.modules()):
        return "\nmodel.eval()"
    return ""


def _literals(inputs: Inputs) -> tuple[dict[str, str], str, str]:
    """Return the expressions for arguments and keywords, and for the tensors in them that occur twice, by name."""
    given = Call.of(inputs)
    tensors = [leaf for leaf in leaves(given) if is_tensor(leaf)]
    twice = {id(leaf): leaf for n, leaf in enumerate(tensors) if any(leaf is other for other in tensors[:n])}
    named = {key: f"same{number}" for number, key in enumerate(twice)}
    shared = {named[key]: literal(leaf) for key, leaf in twice.items()}
    return shared, literal(given.args, named), literal(given.kwargs, named) if given.kwargs else ""


def _assigned(literals: tuple[dict[str, str], str, str], args: str, kwargs: str) -> list[str]:
    shared, positional, keywords = literals
    lines = [f"{name} = {expression}" for name, expression in shared.items()]
    return [*lines, f"{args} = {positional}", *([f"{kwargs} = {keywords}"] if keywords else [])]
