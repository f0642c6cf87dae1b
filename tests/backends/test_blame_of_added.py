"""Blame on runtimes of other families: their kernels, or their optimisation, and never ONNX Runtime's optimiser."""

import numpy as np
import pytest
import torch

from diffexport import Mode, make_case
from diffexport.explore.blame import BlameVote, Culprit
from diffexport.explore.divergence_errors import attribute
from diffexport.explore.minimise import Minimiser
from diffexport.explore.point import Point
from diffexport.pipeline import Pipeline

#: A family of two, of which the second adds one to what it computes; and one runtime by itself that does.
SOURCE = """
import numpy as np
from diffexport.backends.runtimes import Runtime, load
class Session:
    def __init__(self, inner, off):
        self.inner, self.off = inner, off
        self.inputs, self.outputs = inner.inputs, inner.outputs
    def run(self, feeds):
        return [array + np.float32(self.off) for array in self.inner.run(feeds)]
class Of(Runtime):
    def __init__(self, name, family, order, is_plain, off):
        self.name, self.title, self.family, self.order = name, family.title(), family, order
        self.is_plain, self.off = is_plain, off
    def load(self, model):
        return Session(load("ort-disabled", model), self.off)
FIRST = Of("ort-two-plain", "two", 60, True, 0)
SECOND = Of("ort-two-fast", "two", 61, False, 1)
LONE = Of("ort-lone", "lone", 62, False, 1)
PLAIN = Of("ort-odd", "odd", 63, True, 2)
"""


class Increment(torch.nn.Module):
    def forward(self, a):
        return a + 1


@pytest.fixture
def others(package):
    names = {"ort-two-plain": "FIRST", "ort-two-fast": "SECOND", "ort-lone": "LONE", "ort-odd": "PLAIN"}
    package("the-others", {"others": SOURCE}, runtimes={name: f"others:{one}" for name, one in names.items()})


def verdicts(*runtimes):
    case, inputs = make_case("planted", Increment, inputs=["float32[N]"]), (np.ones(2, np.float32),)
    mode, pipeline = Mode.parse("torchscript,dynamic=true"), Pipeline()
    found = pipeline.check_runtimes(case, mode, runtimes, inputs, export_inputs=inputs)
    return pipeline, case, found, Point(mode, runtimes[-1], inputs, inputs)


@pytest.mark.parametrize(
    ("runtime", "culprit", "because"),
    [
        (
            "ort-two-fast",
            Culprit.OPTIMISER,
            "Two agrees with eager without graph optimisation, and not at ort-two-fast",
        ),
        (
            "ort-lone",
            Culprit.KERNEL,
            "of Lone, or its own optimisation (ort-lone): ort-disabled agrees with eager",
        ),
        ("ort-odd", Culprit.KERNEL, "of Odd (ort-odd): ort-disabled agrees with eager"),
    ],
)
def test_it_is_blamed_by_its_own_family(others, runtime, culprit, because):
    pipeline, case, (verdict,), point = verdicts(runtime)
    blame = BlameVote(pipeline, case).blame(point, verdict.divergences[0])
    assert (blame.culprit, blame.because) == (culprit, because)


def test_what_two_families_show_otherwise_are_two_failures(others):
    _, _, found, _ = verdicts("ort-two-fast", "ort-odd", "ort-lone")
    # ort-lone gives the wrong outputs of ort-two-fast to the last bit; ort-odd gives others.
    assert [identity.runtime for _, _, identity in attribute(found)] == [
        "ort-two-fast",
        "ort-odd",
        "ort-two-fast",
    ]


def test_a_finding_stays_on_the_runtime_that_shows_it(others):
    pipeline, case, (verdict,), point = verdicts("ort-two-fast")
    minimiser = Minimiser(pipeline, case, False, checks=50)
    seen = minimiser.look(point, verdict.divergences[0])
    assert minimiser._simplest_runtime(seen).point.runtime == "ort-two-fast"
