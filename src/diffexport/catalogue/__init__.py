"""The built-in cases. This index imports neither torch nor Hypothesis, so that listing them is instant."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffexport.case import Case
from diffexport.errors import UnknownNameError


@dataclass(frozen=True)
class Entry:
    """A catalogue entry: where its case is made, and one line about it."""

    name: str
    module: str
    inputs: str
    origin: str
    summary: str


_SEEDS = "diffexport.catalogue.seed_models"
_UPSTREAM = "PyTorch test/onnx/test_autograd_funs.py"

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("single_output", _SEEDS, "float32[...]", _UPSTREAM, "exp then log, between +5 and +3"),
        Entry("multi_output", _SEEDS, "float32[...]", _UPSTREAM, "two outputs: exp, and the log of it"),
        Entry(
            "partial_output",
            _SEEDS,
            "float32[..., >=3]",
            _UPSTREAM,
            "only the values of topk(3) are returned",
        ),
        Entry(
            "nested_autograd",
            _SEEDS,
            "float32[...]",
            _UPSTREAM,
            "a Function that applies another; two outputs",
        ),
        Entry(
            "aten_unsupported",
            _SEEDS,
            "float32[...]",
            _UPSTREAM,
            "special.erf, unknown to the TorchScript exporter",
        ),
        Entry(
            "inline_and_symbolic",
            _SEEDS,
            "float32[...]",
            _UPSTREAM,
            "one Function with symbolic, one inlined",
        ),
        Entry(
            "inline_with_scoped_tracing",
            _SEEDS,
            "float32[...]",
            _UPSTREAM,
            "the same model, meant for scoped tracing",
        ),
        Entry(
            "clamp",
            _SEEDS,
            "float32[...]",
            "PyTorch test/onnx/autograd_helper.py",
            "clamp(min=0), masked backward",
        ),
    )
}


def load(name: str) -> Case:
    """Return a case by name.

    Raises:
        UnknownNameError: there is no such case.
    """
    if name not in ENTRIES:
        raise UnknownNameError("case", name, ENTRIES)
    cases: dict[str, Case] = importlib.import_module(ENTRIES[name].module).CASES
    return cases[name]


def every() -> Iterator[Case]:
    """Yield every case."""
    for name in ENTRIES:
        yield load(name)


def known_file() -> Path:
    """Return the file of the catalogue's known divergences."""
    return Path(__file__).with_name("known.toml")


def regressions_folder() -> Path:
    """Return the folder of the regressions that the known divergences are tied to.

    Installed, it lies inside the package; in a checkout, under ``tests/regressions``.
    """
    installed = Path(__file__).with_name("regressions")
    if installed.is_dir():
        return installed
    return Path(__file__).parents[3] / "tests" / "regressions" / "catalogue"
