"""What a finding says of the example that was exported with, and how it is to be seen again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffexport.findings.events.events import Finding, RunStarted
from diffexport.findings.regressions.finding_store import FindingStore
from diffexport.findings.reports.descriptions import describe, values
from diffexport.findings.reports.tally import Tally
from diffexport.strategies import lay_out, ordinary
from diffexport.values.place import Place
from diffexport.values.verdict import Divergence, Identity, Kind, Stage

X = np.array([[0, 7, 0]], "float32")
(PLAIN,) = ordinary([(1, 3)], ["float32"])
FOUND = Divergence(Stage.CONVERT, Kind.EXPORT_ERROR, Place.MODEL, "error", "it fails")


def finding(export_inputs, inputs=(X,)):
    identity = Identity("mine", "torchscript", "", Stage.CONVERT, Kind.EXPORT_ERROR, Place.MODEL, "error")
    return Finding(
        identity=identity,
        divergence=FOUND,
        target="mine",
        mode="torchscript",
        runtime="ort-disabled",
        inputs=inputs,
        export_inputs=export_inputs,
        eager=(),
        got=(),
    )


def line(word, found, tally=None):
    lines = [one.strip() for one in describe(found, tally or Tally(), FindingStore())]
    return next((one.removeprefix(word).strip() for one in lines if one.startswith(word)), None)


@pytest.mark.parametrize("example", [X, PLAIN])
def test_an_example_that_anyone_would_think_of_is_not_mentioned(example):
    assert line("exported with", finding((example.copy(),))) is None


def test_another_example_is_shown_with_what_is_special_about_it():
    assert (
        line("exported with", finding((np.ones((2, 3), "float32"),)))
        == "[[1, 1, 1], [1, 1, 1]] float32[2, 3]"
    )
    assert line("exported with", finding((X + 1,))) == "[[1, 8, 1]] float32[1, 3]"
    with_grad = torch.from_numpy(PLAIN.copy()).requires_grad_()
    assert line("exported with", finding((with_grad,))).endswith("float32[1, 3] requires_grad")
    stepped = lay_out(X, "stepped")
    assert line("exported with", finding((stepped,))) == "[[0, 7, 0]] float32[1, 3] with strides [6, 2]"
    assert line("exported with", finding((lay_out(X, "offset"),))).endswith("at offset 3")


def test_strides_of_what_is_contiguous_or_has_no_elements_are_not_mentioned():
    assert values((X, lay_out(np.zeros((2, 0), "float32"), "transposed"))) == (
        "[[0, 7, 0]] float32[1, 3], [] float32[2, 0]"
    )


@pytest.mark.parametrize(
    ("profile", "examples", "shown"), [("dev", 8, 64), ("dev", 200, 200), ("nightly", 8, 256), ("none", 9, 9)]
)
def test_one_mode_is_given_as_many_examples_as_a_run_over_one_mode_has(profile, examples, shown):
    tally = Tally()
    tally.take(RunStarted(("mine",), 128, ("ort-all",), examples, 3, profile, False, {}))
    again = line("reproduce", replace(finding((X,)), seed=3), tally)
    assert (
        again == f"diffexport run mine --modes torchscript --runtime ort-disabled --examples {shown} --seed 3"
    )
