"""A regression as a standalone script for a bug report: it needs torch, onnx, onnxruntime and numpy alone.

The model's source is copied from its module: its definition, the top-level definitions this refers to, and
the imports they use. Where that cannot be had (a lambda, a closure, no source) the script imports the target
and says so.
"""

from __future__ import annotations

import ast
import base64
import builtins
import importlib
import importlib.util
import inspect
import math
import re
import symtable
import sys
import textwrap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

import numpy as np
import torch

from diffexport import target, tensors
from diffexport.case import Case
from diffexport.errors import UnknownNameError
from diffexport.mode import OPTIONS_BY_NAME, Mode
from diffexport.regressions.format import Regression
from diffexport.runtimes import RUNTIMES
from diffexport.verdict import Kind, Stage

Place = ModuleType | Path | str

_MODULES = (
    *("base64", "contextlib", "copy", "importlib", "importlib.util", "io", "onnx", "onnx.reference"),
    *("onnxruntime", "os", "random", "sys", "tempfile", "torch", "torch.fx.experimental._config"),
    *("warnings", "zlib"),
)
#: What a script may import for itself, by the name it then uses.
_IMPORTS = {name: f"import {name}" for name in _MODULES} | {
    "np": "import numpy as np",
    "GLOBALS": "from torch.onnx._internal.torchscript_exporter._globals import GLOBALS",
}
#: What else a script binds at its top level.
_FUNCTIONS = {"Applied", "arrays", "export", "load", "main", "spec", "target"}


class _NoSourceError(Exception):
    """The source cannot be copied; the text says why."""


def standalone_script(regression: Regression, case: Case) -> str:
    """Return a Python script that shows a stored divergence without diffexport.

    It exits 1 and prints ``DIVERGES: …`` when the divergence shows, and exits 0 and prints ``agrees`` when it
    does not.

    Args:
        regression: what was stored.
        case: the case it is about, as [case_of][diffexport.regressions.replay.case_of] returns it.

    Raises:
        UnknownNameError: the divergence needs a runtime, and there is none of the stored name.
    """
    imports, definitions, made = _model(regression, case)
    main = _main(regression, case, made)
    parts = [*definitions, _export(regression.mode, regression.stage, regression.export_inputs)]
    parts += [_ARRAYS] if "arrays(" in main else []
    parts += [_load(regression.runtime)] if "load(" in main else []
    code = "\n\n\n".join((*parts, main, _END % regression.kind.meaning))
    own = {line for name, line in _IMPORTS.items() if re.search(rf"(?<![\w.]){re.escape(name)}\.", code)}
    return f"{_header(regression, imports)}\n{_sorted(own.union(imports))}\n\n\n{code}\n"


def _header(regression: Regression, imports: Iterable[str]) -> str:
    message = regression.message.splitlines()
    versions = ", ".join(f"{name} {v}" for name, v in regression.versions.items() if name != "hypothesis")
    ran = f", run on {regression.runtime}" if regression.identity.runtime else ""
    libraries = {_root(line) for line in imports} - {"numpy", "onnx", "onnxruntime", "torch"}
    libraries -= sys.stdlib_module_names
    fatal = regression.kind in (Kind.CRASH, Kind.TIMEOUT)
    paragraphs = [
        f"{regression.case}: {regression.kind} ({regression.kind.meaning})",
        *(message if len(message) <= 12 else [*message[:12], "..."]),
        "",
        f"Exported as {regression.mode}{ran}",
        *([f"Seen with {versions}"] if versions else []),
        *([f"Needs {', '.join(sorted(libraries))} as well"] if libraries else []),
        'Exits 1 and prints "DIVERGES: ..." when the divergence shows, exits 0 and prints "agrees" when it '
        + ("does not; if it dies or hangs, that is it." if fatal else "does not; a traceback says neither."),
    ]
    clean = [re.sub(r"\x1b\[\d*m|[\x00-\x1f\x7f-\x9f]", "", text) for text in paragraphs]
    lines = [line for text in clean for line in textwrap.wrap(text, 98, break_on_hyphens=False) or [""]]
    return "\n".join(f"# {line}".rstrip() for line in lines) + "\n"


def _root(line: str) -> str:
    return line.split()[1].partition(".")[0]


