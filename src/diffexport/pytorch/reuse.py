"""Keep the dynamo exporter's operator registry and decomposition table between exports.

As shipped, every ``torch.onnx.export`` rebuilds a registry of some thousand operators and, from it, a
decomposition table, which together are four fifths of the time of exporting a small model. Both depend on
the opset and the registered operators alone, as long as no ``custom_translation_table`` is given (that one
mutates the registry), and diffexport never gives one.

Private names used here, checked on torch 2.13.0; if one is gone the shipped path is taken, only slower:

- ``torch.onnx._internal.exporter._registration.ONNXRegistry.from_torchlib``
- ``torch.onnx._internal.exporter._registration.onnxscript_apis.get_torchlib_ops``
- ``torch.onnx._internal.exporter._constants.TORCHLIB_OPSET``
- ``torch.onnx._internal.exporter._decomp.create_onnx_friendly_decomposition_table``
- ``torch.export.exported_program._collect_all_valid_cia_ops`` (collected anew when operators were added)
- ``torch.export.exported_program._split_decomp_table_to_cia_and_python_decomp`` (asks each of eight hundred operators
  for its kernels)
- ``torch.ops._dir`` and ``_OpNamespace._dir``
- ``torch.export.exported_program._override_composite_implicit_decomp``, ``torch._ops.OperatorBase.py_kernels`` and
  ``_dispatch_cache``, ``torch._subclasses.fake_impls.op_implementations_dict``: each export makes eleven thousand
  registrations and takes them back. They are made once, and put in place again by the next
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Callable, Iterator
from typing import Any

#: Whether what is kept is also taken out of the garbage collector's sight. A process that exports all the time
#: wants that: a full collection walks some hundred thousand objects of registries, none of which ever dies.
_freeze = False


def freeze_kept_tables() -> None:
    """Take what is kept out of the garbage collector's sight from now on."""
    global _freeze
    _freeze = True


#: Most of a kind that is kept. There is one for each opset; every operator that is registered between two exports
#: makes the ones before it useless.
_MOST = 32

_registries: dict[Any, Any] = {}
_tables: dict[Any, tuple[Any, dict[Any, Any]]] = {}
_composite_ops: dict[Any, Any] = {}
_parsed: list[Any] = []


@dataclasses.dataclass(frozen=True)
class _Overridden:
    """Kernels of the operators before and while they are overridden; who had a rule for fake tensors; who gets one."""

    decompositions: dict[Any, Any]
    before: dict[Any, dict[Any, Any]]
    ruled: frozenset[Any]
    after: dict[Any, dict[Any, Any]]
    rules: dict[Any, Any]


_overridden: dict[Any, _Overridden] = {}
_split: dict[Any, tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]]] = {}


@contextlib.contextmanager
def reused_tables() -> Iterator[bool]:
    """Reuse registry and decomposition table for the length of the block; yields whether that is possible."""
    try:
        import torch
        from torch.export import exported_program as program
        from torch.onnx._internal.exporter import _constants, _decomp, _registration

        build_registry = _registration.ONNXRegistry.from_torchlib
        build_table = _decomp.create_onnx_friendly_decomposition_table
        exported_program: Any = program
        collect = exported_program._collect_all_valid_cia_ops
        split = exported_program._split_decomp_table_to_cia_and_python_decomp
        override = exported_program._override_composite_implicit_decomp
        implementations = torch._subclasses.fake_impls.op_implementations_dict
        default_opset = _constants.TORCHLIB_OPSET
        _operators_registered(torch)
    except (ImportError, AttributeError):
        yield False
        return

    def from_torchlib(_cls: Any, opset_version: int = default_opset) -> Any:
        if opset_version not in _registries:
            with _parsed_once(_registration):
                _registries[opset_version] = build_registry(opset_version=opset_version)
            if _freeze:
                gc.freeze()
        return _registries[opset_version]

    with contextlib.ExitStack() as stack:
        _replace(stack, _registration.ONNXRegistry, "from_torchlib", classmethod(from_torchlib))
        _replace(stack, _decomp, "create_onnx_friendly_decomposition_table", _table_once(torch, build_table))
        _replace(stack, exported_program, split.__name__, _split_once(torch, split))
        overridden = _override_once(override, implementations)
        _replace(stack, exported_program, override.__name__, overridden)
        _replace(stack, exported_program, "_collect_all_valid_cia_ops", _collect_once(torch, collect))
        yield True


