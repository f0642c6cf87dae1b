"""Versions of what a verdict depends on, looked up without importing any of it."""

from __future__ import annotations

import functools
import platform
from importlib import metadata

PACKAGES = ("diffexport", "torch", "onnx", "onnxruntime", "onnxscript", "numpy", "hypothesis", "openvino")


@functools.cache
def _installed() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def installed() -> dict[str, str]:
    """Return package to version, Python included; packages that are not installed are left out."""
    return dict(_installed())