def _sorted(imports: Iterable[str]) -> str:
    groups: list[list[str]] = [[], [], []]
    for line in sorted(imports, key=lambda line: (line.startswith("from"), line)):
        root = _root(line)
        groups[0 if root == "__future__" else 1 if root in sys.stdlib_module_names else 2].append(line)
    return "\n\n".join("\n".join(group) for group in groups if group)


# The model: copied or imported.


def _model(regression: Regression, case: Case) -> tuple[list[str], list[str], str]:
    """Return imports, definitions, and the expression that makes the model."""
    value = _unwrapped(case.build)
    places = list(_places(value, regression.target))
    reason = "it is made by a lambda or a closure"
    for place, name in places:
        try:
            imports, definitions = _copied(*_read(place), name)
            break
        except (_NoSourceError, OSError, TypeError, ImportError, SyntaxError) as error:
            reason = str(error)
    else:
        imports, definitions, name = [], *_imported(places, reason)
    if isinstance(value, torch.nn.Module):
        made = name
    elif isinstance(value, type) and issubclass(value, torch.autograd.Function):
        given = ", ".join(_input_names(regression.export_inputs))
        forward = _indented(f"def forward(self, {given}):", f"return {name}.apply({given})")
        definitions.append(_indented("class Applied(torch.nn.Module):", forward))
        made = "Applied()"
    else:
        plain = name.removeprefix("target.") == getattr(value, "__qualname__", "")
        made = f"{name}()" if plain else f'getattr({name}, "build", {name})()'
    if _has_weights(case):
        definitions.insert(0, "torch.manual_seed(0)  # weights may be random: those seen are not stored")
    return imports, definitions, made


def _unwrapped(build: Any) -> Any:
    """Return the module instance or Function that [resolve][diffexport.target.resolve] put into a closure."""
    if inspect.isfunction(build) and build.__module__ == target.__name__:
        inside = list(inspect.getclosurevars(build).nonlocals.values())
        return inside[0] if len(inside) == 1 else build
    return build


def _has_weights(case: Case) -> bool:
    try:
        return any(True for _ in case.build().parameters())
    except Exception:  # noqa: BLE001 - a script for a model that cannot be built is still of use
        return False


def _places(value: Any, text: str) -> Iterator[tuple[Place, str]]:
    """Yield where the model may be defined and under what name: its own module, then the stored target."""
    name = getattr(value, "__qualname__", "")
    module = sys.modules.get(getattr(value, "__module__", ""))
    if module is not None and getattr(module, name, None) is value:
        yield module, name
    place, _, name = text.rpartition(":")
    if place and all(part.isidentifier() for part in name.split(".")):
        yield Path(place) if place.endswith(".py") else place, name


def _read(place: Place) -> tuple[str, str]:
    """Return source and package of a module."""
    if isinstance(place, Path):
        return place.read_text(encoding="utf-8"), ""
    module = importlib.import_module(place) if isinstance(place, str) else place
    if module.__name__.partition(".")[0] == "torch":
        raise _NoSourceError("it is part of torch")
    return inspect.getsource(module), module.__package__ or ""


def _imported(places: list[tuple[Place, str]], reason: str) -> tuple[list[str], str]:
    """Return the lines that import the target, and the expression for it."""
    comment = textwrap.indent(textwrap.fill(f"The model's source could not be copied: {reason}.", 98), "# ")
    place, name = places[-1] if places else ("diffexport", "")
    module = place.__name__ if isinstance(place, ModuleType) else str(place)
    if isinstance(place, Path):
        lines = [
            f'spec = importlib.util.spec_from_file_location("target", {module!r})',
            "target = importlib.util.module_from_spec(spec)",
            'sys.modules["target"] = target',
            "spec.loader.exec_module(target)",
        ]
    elif module.partition(".")[0] == "diffexport":
        stub = _indented("def target():", 'raise NotImplementedError("put the model here")')
        return [f"{comment}\n{stub}"], "target"
    else:
        lines = ['sys.path.insert(0, "")', f"target = importlib.import_module({module!r})"]
    return ["\n".join((comment, *lines))], f"target.{name}"


# Copying definitions.

_IMPORT = (ast.Import, ast.ImportFrom)
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)
_NOISE = re.compile(r"[ \t]*#\s*(?:noqa|type:\s*ignore|pragma:|pylint:).*")


