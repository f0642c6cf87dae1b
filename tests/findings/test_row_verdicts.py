"""The worst verdict of a mode is the one that is kept, and its text is that of the reports."""

import itertools
import json

import pytest

from diffexport.findings.events import KnownReplayed, KnownStatus, Row, RowVerdict

ORDER = ["unreached", "untested", "agrees", "refused", "known", "diverges"]


@pytest.mark.parametrize(("one", "other"), list(itertools.product(RowVerdict, repeat=2)))
def test_the_worse_of_two_is_kept(one, other):
    row = Row("ort-all", one, "stage", "kind")
    row.worsen(other, "run", "crash")
    worse = ORDER.index(other) > ORDER.index(one)
    assert row.verdict is (other if worse else one)
    assert (row.stage, row.kind) == (("run", "crash") if worse else ("stage", "kind"))


def test_texts_are_those_of_the_reports():
    assert json.loads(json.dumps(list(RowVerdict))) == ORDER
    assert json.loads(json.dumps(list(KnownStatus))) == ["diverges", "fixed", "error"]


@pytest.mark.parametrize("status", KnownStatus)
def test_a_known_divergence_is_stale_unless_it_diverges(status):
    assert KnownReplayed("id", "file", status, "").is_stale is (status != "diverges")