class _ParsedOnce:
    """Stands for onnxscript's API, whose five hundred functions are the same for every opset, but parsed each time."""

    def __init__(self, shipped: Any) -> None:
        self._shipped = shipped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shipped, name)

    def get_torchlib_ops(self) -> list[Any]:
        if not _parsed:
            _parsed.extend(self._shipped.get_torchlib_ops())
        return list(_parsed)


@contextlib.contextmanager
def _parsed_once(registration: Any) -> Iterator[None]:
    shipped = getattr(registration, "onnxscript_apis", None)
    if not hasattr(shipped, "get_torchlib_ops"):
        yield
        return
    registration.onnxscript_apis = _ParsedOnce(shipped)
    try:
        yield
    finally:
        registration.onnxscript_apis = shipped


def _replace(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    shipped = owner.__dict__[name]
    stack.callback(setattr, owner, name, shipped)
    setattr(owner, name, value)


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    while len(kept) > _MOST:
        del kept[next(iter(kept))]


def _table_once(torch: Any, build: Callable[[Any], dict[Any, Any]]) -> Callable[[Any], dict[Any, Any]]:
    def table_for(registered: Any) -> dict[Any, Any]:
        known = frozenset(map(id, registered))
        key = known, _operators_registered(torch)
        if key not in _tables:
            table = build(registered)
            # Building fills the namespaces, hence the key taken anew. The operators are kept alive with the
            # table, so that their ids cannot be taken by others.
            key = known, _operators_registered(torch)
            _keep(_tables, key, (registered, table))
        return dict(_tables[key][1])

    return table_for


def _split_once(
    torch: Any, shipped: Callable[[dict[Any, Any]], tuple[dict[Any, Any], dict[Any, Any]]]
) -> Callable[[dict[Any, Any]], tuple[dict[Any, Any], dict[Any, Any]]]:
    def split(table: dict[Any, Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
        given = dict(table)
        key = tuple(map(id, given)), tuple(map(id, given.values())), _operators_registered(torch)
        if key not in _split:
            composite, python = shipped(table)
            key = *key[:2], _operators_registered(torch)
            _keep(_split, key, (given, dict(composite), dict(python)))
            return composite, python
        _, composite, python = _split[key]
        for op in given.keys() - python.keys():
            del table[op]
        return dict(composite), table

    return split


def _override_once(
    shipped: Callable[[Any], contextlib.AbstractContextManager[None]], implementations: dict[Any, Any]
) -> Callable[[Any], contextlib.AbstractContextManager[None]]:
    """Return what overrides composite operators as the shipped one does, from what that one once left in place."""

    @contextlib.contextmanager
    def override(decompositions: dict[Any, Any]) -> Iterator[None]:
        # Operators and decompositions live as long as what is kept does: their ids stay theirs.
        key = tuple(map(id, decompositions)), tuple(map(id, decompositions.values()))
        before = {op: dict(op.py_kernels) for op in decompositions}
        ruled = frozenset(op for op in decompositions if op in implementations)
        kept = _overridden.get(key)
        if kept is None or kept.before != before or kept.ruled != ruled:
            with shipped(decompositions):
                after = {op: dict(op.py_kernels) for op in decompositions}
                rules = {op: implementations[op] for op in decompositions if op not in ruled}
                _keep(_overridden, key, _Overridden(dict(decompositions), before, ruled, after, rules))
                yield
            return
        try:
            implementations.update(kept.rules)
            _put(kept.after)
            yield
        finally:
            _put(before)
            for op in decompositions:
                # As shipped: also those that had a rule before.
                implementations.pop(op, None)

    return override


def _put(kernels: dict[Any, dict[Any, Any]]) -> None:
    for op, own in kernels.items():
        op.py_kernels.clear()
        op.py_kernels.update(own)
        op._dispatch_cache.clear()


def _operators_registered(torch: Any) -> tuple[tuple[str, int], ...]:
    return tuple(
        (name, len(getattr(torch.ops, name)._dir)) for name in torch.ops._dir if hasattr(torch.ops, name)
    )


def _collect_once(torch: Any, collect: Callable[[], Any]) -> Callable[[], Any]:
    def ops() -> Any:
        registered = _operators_registered(torch)
        if registered not in _composite_ops:
            found = collect()
            _composite_ops.clear()
            # Collecting itself fills the namespaces, hence the key taken afterwards.
            _composite_ops[_operators_registered(torch)] = found
            return set(found)
        return set(_composite_ops[registered])

    return ops