def _copied(source: str, package: str, name: str) -> tuple[list[str], list[str]]:
    """Return the imports and the definitions that ``name`` needs, in source order.

    Raises:
        _NoSourceError: it is not defined at the top level, or what it needs cannot stand alone.
        SyntaxError: the source does not parse.
    """
    body = _without_registration(ast.parse(source).body)
    needed, names = _closure(body, name)
    definitions = [node for node in needed if not isinstance(node, _IMPORT)]
    parts = [part for node in definitions for part in ast.walk(node)]
    inner = [ast.unparse(part) for part in parts if isinstance(part, _IMPORT)]
    imports: dict[str, str] = {}
    for node in needed:
        imports |= _imports(node, names, package)
    unfit = [line for line in (*imports.values(), *inner) if line.split()[1].startswith(("diffexport", "."))]
    if unfit:
        raise _NoSourceError(f"it needs {unfit[0]!r}")
    other = {bound for bound, line in imports.items() if line not in (_IMPORTS.get(bound), f"import {bound}")}
    taken = set().union(other, *map(_bound, definitions)) & (_FUNCTIONS | _IMPORTS.keys())
    if taken:
        raise _NoSourceError(f"its module and this script both define {', '.join(sorted(taken))}")
    if "from __future__ import annotations" in source and _defers(parts, imports):
        imports["annotations"] = "from __future__ import annotations"
    return list(imports.values()), _texts(source.split("\n"), definitions)


def _without_registration(body: list[ast.stmt]) -> list[ast.stmt]:
    """Leave out ``if __name__ == …`` and decorators that come from diffexport."""
    kept = [node for node in body if not (isinstance(node, ast.If) and "__name__" in _used(node.test))]
    ours = [node for node in kept if isinstance(node, _IMPORT) and _root(ast.unparse(node)) == "diffexport"]
    registering = set().union(*map(_bound, ours))
    for node in kept:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            node.decorator_list = [d for d in node.decorator_list if not _used(d) & registering]
    return kept


def _closure(body: list[ast.stmt], name: str) -> tuple[list[ast.stmt], set[str]]:
    """Return the top-level statements that define or change what ``name`` needs, and every name needed."""
    bound = {node: _bound(node) for node in body}
    if not any(name in names for names in bound.values()):
        raise _NoSourceError(f"{name} is not defined at the top level of its module")
    needed: set[ast.stmt] = set()
    names: set[str] = set()
    pending = {name}
    while pending:
        wanted = pending.pop()
        names.add(wanted)
        found = {node for node in body if wanted in bound[node]}
        if not found and not hasattr(builtins, wanted):
            found = {node for node in body if "*" in bound[node]}
        elif not all(isinstance(node, _IMPORT) for node in found):
            # name.attribute = ..., name[...] = ..., name.register(...), @name.register
            found |= {node for node in body if re.match(rf"@?{wanted}[.\[]", ast.unparse(node))}
        needed |= found
        pending |= set().union(*(_used(node) for node in found if not isinstance(node, _IMPORT)))
        pending -= names
    return [node for node in body if node in needed], names


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, _IMPORT):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    symbols = symtable.symtable(ast.unparse(node), "source", "exec").get_symbols()
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def _used(node: ast.AST) -> set[str]:
    """Return the names of the module that are referred to, at any depth."""
    top = symtable.symtable(ast.unparse(node), "source", "exec")
    tables, names = [top], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        symbols = [symbol for symbol in table.get_symbols() if symbol.is_referenced()]
        names |= {symbol.get_name() for symbol in symbols if table is top or symbol.is_global()}
    return names


def _imports(node: ast.stmt, names: set[str], package: str) -> dict[str, str]:
    """Return one line for each needed name that ``node`` imports."""
    if not isinstance(node, _IMPORT) or getattr(node, "module", "") == "__future__":
        return {}
    start = ""
    if isinstance(node, ast.ImportFrom):
        start = f"from {importlib.util.resolve_name('.' * node.level + (node.module or ''), package)} "
    lines = {
        alias.asname or alias.name.partition(".")[0]: f"{start}import {ast.unparse(alias)}"
        for alias in node.names
    }
    return {bound: line for bound, line in lines.items() if bound in names or bound == "*"}


def _defers(parts: Iterable[ast.AST], imports: Mapping[str, str]) -> bool:
    """Return whether evaluating the annotations may fail: they hold more than imports and builtins."""
    annotations = [getattr(part, field, None) for part in parts for field in ("annotation", "returns")]
    inside = [node for annotation in annotations if annotation is not None for node in ast.walk(annotation)]
    names = {node.id for node in inside if isinstance(node, ast.Name)}
    quoted = any(isinstance(node, ast.Constant) and isinstance(node.value, str) for node in inside)
    return quoted or not names <= imports.keys() | vars(builtins).keys()


