"""What the reference evaluator alone shows is a note, unless it was asked for by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffexport.backends.runtimes import witnesses
from diffexport.explore.explorer import Explorer
from diffexport.explore.settings import Settings
from diffexport.explore.witness import without_witnesses
from diffexport.findings.events import FindingMade, ModeFinished, RowVerdict
from diffexport.subjects.cases import make_case
from diffexport.values import Divergence, Kind, Mode, Outcome, Place, Stage, Verdict

WRONG = Divergence(Stage.COMPARE, Kind.VALUE, Place.output(0), "finite→finite", "it differs")
CANNOT = Divergence(Stage.RUN, Kind.RUN_ERROR, Place.MODEL, "RunError: no such operator", "it cannot run")
EXPORTED = Divergence(Stage.CONVERT, Kind.IMPURE_EXPORT, Place.MODEL, "hooks", "something is left behind")


OUTPUTS = (np.zeros(1),)


def verdict(runtime, *divergences, got=OUTPUTS):
    outcome = Outcome.DIVERGES if divergences else Outcome.AGREES
    return Verdict("case", "dynamo", runtime, outcome, divergences, got=got)


@pytest.mark.parametrize(
    ("ort", "reference", "left", "alone"),
    [
        ([], [WRONG], [], [WRONG]),
        ([], [CANNOT], [], [CANNOT]),
        # What is shown by both is of the graph, and so is what the export itself does.
        ([WRONG], [WRONG], [WRONG], []),
        ([EXPORTED], [EXPORTED, WRONG], [EXPORTED], [WRONG]),
        ([CANNOT], [WRONG], [], [WRONG]),
    ],
)
def test_what_a_witness_alone_shows_is_a_note(ort, reference, left, alone):
    verdicts = [verdict("ort-disabled", *ort), verdict("reference", *reference)]
    (first, second), noted = without_witnesses(verdicts, ("reference",), lambda *_: False)
    assert first is verdicts[0]
    assert list(second.divergences) == left
    assert second.agrees is (not left)
    assert noted == ({"reference": alone} if alone else {})


def test_a_witness_speaks_for_itself_where_no_other_gives_outputs():
    verdicts = [verdict("ort-disabled", CANNOT, got=()), verdict("reference", WRONG)]
    assert without_witnesses(verdicts, ("reference",), lambda *_: False) == (verdicts, {})
    alone = [verdict("reference", WRONG)]
    assert without_witnesses(alone, ("reference",), lambda *_: False) == (alone, {})


def test_what_is_known_of_a_witness_is_known_and_no_note():
    verdicts = [verdict("ort-disabled"), verdict("reference", WRONG)]
    assert without_witnesses(verdicts, ("reference",), lambda *_: True) == (verdicts, {})


def test_who_is_a_witness():
    assert witnesses(["all"]) == ("reference",)
    assert witnesses(["all", "reference"]) == ()
    assert witnesses(["ort", "reference"]) == ()


class Logits(torch.nn.Module):
    """The reference evaluator takes the logarithm of a softmax, which may be 0; the others subtract."""

    def forward(self, x):
        return torch.log_softmax(x, -1)


@pytest.mark.parametrize("asked", [["all"], ["ort-disabled", "reference"]])
def test_a_kernel_of_the_reference_evaluator(asked):
    case = make_case("logits", Logits, inputs=["float32[N, 4]"])
    how = Settings(examples=4, block=16, shrink=False, witnesses=witnesses(asked))
    runtimes = ("ort-disabled", "reference")
    events = list(Explorer(case, runtimes, how).explore([Mode.parse("torchscript,dynamic=true")]))
    findings = [event.finding for event in events if isinstance(event, FindingMade)]
    (finished,) = (event for event in events if isinstance(event, ModeFinished))
    by_name = {row.runtime: row for row in finished.rows}
    assert by_name["ort-disabled"].verdict is RowVerdict.AGREES
    if asked == ["all"]:
        assert not findings
        assert by_name["reference"].verdict is RowVerdict.AGREES
        assert any(name.endswith("on reference alone") for name in by_name["reference"].notes)
    else:
        assert {finding.runtime for finding in findings} == {"reference"}
