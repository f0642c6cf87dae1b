import re
from dataclasses import replace

import numpy as np
import pytest

from diffexport.values.place import Place
from diffexport.values.verdict import Divergence, Identity, Kind, Outcome, Severity, Stage, Verdict, slugify

IDENTITY = Identity("round", "dynamo", "ort-all", Stage.COMPARE, Kind.INFINITY, Place.output(0), "inf→finite")


def test_stages_come_in_the_order_of_the_road():
    assert [str(stage) for stage in Stage] == [
        "eager",
        "capture",
        "convert",
        "check",
        "load",
        "run",
        "compare",
    ]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_meaning_and_a_severity(kind):
    assert kind.meaning
    assert "\n" not in kind.meaning
    notes = {"sign-of-zero", "overflow", "stale-globals"}
    assert kind.severity is (Severity.NOTE if kind.value in notes else Severity.FAILURE)


def test_meanings_are_distinct():
    assert len({kind.meaning for kind in Kind}) == len(Kind)


def test_digest_is_the_same_on_every_machine():
    # sha256sum of the JSON array of the seven fields, computed outside Python.
    assert IDENTITY.digest == "1ae634d4"


@pytest.mark.parametrize(
    "change",
    [
        {"case": "other"},
        {"exporter": "torchscript"},
        {"runtime": "reference"},
        {"stage": Stage.RUN},
        {"kind": Kind.VALUE},
        {"place": Place.output(1)},
        {"signature": "-inf→finite"},
    ],
)
def test_every_field_is_part_of_the_identity(change):
    other = replace(IDENTITY, **change)
    assert other != IDENTITY
    assert other.digest != IDENTITY.digest
    assert other.slug != IDENTITY.slug


def test_slug_is_readable_and_ends_in_the_digest():
    assert IDENTITY.slug == "round--dynamo--ort-all--infinity--output-0--" + IDENTITY.digest
    graph = replace(IDENTITY, runtime="", place=Place.GRAPH, kind=Kind.CHECKER_ERROR)
    assert graph.slug == "round--dynamo--checker-error--" + graph.digest
    odd = replace(IDENTITY, case="my.module:Model[Ünï/..]")
    assert odd.slug.startswith("my.module-model-n--dynamo--")


def test_slug_of_a_long_name_is_cut_and_stays_unique():
    one, other = (replace(IDENTITY, case="x" * 300 + end) for end in "ab")
    assert len(one.slug) == 96 + 2 + 8
    assert one.slug != other.slug


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("output[0]", "output-0"),
        ("A  B", "a-b"),
        ("a--b", "a-b"),
        ("../../etc/passwd", "etc-passwd"),
        ("pkg.mod:Net", "pkg.mod-net"),
        ("...", "x"),
        ("", "x"),
        ("→", "x"),
    ],
)
def test_slugify(text, slug):
    assert slugify(text) == slug


@pytest.mark.parametrize("stage", Stage)
def test_identity_has_no_runtime_for_what_shows_before_any(stage):
    divergence = Divergence(stage, Kind.CRASH, Place.MODEL, "SIGSEGV", "the process died")
    verdict = Verdict("round", "torchscript,opset=9", "ort-all", Outcome.DIVERGES, (divergence,))
    identity = verdict.identity(divergence)
    before = stage in (Stage.EAGER, Stage.CAPTURE, Stage.CONVERT, Stage.CHECK)
    assert identity.runtime == ("" if before else "ort-all")
    assert identity.exporter == "torchscript"
    assert (identity.case, identity.stage, identity.kind) == ("round", stage, Kind.CRASH)
    assert (identity.where, identity.signature) == ("model", "SIGSEGV")


def test_options_of_the_mode_message_and_element_are_not_part_of_the_identity():
    one = Divergence(Stage.COMPARE, Kind.VALUE, Place.output(0), "exact", "here", (0,), 2.0)
    other = replace(one, message="there", element=(5,), excess=9.0)
    verdicts = [Verdict("c", mode, "reference", Outcome.DIVERGES) for mode in ("dynamo", "dynamo,opset=13")]
    assert verdicts[0].identity(one) == verdicts[1].identity(other)


@pytest.mark.parametrize("outcome", Outcome)
def test_everything_but_diverging_agrees(outcome):
    assert Verdict("c", "dynamo", "reference", outcome).agrees is (outcome.value != "diverges")


def test_verdicts_compare_without_their_arrays_and_chatter():
    one = Verdict("c", "dynamo", "reference", Outcome.AGREES, eager=(np.zeros(3),), chatter="warned")
    assert one == Verdict("c", "dynamo", "reference", Outcome.AGREES)
    assert one != Verdict("c", "dynamo", "reference", Outcome.REJECTED)


def test_digest_is_eight_hexadecimal_digits():
    assert re.fullmatch("[0-9a-f]{8}", IDENTITY.digest)
