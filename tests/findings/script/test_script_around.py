"""Scripts of cases with something around their export, custom opsets and assertions of their own."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from standalone import INFINITE, PAIR, invented

from diffexport.findings.scripts.script import standalone_script
from diffexport.pytorch import symbolics
from diffexport.subjects import catalogue
from diffexport.subjects.cases.expectation import assertion
from diffexport.values.verdict import Kind


def nodes(script: dict[str, Any], case: Any, args: Any) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = script["export"](case.build(), tuple(torch.from_numpy(np.array(arg)) for arg in args))
    return [node.op_type for node in onnx.load_model_from_string(model).graph.node]


def test_a_registered_symbolic_is_copied_and_taken_back(here: Any) -> None:
    case = catalogue.load("registered_symbolic")
    text = standalone_script(invented(case, "torchscript,opset=9", Kind.INFINITY, INFINITE), case)
    assert "with symbolics_by_name():" in text
    assert "diffexport" not in text
    assert nodes(here(text), case, INFINITE) == ["Clip", "Relu"]
    assert symbolics.registered() == {}


@pytest.mark.slow
def test_around_a_dynamo_export_as_well(here: Any) -> None:
    case = catalogue.load("tensor_bound")
    bound = (PAIR[0], np.array(0.0, np.float32))
    text = standalone_script(invented(case, "dynamo", Kind.INFINITY, bound), case)
    assert text.index("with clip_with_tensors():") < text.index("torch.onnx.export(")
    assert "Max" in nodes(here(text), case, bound)


def test_custom_opsets_are_passed_on(here: Any) -> None:
    case = catalogue.load("custom_domain_pair")
    text = standalone_script(invented(case, "torchscript", Kind.LOAD_ERROR, PAIR), case)
    assert "custom_opsets={'CustomNamespace': 2}" in text
    assert nodes(here(text), case, PAIR) == ["Custom"]


def broken(test: Any) -> Any:
    case = replace(
        catalogue.load("scalar_attribute"), assertions=(assertion("it is so", "torchscript", test),)
    )
    stored = invented(case, "torchscript,opset=9", Kind.GRAPH_CONTRACT, PAIR, signature="it is so")
    return standalone_script(stored, case)


def test_an_assertion_is_copied_and_judges(here: Any) -> None:
    (holds,) = catalogue.load("scalar_attribute").assertions
    script = here(broken(holds.test))
    assert script["main"]() is False
    (fails,) = catalogue.load("fallthrough_first").assertions
    script = here(broken(fails.test))
    assert script["main"]() is True


def test_an_assertion_that_cannot_be_copied_is_a_stub(here: Any) -> None:
    text = broken(lambda model: "no")
    assert "could not be copied: it is made by a lambda or a closure" in " ".join(
        text.replace("#", "").split()
    )
    assert 'raise NotImplementedError("put function here")' in text
    compile(text, "script", "exec")
