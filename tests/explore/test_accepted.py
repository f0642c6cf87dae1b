"""Which known divergence accepts what is found."""

from dataclasses import replace

import numpy as np
import pytest

from diffexport.explore.accepted import Accepted
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases.case import make_case
from diffexport.subjects.cases.known import parse_known
from diffexport.values.mode import Mode
from diffexport.values.place import Place
from diffexport.values.verdict import Divergence, Kind, Stage

SEEN = Divergence(Stage.COMPARE, Kind.VALUE, Place.output(0), "finite→finite", "seen", (0,), 3.0)
ENTRY = {
    "id": "known",
    "reason": "for a test",
    "cases": ["mine"],
    "modes": "torchscript",
    "kind": "value",
    "regression": "some",
}
MODE = Mode("torchscript", opset=17)
SMALL, LARGE = (np.float32([0.5]),), (np.float32([8]),)


@pytest.fixture(scope="module")
def case():
    import torch

    return make_case("mine", build=torch.nn.ReLU, inputs=["float32[N]"])


def accepted(case, *entries):
    tables = [{**ENTRY, "id": str(number), **entry} for number, entry in enumerate(entries)]
    return Accepted(case, parse_known(tables), Pipeline())


def found(accepting, divergence=SEEN, mode=MODE, runtime="ort-all", inputs=SMALL, exported=SMALL):
    entry = accepting.entry(mode, runtime, divergence, inputs, exported)
    return entry and entry.id


def test_the_first_entry_whose_traits_all_hold_accepts(case):
    accepting = accepted(case, {"traits": ["abs:0..1", "export:scalar"]}, {"traits": ["abs:0..1"]}, {})
    assert found(accepting, exported=(np.array(1, np.float32),)) == "0"
    assert found(accepting) == "1"
    assert found(accepting, inputs=LARGE) == "2"


def test_what_was_accepted_once_is_not_accepted_at_every_size(case):
    accepting = accepted(case, {"max_excess": 5.0}, {"max_excess": 50.0, "traits": ["abs:0..1"]})
    assert found(accepting) == "0"
    assert found(accepting, replace(SEEN, excess=20.0)) == "1"
    assert found(accepting, replace(SEEN, excess=20.0), inputs=LARGE) is None
    assert found(accepting, replace(SEEN, excess=None)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"divergence": replace(SEEN, kind=Kind.INFINITY)},
        {"divergence": replace(SEEN, place=Place.output(1))},
        {"divergence": replace(SEEN, signature="exact")},
        {"mode": Mode("dynamo")},
        {"runtime": "reference"},
    ],
)
def test_each_thing_that_an_entry_names_has_to_match(case, other):
    entry = {"where": "output[0]", "signature": "finite.*", "runtimes": ["ort-*"]}
    accepting = accepted(case, entry)
    assert found(accepting) == "0"
    assert found(accepting, **other) is None
    # Asked in the other order as well.
    accepting = accepted(case, entry)
    assert found(accepting, **other) is None
    assert found(accepting) == "0"


def test_a_crash_kills_only_inputs_with_its_traits(case):
    accepting = accepted(case, {"kind": "crash", "traits": ["abs:0..1"]})
    crashes = accepting.known_crashes(MODE, ["ort-all"])
    assert [entry.id for entry in crashes] == ["0"]
    assert accepting.crash_on(crashes, SMALL, SMALL) is crashes[0]
    assert accepting.crash_on(crashes, LARGE, SMALL) is None
    assert accepting.known_crashes(Mode("dynamo"), ["ort-all"]) == []
