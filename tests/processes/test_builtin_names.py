"""Built-in functions that are replaced by what is called are put back, without the help of any of them."""

import builtins
import contextlib

import pytest

from diffexport import Mode
from diffexport.pipeline import Pipeline
from diffexport.processes import StateSnapshot, builtins_kept, process_parts
from diffexport.processes.builtin_names import taken_replaced


@pytest.fixture(autouse=True)
def taken():
    """What was put back in a test is not told in another."""
    yield
    taken_replaced()


REPLACED = [
    "isinstance",
    "any",
    "all",
    "bool",
    "list",
    "getattr",
    "len",
    "type",
    "iter",
    "next",
    "dict",
    "tuple",
]


@pytest.mark.parametrize("name", REPLACED)
def test_a_snapshot_puts_back_what_it_needs_itself(name):
    kept = getattr(builtins, name)
    before = StateSnapshot(process_parts())
    try:
        setattr(builtins, name, lambda *_: True)
        changes = before.put_back()
        now = getattr(builtins, name)
    finally:
        setattr(builtins, name, kept)
    assert now is kept
    assert f"replaces builtins.{name}" in changes.restored


def test_an_error_does_not_keep_them_from_being_put_back():
    kept = builtins.isinstance
    try:
        with contextlib.suppress(ZeroDivisionError), builtins_kept():
            builtins.isinstance = lambda *_: True
            raise ZeroDivisionError
        assert builtins.isinstance is kept
    finally:
        builtins.isinstance = kept


def test_what_is_added_stays():
    with builtins_kept():
        builtins.added_by_a_test = 1
    try:
        assert builtins.added_by_a_test == 1
    finally:
        del builtins.added_by_a_test


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_a_model_that_replaces_one_while_it_is_exported(exporter, tmp_path, monkeypatch):
    import numpy as np
    import torch

    import diffexport

    class Replacing(torch.nn.Module):
        def forward(self, x):
            builtins.isinstance = lambda *_: True
            return x + 1

    kept = builtins.isinstance
    case = diffexport.Case("replacing", Replacing, ("float32[2]",))
    try:
        verdict = Pipeline().check(case, Mode(exporter), "ort-basic", (np.zeros(2, "float32"),))
        assert builtins.isinstance is kept
    finally:
        builtins.isinstance = kept
    assert verdict.eager[0].tolist() == [1, 1]