def _texts(lines: list[str], definitions: Iterable[ast.stmt]) -> list[str]:
    """Return the source of each definition; simple statements that follow each other stay together."""
    texts: list[str] = []
    together = False
    for node in definitions:
        decorators = [f"@{ast.unparse(decorator)}" for decorator in getattr(node, "decorator_list", ())]
        text = _NOISE.sub("", "\n".join((*decorators, *lines[node.lineno - 1 : node.end_lineno])))
        simple = isinstance(node, _SIMPLE)
        texts[-1:] = [f"{texts[-1]}\n{text}"] if simple and together else [*texts[-1:], text]
        together = simple
    return texts


# The export and the runtime.

_ENUMS = {"operator_export_type": "torch.onnx.OperatorExportTypes.", "training": "torch.onnx.TrainingMode."}
_SCOPE = """\
# Scoped tracing, as in PyTorch's test_inline_with_scoped_tracing.
torch.jit._trace._trace_module_map = {part: torch.typename(type(part)) for part in model.modules()}"""


def _export(mode: Mode, stage: Stage, args: tuple[Any, ...]) -> str:
    """Return the function that exports with exactly the options of ``mode``."""
    options = [f"input_names={_names(args)}", f"opset_version={mode.opset}"]
    for name, value in mode.options().items():
        if name not in ("opset", "dynamic", "scoped") and value != OPTIONS_BY_NAME[name].default:
            options.append(f"{name}={_ENUMS.get(name, '')}{value}")
    if not mode.is_torchscript:
        return _export_dynamo(mode, mode.exporter == "dynamo-strict", stage is Stage.CAPTURE, args, options)
    if mode.dynamic:
        pairs = zip(_input_names(args), _arrays(args), strict=True)
        axes = {name: {axis: f"{name}_d{axis}" for axis in range(array.ndim)} for name, array in pairs}
        options.append(f"dynamic_axes={axes}".replace("'", '"'))
    return _indented(
        "def export(model, args):",
        "buffer = io.BytesIO()",
        *([_SCOPE] if mode.scoped else []),
        _call("torch.onnx.export", "model", "args", "buffer", "dynamo=False", *options),
        *(["torch.jit._trace._trace_module_map = None"] if mode.scoped else []),
        "return buffer.getvalue()",
    )


def _export_dynamo(mode: Mode, strict: bool, capture: bool, args: tuple[Any, ...], options: list[str]) -> str:
    """Return the same for the exporters built on ``torch.export``.

    By itself ``torch.onnx.export`` captures non-strictly and, if that fails, strictly. A mode means one of
    the two, so where it matters the capture is a step of its own.
    """
    shapes = [f"dynamic_shapes={_dynamic(args)}"] if mode.dynamic else []
    lines, model = [], "model"
    if strict or capture:
        deferred = ["prefer_deferred_runtime_asserts_over_guards=True"] if shapes else []
        call = _call("torch.export.export", "model", "args", f"strict={strict}", *shapes, *deferred)
        lines, model = [f"captured = {call}"], "captured"
        if shapes and any(size < 2 for array in _arrays(args) for size in array.shape):
            comment = "# As torch.onnx.export does it: a dynamic axis may have the size 0 or 1."
            patch = "with torch.fx.experimental._config.patch(backed_size_oblivious=True):"
            lines = [comment, _indented(patch, *lines)]
        shapes = []
    options = ["dynamo=True", "verbose=False", *options, *shapes, "external_data=False"]
    saved = _indented(
        "with tempfile.TemporaryDirectory() as folder:",
        'path = os.path.join(folder, "model.onnx")',
        _call("torch.onnx.export", model, "args", "path", *options),
        _indented('with open(path, "rb") as file:', "return file.read()"),
    )
    return _indented("def export(model, args):", *lines, saved)


def _indented(head: str, *lines: str) -> str:
    return f"{head}\n" + textwrap.indent("\n".join(lines), "    ")


def _call(function: str, *arguments: str) -> str:
    return _indented(f"{function}(", *(f"{argument}," for argument in arguments)) + "\n)"


