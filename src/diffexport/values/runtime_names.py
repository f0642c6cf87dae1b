"""Names of runtimes, apart from the room that runs them, so that a name can be checked without loading it."""

from __future__ import annotations

import fnmatch
from typing import Any

from diffexport.errors import PlugInError, UnknownNameError
from diffexport.values.plug_ins import Registry, missing_parts

#: What ``all`` stands for, simplest first: ONNX Runtime on the CPU at each level, and the reference evaluator.
RUNTIMES = ("ort-disabled", "ort-basic", "ort-extended", "ort-layout", "ort-all", "reference")
#: Names of families that are no name of a runtime.
_FAMILIES = ("ort",)

_ROOM = "diffexport.backends.runtimes"
#: Where each built-in runtime is. A new one is a row here and a module there.
_TABLE = {
    "ort-disabled": f"{_ROOM}.onnxruntime_cpu:DISABLED",
    "ort-basic": f"{_ROOM}.onnxruntime_cpu:BASIC",
    "ort-extended": f"{_ROOM}.onnxruntime_cpu:EXTENDED",
    "ort-layout": f"{_ROOM}.onnxruntime_cpu:LAYOUT",
    "ort-all": f"{_ROOM}.onnxruntime_cpu:ALL",
    "reference": f"{_ROOM}.reference:REFERENCE",
    "ort-cuda": f"{_ROOM}.onnxruntime_providers:CUDA",
    "ort-openvino": f"{_ROOM}.onnxruntime_providers:OPENVINO",
    "ort-xnnpack": f"{_ROOM}.onnxruntime_providers:XNNPACK",
    "openvino": f"{_ROOM}.openvino_cpu:OPENVINO",
}


def _problem(name: str, loaded: Any) -> str:
    """Return how an object breaks the protocol of a runtime; empty if it keeps to it."""
    parts = {"name": str, "title": str, "family": str, "order": int, "is_plain": bool, "is_reference": bool}
    problem = missing_parts(
        loaded, {**parts, "cost": (int, float), "unavailable": None, "load": None, "script": object}
    )
    if not problem and loaded.name != name:
        problem = f"its name is {loaded.name!r}"
    if problem or loaded.script is None:
        return problem
    problem = missing_parts(loaded.script, {"load": str, "input_names": str, "run": str})
    return f"of its script: {problem}" if problem else ""


#: Every runtime, the built-in ones and those of installed packages, as [Runtime][diffexport.backends.runtimes.Runtime].
RUNTIME_REGISTRY: Registry[Any] = Registry("diffexport.runtimes", "runtime", _TABLE, _problem)


def built_in_runtime_choices() -> tuple[str, ...]:
    """Return what may be asked for where no package adds a runtime: ``all``, families, names."""
    return ("all", *_FAMILIES, *_TABLE)


def runtime_choices() -> tuple[str, ...]:
    """Return what may be asked for, families of other packages' runtimes excepted; nothing is imported."""
    return ("all", *_FAMILIES, *RUNTIME_REGISTRY.names())


def check_runtime_choice(name: str) -> None:
    """Check a name or family; other packages' runtimes are imported only if it is neither name nor built-in family.

    Raises:
        UnknownNameError: there is no such runtime and no such family.
    """
    choices = runtime_choices()
    if name not in choices and not members_of_added_family(name):
        raise UnknownNameError("runtime", name, choices)


def check_runtime_pattern(pattern: str) -> None:
    """Check a glob of names; nothing is imported.

    Raises:
        UnknownNameError: it matches no runtime.
    """
    if not fnmatch.filter(_TABLE, pattern) and not fnmatch.filter(RUNTIME_REGISTRY.names(), pattern):
        raise UnknownNameError("runtime", pattern, RUNTIME_REGISTRY.names())


def members_of_added_family(family: str) -> tuple[str, ...]:
    """Return the runtimes of other packages that are of a family; all of them are imported."""
    return tuple(
        name
        for name, runtime in RUNTIME_REGISTRY.every_added()
        if not isinstance(runtime, PlugInError) and runtime.family == family
    )
