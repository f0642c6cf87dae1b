"""What a script runs once it has the model and its inputs, and how it checks that: one template for each kind.

A template is the end of the script's ``main`` and returns whether the divergence shows; its ``$`` placeholders are
filled in by [diffexport.findings.scripts.script][].
"""

from __future__ import annotations

from diffexport.backends.exporters import indented
from diffexport.findings.regressions import Regression
from diffexport.pytorch import WATCHED_PRIVATE, Change, Watched
from diffexport.subjects.cases import Case
from diffexport.values import Kind, MissingNodes, Stage


def wanted(regression: Regression, case: Case) -> list[str]:
    """Return the node kinds that are missing, as often as the contract asks for them."""
    missing = MissingNodes.parse(regression.signature) or MissingNodes((regression.signature,))
    contract = case.expect(regression.mode, case.traits or frozenset()).nodes
    return [kind for kind in contract if kind in missing.kinds] or list(missing.kinds)


def watched(signature: str) -> str:
    """Return the expression for what an export has changed."""
    change = Change.parse(signature)
    if change is None:
        return "None"
    if change.watched is Watched.EXPORTER_SETTING:
        # The name may come from a file.
        return change.text if change.name.isidentifier() else "None"
    return _WATCHED[change.watched].replace("NAME", repr(change.name))


#: How to look at it; NAME stands for which one it is, where there are several.
_WATCHED = {
    Watched.TRAINING_FLAG: "[part.training for part in model.modules()]",
    Watched.ATTRIBUTE: "[NAME in vars(part) for part in model.modules()]",
    Watched.STATE: "[str(value.tolist()) for name, value in "
    "(*model.named_parameters(), *model.named_buffers()) if name == NAME]",
    Watched.INPUT: "str(arrays($given, torch.Tensor)[int(NAME)].tolist())",
    Watched.TORCH_RANDOM: "hash(torch.get_rng_state().numpy().tobytes())",
    Watched.PYTHON_RANDOM: "hash(random.getstate())",
    Watched.GRAD_MODE: "torch.is_grad_enabled()",
    Watched.DEFAULT_DTYPE: "torch.get_default_dtype()",
    Watched.THREADS: "torch.get_num_threads()",
    Watched.IN_EXPORT: "torch.onnx.is_in_onnx_export()",
    **WATCHED_PRIVATE,
}


def template_for(regression: Regression) -> str:
    """Return the template of what follows the inputs in ``main``."""
    kind, stage = regression.kind, regression.stage
    if kind is Kind.UNEXPECTED_SUCCESS and stage is Stage.LOAD:
        return _try("exported = export(model, $example)", "load(exported)", "return False", "return True")
    if kind in (Kind.CRASH, Kind.TIMEOUT) and stage.is_before_runtime:
        return "export(model, $example)\nreturn False"
    if kind is Kind.STRUCTURE and stage is Stage.RUN:
        return (
            _RUN
            + 'print("inputs:", $known, "of the exported model:", used)\nreturn not set(used) <= set($known)'
        )
    return _TEMPLATES[kind]


def _try(before: str, step: str, raised: str = "return True", passed: str = "return False") -> str:
    failed = indented("except Exception as error:", 'print(f"{type(error).__name__}: {error}")', raised)
    return "\n".join((before, indented("try:", step), failed, passed)).lstrip()


#: A function that templates with ``arrays(`` call. BFLOAT16 and COMPLEX go to its ``$special`` where they are met.
ARRAYS = '''\
def arrays(value, kinds=(torch.Tensor, bool, int, float)):
    """Return the tensors and numbers in nested containers as one list of arrays."""
    if isinstance(value, torch.Tensor):
$special        return [value.detach().numpy()]
    if isinstance(value, kinds):
        return [np.asarray(value)]
    value = vars(value) if hasattr(value, "__dataclass_fields__") else value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [array for item in items for array in arrays(item, kinds)]'''
BFLOAT16 = """\
        if value.dtype is torch.bfloat16:
            return [value.detach().view(torch.int16).numpy().view(ml_dtypes.bfloat16)]
"""
COMPLEX = """\
        if value.is_complex():  # it is exported as real, with its parts in one more dimension
            value = torch.view_as_real(value.resolve_conj())
"""
#: A function that compares values of bfloat16.
TENSOR_BFLOAT16 = """\
def as_bfloat16(array):
    return torch.tensor(array.view(np.int16)).view(torch.bfloat16)"""
#: The end of every script; what is said of the divergence goes into it.
END = """\
if __name__ == "__main__":
    if main():
        print("DIVERGES: %s")
        sys.exit(1)
    print("agrees")"""
_READ = "proto = onnx.load_model_from_string(export(model, $example))"
_RUN = """\
$eager
exported = export(model, $example)
session = load(exported)
used = $used  # an input that the model ignores may be gone
named = zip($names, arrays($given, torch.Tensor))
feeds = {name: array for name, array in named if name in used}
${constants}"""
#: Feeds the Python numbers that the TorchScript exporter has made inputs.
CONSTANTS = """\
constants = $constants  # Python numbers: those that are computed with become inputs
for value in onnx.load_model_from_string(exported).graph.input:
    if value.name in constants:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = np.asarray(constants[value.name], dtype)
"""
_GOT = _RUN + "got = [np.asarray(value) for value in $run]\n"
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
#: Of an assertion, by the function that tests it.
ASSERTION = (
    _READ
    + """
problem = $test(proto)
print(problem or "it holds")
return bool(problem)"""
)
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
#: Floats within which the oracle asks no further; that rounding does not explain more was seen when it was found.
_TIGHT = """\
dtype = $tensor(one).dtype
tolerance = {}
if dtype.is_floating_point or dtype.is_complex:
    limits = torch.finfo(dtype)
    units = 1 if limits.bits == 16 else 4
    tolerance = {"rtol": units * limits.eps, "atol": 128 * limits.tiny * limits.eps}"""
_TEMPLATES = {
    Kind.EXPORT_ERROR: _try("", "export(model, $example)"),
    Kind.UNEXPECTED_SUCCESS: _try("", "export(model, $example)", "return False", "return True"),
    Kind.LOAD_ERROR: _try("exported = export(model, $example)", "load(exported)"),
    Kind.RUN_ERROR: _try(_RUN + 'print("eager:", eager)', "$run"),
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
    "return not all(\n    a.shape == b.shape and a.dtype == b.dtype and np.allclose(a, b, equal_nan=True)\n"
    "    for a, b in zip(eager, got)\n)",
    Kind.DTYPE: _PAIR + "print(one.dtype, other.dtype)\nreturn one.dtype != other.dtype$parts",
    Kind.SHAPE: _PAIR + "print(one.shape, other.shape)\nreturn one.shape != other.shape",
    Kind.NAN_PLACEMENT: _SIDES + "return not np.array_equal(np.isnan(one), np.isnan(other))",
    Kind.INFINITY: _SIDES + "infinities = [np.where(np.isinf(side), side, 0) for side in (one, other)]\n"
    "return not np.array_equal(*infinities)",
    Kind.SIGN_OF_ZERO: _SIDES + "zeros = (one == 0) & (other == 0)\n"
    "return bool((zeros & (np.signbit(one) != np.signbit(other))).any())",
    Kind.OVERFLOW: _SIDES + "return not np.allclose(one, other, rtol=2.0**-6, atol=0, equal_nan=True)",
    Kind.VALUE: _try(
        _SIDES + _TIGHT,
        "torch.testing.assert_close($tensor(other), $tensor(one), equal_nan=True, **tolerance)",
    ),
    Kind.DECLARED_TYPE: _GOT + _DECLARED,
}