def _dynamic(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"dict.fromkeys(range({value.ndim}), torch.export.Dim.DYNAMIC)"
    if isinstance(value, tuple | list):
        return _sequence(value, [_dynamic(item) for item in value])
    return "None"


def _load(runtime: str) -> str:
    if runtime not in RUNTIMES:
        raise UnknownNameError("runtime", runtime, RUNTIMES)
    if runtime == "reference":
        line = "return onnx.reference.ReferenceEvaluator(onnx.load_model_from_string(exported))"
        return _indented("def load(exported):", line)
    level = runtime.removeprefix("ort-").upper()
    level = "DISABLE_ALL" if level == "DISABLED" else f"ENABLE_{level}"
    return _indented(
        "def load(exported):",
        "options = onnxruntime.SessionOptions()",
        f"options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_{level}",
        "options.intra_op_num_threads = 1",
        "options.log_severity_level = 3",
        'return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])',
    )


# Values.


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _arrays(item)


def _input_names(args: tuple[Any, ...]) -> list[str]:
    return [f"x{number}" for number, _ in enumerate(_arrays(args))]


def _names(args: tuple[Any, ...]) -> str:
    return str(_input_names(args)).replace("'", '"')


def _sequence(value: Any, items: list[str]) -> str:
    start, end = "()" if isinstance(value, tuple) else "[]"
    line = ", ".join(items) + ("," if len(items) == 1 and start == "(" else "")
    if len(line) <= 90 and "\n" not in line:
        return f"{start}{line}{end}"
    return _indented(start, *(f"{item}," for item in items)) + f"\n{end}"


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return _tensor(value)
    if isinstance(value, tuple | list):
        return _sequence(value, [_literal(item) for item in value])
    return _number(value) if isinstance(value, float) else repr(value)


def _number(value: Any) -> str:
    """Return an exact literal: decimal where that is short, else hexadecimal."""
    encoded = tensors.encode_number(value)
    if not isinstance(encoded, str):
        return repr(encoded)
    number = float(value)
    if not math.isfinite(number):
        return f'float("{number}")'
    return repr(number) if len(repr(number)) <= 8 else f'float.fromhex("{encoded}")'


def _usual(array: Any) -> bool:
    """Return whether every value has a literal: a NaN that carries a payload has none."""
    return not any(str(tensors.encode_number(nan)).startswith("nan:") for nan in array[array != array])


def _tensor(array: Any) -> str:
    """Return an expression for a tensor of the same dtype, shape, strides and bits."""
    shape, dtype = array.shape, f"dtype=torch.{array.dtype.name}"
    if not array.size:
        return f"torch.empty({shape}, {dtype})"
    storage, view = array.reshape(-1), "" if array.ndim == 1 else f".reshape({shape})"
    if not array.flags.c_contiguous:
        steps = tuple(stride // array.itemsize for stride in array.strides)
        extent = 1 + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
        storage, view = np.zeros(extent, array.dtype), f".as_strided({shape}, {steps})"
        np.lib.stride_tricks.as_strided(storage, shape, array.strides)[...] = array
    if not array.ndim and _usual(array):
        return f"torch.tensor({_number(array[()])}, {dtype})"
    if _usual(storage) and storage.size > 8 and storage.tobytes() == storage[:1].tobytes() * storage.size:
        return f"torch.full(({storage.size},), {_number(storage[0])}, {dtype}){view}"
    if storage.size >= tensors.INLINE_LIMIT or not _usual(storage):
        data = base64.b64encode(zlib.compress(storage.tobytes(), 9)).decode()
        lines = [f'"{data[start : start + 88]}"' for start in range(0, len(data), 88)]
        packed = _indented("bytearray(zlib.decompress(base64.b64decode(", *lines) + "\n)))"
        return f"torch.frombuffer({packed}, {dtype}){view}"
    numbers = ", ".join(map(_number, storage))
    if len(numbers) > 45:
        wrapped = textwrap.fill(numbers, 92, break_long_words=False, break_on_hyphens=False)
        numbers = _indented("", wrapped) + "\n"
    return f"torch.tensor([{numbers}], {dtype}){view}"


# What is run, and how it is judged.


def _main(regression: Regression, case: Case, made: str) -> str:
    """Return the function that says whether the divergence shows."""
    where = re.fullmatch(r"output(\[\d+\])(\.real|\.imag)?", regression.where)
    training = regression.mode.training if regression.mode.is_torchscript else ""
    template = _judgement(regression)
    example = _literal(regression.export_inputs)
    inputs = _literal(regression.inputs) if "feeds" in template else example
    reference = regression.runtime == "reference"
    judged = Template(template).substitute(
        mode={"EVAL": ".eval()", "TRAINING": ".train()"}.get(training, ""),
        example="inputs" if example == inputs else "example",
        names=_names(regression.inputs),
        used="session.input_names" if reference else "[value.name for value in session.get_inputs()]",
        output=where[1] if where else "[0]",
        part=where[2] or "" if where else "",
        opset=regression.mode.opset,
        wanted=_wanted(regression, case),
        watched=_watched(regression.signature),
    )
    return _indented(
        "def main():",
        'warnings.simplefilter("ignore")',
        f"model = {made}",
        f"inputs = {inputs}",
        *(["# What it is exported with:", f"example = {example}"] if example != inputs else []),
        judged,
    )


def _wanted(regression: Regression, case: Case) -> list[str]:
    """Return the node kinds that are missing, as often as the contract asks for them."""
    missing = regression.signature.removeprefix("missing ").split(", ")
    contract = case.expect(regression.mode, case.traits or frozenset()).nodes
    return [kind for kind in contract if kind in missing] or missing


def _watched(signature: str) -> str:
    """Return the expression for what an export has changed."""
    for start, expression in _WATCHED.items():
        if signature.startswith(start):
            return expression.replace("NAME", repr(signature.removeprefix(start)))
    return signature if re.fullmatch(r"GLOBALS\.\w+", signature) else "None"


#: How to look at it, by the beginning of the signature; NAME stands for the rest of that.
_WATCHED = {
    "forward hooks": "[len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]",
    "training flag": "[part.training for part in model.modules()]",
    "attribute ": "[NAME in vars(part) for part in model.modules()]",
    "parameter or buffer ": "[str(value.tolist()) for name, value in "
    "(*model.named_parameters(), *model.named_buffers()) if name == NAME]",
    "input x": "str(arrays(inputs)[int(NAME)].tolist())",
    "torch's random state": "hash(torch.get_rng_state().numpy().tobytes())",
    "Python's random state": "hash(random.getstate())",
    "grad mode": "torch.is_grad_enabled()",
    "default dtype": "torch.get_default_dtype()",
    "number of threads": "torch.get_num_threads()",
    "torch.onnx.is_in_onnx_export()": "torch.onnx.is_in_onnx_export()",
    "torch.jit._trace._trace_module_map": "torch.jit._trace._trace_module_map",
}


def _judgement(regression: Regression) -> str:
    """Return the template of what follows the inputs in ``main``."""
    kind, stage = regression.kind, regression.stage
    if kind is Kind.UNEXPECTED_SUCCESS and stage is Stage.LOAD:
        return _try("exported = export(model, $example)", "load(exported)", "return False", "return True")
    if kind in (Kind.CRASH, Kind.TIMEOUT) and stage in (Stage.CAPTURE, Stage.CONVERT, Stage.CHECK):
        return "export(model, $example)\nreturn False"
    if kind is Kind.STRUCTURE and stage is Stage.RUN:
        return (
            _RUN
            + 'print("inputs:", $names, "of the exported model:", used)\nreturn not set(used) <= set($names)'
        )
    return _JUDGEMENTS[kind]


def _try(before: str, step: str, raised: str = "return True", passed: str = "return False") -> str:
    failed = _indented("except Exception as error:", 'print(f"{type(error).__name__}: {error}")', raised)
    return "\n".join((before, _indented("try:", step), failed, passed)).lstrip()


_ARRAYS = '''\
def arrays(value):
    """Return the tensors in nested tuples, lists and dicts as one list of arrays."""
    if isinstance(value, torch.Tensor):
        return [value.detach().numpy()]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [array for item in items for array in arrays(item)]'''
_END = """\
if __name__ == "__main__":
    if main():
        print("DIVERGES: %s")
        sys.exit(1)
    print("agrees")"""
_READ = "proto = onnx.load_model_from_string(export(model, $example))"
_RUN = """\
eager = arrays(copy.deepcopy(model)$mode(*copy.deepcopy(inputs)))
exported = export(model, $example)
session = load(exported)
used = $used  # an input that the model ignores may be gone
feeds = {name: array for name, array in zip($names, arrays(inputs)) if name in used}
"""
_GOT = _RUN + "got = [np.asarray(value) for value in session.run(None, feeds)]\n"
_BOTH = _GOT + 'print("eager:   ", eager)\nprint("exported:", got)\n'
_PAIR = _GOT + "one, other = eager$output$part, got$output$part\n"
_SIDES = _PAIR + 'print("eager:   ", one)\nprint("exported:", other)\n'
_WATCH = """\

def watched():
    return $watched

before = watched()
with contextlib.suppress(Exception):  # whether the export succeeds is another matter
    export(model, $example)
print("before:", before)
print("after: ", watched())
return watched() != before"""
_KINDS = """

def kinds(nodes):
    for node in nodes:
        yield f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from kinds(graph.node)

present = [kind for part in (proto.graph, *proto.functions) for kind in kinds(part.node)]
wanted = $wanted
print("wanted:", wanted, "present:", present)
return any(present.count(kind) < wanted.count(kind) for kind in wanted)"""
_DECLARED = """\

def dims(value):
    sizes = value.type.tensor_type.shape.dim
    return [size.dim_value if size.HasField("dim_value") else size.dim_param for size in sizes]

graph = onnx.load_model_from_string(exported).graph
sizes = {}  # of symbolic dimensions
for value in graph.input:
    if value.name in feeds:
        sizes.update(zip(dims(value), feeds[value.name].shape))
declared, shape = dims(graph.output$output), list(got$output.shape)
dtype = onnx.helper.tensor_dtype_to_np_dtype(graph.output$output.type.tensor_type.elem_type)
print("declared:", dtype, declared)
print("computed:", got$output.dtype, shape)
expected = [dim if isinstance(dim, int) else sizes.get(dim or None, n) for dim, n in zip(declared, shape)]
return dtype != got$output.dtype or len(declared) != len(shape) or expected != shape"""
_JUDGEMENTS = {
    Kind.EXPORT_ERROR: _try("", "export(model, $example)"),
    Kind.UNEXPECTED_SUCCESS: _try("", "export(model, $example)", "return False", "return True"),
    Kind.LOAD_ERROR: _try("exported = export(model, $example)", "load(exported)"),
    Kind.RUN_ERROR: _try(_RUN + 'print("eager:", eager)', "session.run(None, feeds)"),
    Kind.CRASH: _BOTH + "return False",
    Kind.TIMEOUT: _BOTH + "return False",
    Kind.NONDETERMINISTIC_EXPORT: _try(
        "first = export(model, $example)",
        "second = export(model, $example)",
        passed='print("same bytes:", first == second)\nreturn first != second',
    ),
    Kind.IMPURE_EXPORT: _WATCH,
    Kind.STALE_GLOBALS: _WATCH,
    Kind.CHECKER_ERROR: _try(
        _READ,
        "onnx.checker.check_model(proto, full_check=True)\n"
        "onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)",
    ),
    Kind.OPSET: _READ
    + '\ngot = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]'
    + '\nprint("opset asked for: $opset, of the model:", *got)\nreturn got[:1] != [$opset]',
    Kind.GRAPH_CONTRACT: _READ + _KINDS,
    Kind.STRUCTURE: _BOTH + "if len(eager) != len(got):\n    return True\n"
    "return not all(a.shape == b.shape and np.allclose(a, b, equal_nan=True) for a, b in zip(eager, got))",
    Kind.DTYPE: _PAIR + "print(one.dtype, other.dtype)\nreturn one.dtype != other.dtype",
    Kind.SHAPE: _PAIR + "print(one.shape, other.shape)\nreturn one.shape != other.shape",
    Kind.NAN_PLACEMENT: _SIDES + "return not np.array_equal(np.isnan(one), np.isnan(other))",
    Kind.INFINITY: _SIDES + "infinities = [np.where(np.isinf(side), side, 0) for side in (one, other)]\n"
    "return not np.array_equal(*infinities)",
    Kind.SIGN_OF_ZERO: _SIDES + "zeros = (one == 0) & (other == 0)\n"
    "return bool((zeros & (np.signbit(one) != np.signbit(other))).any())",
    Kind.VALUE: _try(
        _SIDES.rstrip(),
        "torch.testing.assert_close(torch.tensor(other), torch.tensor(one), equal_nan=True)",
    ),
    Kind.DECLARED_TYPE: _GOT + _DECLARED,
}
