"""What standalone scripts say with private names of torch, as text; checked on torch 2.13.0.

- ``torch.jit._trace._trace_module_map``: see [diffexport.pytorch.torchscript][].
- ``torch.fx.experimental._config.patch(backed_size_oblivious=True)``: what ``torch.onnx.export`` captures under.
- ``torch.onnx._internal.torchscript_exporter``: ``_globals.GLOBALS`` and the ``registry`` of symbolics, see
  [diffexport.pytorch.purity][] and [diffexport.pytorch.symbolics][].
- ``Module._forward_hooks`` and ``Module._forward_pre_hooks``.
"""

from __future__ import annotations

from diffexport.pytorch.changes import Watched

#: Before and after an export with scoped tracing, of a module called ``model``.
SCOPE_SET = """\
# Scoped tracing, as in PyTorch's test_inline_with_scoped_tracing.
torch.jit._trace._trace_module_map = {part: torch.typename(type(part)) for part in model.modules()}"""
SCOPE_RESET = "torch.jit._trace._trace_module_map = None"
#: The head of a block in which ``torch.export`` takes a dynamic axis of size 0 or 1 for dynamic.
SIZE_OBLIVIOUS = "with torch.fx.experimental._config.patch(backed_size_oblivious=True):"
#: A module that this needs, besides torch itself.
SIZE_OBLIVIOUS_MODULE = "torch.fx.experimental._config"
#: Lines that import what the exporter keeps for itself, by the name that scripts use.
PRIVATE_IMPORTS = {
    "GLOBALS": "from torch.onnx._internal.torchscript_exporter._globals import GLOBALS",
    "SYMBOLICS": "from torch.onnx._internal.torchscript_exporter.registration import registry as SYMBOLICS",
}
#: Expressions for what an export may have changed, of a module called ``model``, by how a difference is called; NAME
#: stands for what follows that.
WATCHED_PRIVATE = {
    Watched.HOOKS: "[len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]",
    Watched.TRACE_MAP: "torch.jit._trace._trace_module_map",
    Watched.SYMBOLIC: "[(name, *group._functions._overrides) for name, group in SYMBOLICS._registry.items() "
    "if group._functions._overrides and name == NAME]",
}
