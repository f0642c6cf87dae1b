"""Over thousands of modes, those that export the same model share their examples, and only those."""

import pytest

from diffexport import Mode
from diffexport.explore.explorer import Explorer
from diffexport.explore.settings import Settings
from diffexport.findings.events.events import FindingMade, ModeFinished
from diffexport.subjects import catalogue

SAME = ["torchscript", "torchscript,do_constant_folding=false", "torchscript,opset=18"]
REFUSED = ["torchscript,autograd_inlining=false", "torchscript,autograd_inlining=false,scoped=true"]


def explore(name, modes, share):
    explorer = Explorer(catalogue.load(name), ["ort-disabled"], Settings(examples=6, share=share))
    events = list(explorer.explore([Mode.parse(text) for text in modes]))
    rows = {event.mode: event.rows[0] for event in events if isinstance(event, ModeFinished)}
    return rows, [event.finding for event in events if isinstance(event, FindingMade)]


def test_the_same_model_gets_one_example():
    rows, _ = explore("multi_output", SAME, share=True)
    assert [rows[mode].examples for mode in SAME] == [6, 1, 6]
    assert {row.verdict for row in rows.values()} == {"agrees"}


def test_the_same_refusal_gets_one_example():
    rows, _ = explore("multi_output", REFUSED, share=True)
    assert [rows[mode].examples for mode in REFUSED] == [6, 1]
    assert {row.verdict for row in rows.values()} == {"refused"}


def test_without_sharing_every_mode_gets_all():
    rows, _ = explore("multi_output", SAME, share=False)
    assert [rows[mode].examples for mode in SAME] == [6, 6, 6]


@pytest.mark.parametrize("share", [False, True])
def test_what_is_found_is_the_same(share):
    _, findings = explore("clamp", SAME, share=share)
    assert [(f.mode, str(f.divergence.kind)) for f in findings] == [("torchscript", "infinity")]
