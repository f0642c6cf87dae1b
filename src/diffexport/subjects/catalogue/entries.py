"""The index of the built-in cases: plain values, so that it can be listed without importing a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CatalogueEntry:
    """A catalogue entry.

    Attributes:
        name: of the case.
        group: of [GROUPS][diffexport.subjects.catalogue.GROUPS].
        module: where the case is made: it has a dict ``CASES``.
        inputs: one tensor spec for each positional argument.
        origin: where the model is from.
        summary: one line about it.
    """

    name: str
    group: str
    module: str
    inputs: tuple[str, ...]
    origin: str
    summary: str


_PLACE = "diffexport.subjects.catalogue"
_FUNCTIONS = "PyTorch test/onnx/test_autograd_funs.py"
_CUSTOM_OPS = "PyTorch test/onnx/test_custom_ops.py"
_UTILITY = "PyTorch test/onnx/test_utility_funs.py"
_OPERATORS = "PyTorch test/onnx/test_operators.py"
_ISSUE = "https://github.com/pytorch/pytorch/issues/"
_ANY = ("float32[...]",)


def _seed(
    name: str, summary: str, inputs: tuple[str, ...] = _ANY, origin: str = _FUNCTIONS
) -> CatalogueEntry:
    return CatalogueEntry(name, "seeds", f"{_PLACE}.seed_models", inputs, origin, summary)


def _upstream(name: str, origin: str, summary: str, inputs: tuple[str, ...] = _ANY) -> CatalogueEntry:
    return CatalogueEntry(name, "upstream", f"{_PLACE}.upstream", inputs, origin, summary)


def _issue(name: str, number: str, summary: str, inputs: tuple[str, ...] = _ANY) -> CatalogueEntry:
    return CatalogueEntry(name, "issues", f"{_PLACE}.issues", inputs, f"{_ISSUE}{number}", summary)


def _pattern(name: str, summary: str, inputs: tuple[str, ...] = _ANY) -> CatalogueEntry:
    return CatalogueEntry(name, "patterns", f"{_PLACE}.patterns", inputs, "a pattern of libraries", summary)


_SEEDS = (
    _seed("single_output", "exp then log, between +5 and +3"),
    _seed("multi_output", "two outputs: exp, and the log of it"),
    _seed("partial_output", "only the values of topk(3) are returned", ("float32[..., >=3]",)),
    _seed("nested_autograd", "a Function that applies another; two outputs"),
    _seed("aten_unsupported", "special.erf, unknown to the TorchScript exporter"),
    _seed("inline_and_symbolic", "one Function with symbolic, one inlined"),
    _seed("inline_with_scoped_tracing", "the same model, meant for scoped tracing"),
    _seed("clamp", "clamp(min=0), masked backward", origin="PyTorch test/onnx/autograd_helper.py"),
)
_UPSTREAM = (
    _upstream("scalar_attribute", _CUSTOM_OPS, "a scalar argument becomes the attribute min of Clip"),
    _upstream("registered_symbolic", _CUSTOM_OPS, "a symbolic registered for every Function, by its name"),
    _upstream("custom_domain_pair", _UTILITY, "symbolic with two outputs in a domain of its own"),
    _upstream("fallthrough_first", _UTILITY, "FALLTHROUGH leaves the Python operator as the first node"),
    _upstream("two_modules_one_name", _UTILITY, "two Functions of one name, from two modules"),
    _upstream(
        "opaque_layer_norm",
        "PyTorch test/onnx/test_pytorch_onnx_no_runtime.py",
        "an operator of unknown shape before a reshape to sizes",
        ("float32[>=1, >=1, 4] in -1000..1000",),
    ),
    _upstream("aten_add", _OPERATORS, "symbolic that emits an ATen operator"),
    _upstream(
        "symbolic_mismatch",
        _OPERATORS,
        "symbolic with a parameter too few",
        ("float32[...A]", "float32[...A]"),
    ),
    _upstream(
        "broken_add",
        "PyTorch test/onnx/test_verify.py",
        "symbolic adds where forward subtracts",
        ("float32[...A] in -100..100", "float32[...A] in -100..100"),
    ),
    _upstream(
        "tensor_bound",
        "PyTorch test/onnx/test_pytorch_onnx_onnxruntime.py",
        "a registered symbolic with a tensor argument",
        ("float32[...]", "float32[]"),
    ),
)
_ISSUES = (
    _issue("callable_argument", "61813", "apply with a callable as its first argument"),
    _issue("fallthrough_relu", "65853", "the Python operator is to be left, not refused"),
    _issue(
        "missing_symbolic",
        "76684",
        "without inlining the error is to name the Function",
        ("float32[*, 2, >=1]",),
    ),
    _issue("inlined_with_fallback", "85027", "ATEN_FALLBACK inlines, and keeps what ONNX lacks"),
    _issue("symbolic_hides_forward", "90263", "forward could not be inlined; its symbolic is what counts"),
    _issue(
        "quantised_weight",
        "105454",
        "symbolic in a custom domain feeds the weight of a convolution",
        ("float32[*, 3, >=1, >=1]",),
    ),
    _issue(
        "traced_in_script",
        "113652, 146035",
        "a traced module with a symbolic inside a scripted one",
        ("float32[>=1]",),
    ),
    _issue("constant_output", "132134", "forward returns a constant"),
)
_PATTERNS = (
    _pattern("setup_context_style", "forward without ctx; setup_context saves"),
    _pattern("plain_arguments", "int, float, bool, None and tuple as arguments", ("float32[..., >=1]",)),
    _pattern("mask_beside_values", "two outputs, one of them not differentiable"),
    _pattern("in_place_forward", "forward changes its argument and marks it dirty"),
    _pattern("in_place_on_input", "the same, on what the model is called with"),
    _pattern("once_differentiable", "backward that cannot be differentiated again"),
    _pattern("applies_module", "forward calls a module that is handed to it", ("float32[*, 3]",)),
    _pattern("straight_through", "rounds; the gradient passes straight through"),
    _pattern("surrogate_spike", "a step with a surrogate gradient"),
    _pattern("counted_constant", "adds a count of the input's elements, which a tracer bakes in"),
    _pattern("unchanged_input", "returns its input as it is; reverses the gradient"),
)

ENTRIES: Mapping[str, CatalogueEntry] = {
    entry.name: entry for entry in (*_SEEDS, *_UPSTREAM, *_ISSUES, *_PATTERNS)
}
