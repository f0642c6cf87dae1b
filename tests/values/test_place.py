"""Places and signatures are values; what is stored is their text."""

import pickle

import pytest

from diffexport.values.place import Place
from diffexport.values.signatures import Aspect, MissingNodes
from diffexport.values.verdict import Divergence, FailureKey, Kind, Stage


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place.MODEL, "model"),
        (Place.GRAPH, "graph"),
        (Place.INPUTS, "inputs"),
        (Place.OUTPUTS, "outputs"),
        (Place.output(0), "output[0]"),
        (Place.output(12), "output[12]"),
        (Place.output(1, "real"), "output[1].real"),
        (Place.output(1, "imag"), "output[1].imag"),
    ],
)
def test_a_place_is_stored_as_its_text(place, text):
    assert place.text == str(place) == text
    assert Place.parse(text) == place


@pytest.mark.parametrize(
    "text",
    ["", "output", "output[]", "output[x]", "output[01]", "output[-1]", "output[٣]", "output[0].x", "here\n"],
)
def test_any_other_text_is_kept_as_it_is(text):
    place = Place.parse(text)
    assert place.text == text
    assert (place.name, place.number, place.part) == (text, None, "")


def test_the_whole_is_the_model_or_its_graph():
    whole = [
        place
        for place in (Place.MODEL, Place.GRAPH, Place.INPUTS, Place.OUTPUTS, Place.output(0))
        if place.is_whole
    ]
    assert whole == [Place.MODEL, Place.GRAPH]


def test_a_place_is_the_same_in_another_process():
    place = Place.output(3, "imag")
    assert pickle.loads(pickle.dumps(place)) == place
    assert len({place, Place.output(3, "imag"), Place.output(3)}) == 2


@pytest.mark.parametrize("kinds", [("Relu",), ("Relu", "Sin"), ("my.domain::Op", "Relu")])
def test_missing_nodes_are_read_from_their_signature(kinds):
    missing = MissingNodes(kinds)
    assert missing.signature == f"missing {', '.join(kinds)}"
    assert MissingNodes.parse(missing.signature) == missing


def test_another_signature_is_about_no_missing_nodes():
    assert MissingNodes.parse("input names") is None


def test_what_a_divergence_is_about_is_its_kind_and_signature():
    declared = Divergence(Stage.CHECK, Kind.DECLARED_TYPE, Place.output(0), Aspect.DTYPE, "")
    stored = Divergence(Stage.CHECK, Kind.DECLARED_TYPE, Place.output(0), "dtype", "")
    assert declared.is_about(Kind.DECLARED_TYPE, Aspect.DTYPE)
    assert stored.is_about(Kind.DECLARED_TYPE, Aspect.DTYPE)
    assert not stored.is_about(Kind.DECLARED_TYPE, Aspect.RANK)
    assert not stored.is_about(Kind.GRAPH_CONTRACT, Aspect.DTYPE)


def test_a_key_has_what_tells_failures_apart_and_nothing_else():
    one = Divergence(Stage.COMPARE, Kind.VALUE, Place.output(0), Aspect.EXACT, "here", (0,), 2.0)
    other = Divergence(Stage.COMPARE, Kind.VALUE, Place.parse("output[0]"), "exact", "there", (5,), 9.0)
    assert one.key == other.key == FailureKey(Stage.COMPARE, Kind.VALUE, Place.output(0), "exact")
    assert len({one.key, other.key}) == 1
