"""Who is blamed: a bug planted at each stage of the pipeline is found there."""

from dataclasses import replace

import numpy as np
import onnx
import onnx.helper
import pytest
import torch

from diffexport import Mode, make_case
from diffexport.backends import exporters
from diffexport.backends.runtimes import available
from diffexport.explore.blame import BlameVote, Culprit
from diffexport.explore.point import Point
from diffexport.pipeline import Pipeline

ONE, TWO = (np.ones(1, np.float32),), (np.ones(2, np.float32),)


class Baked(torch.nn.Module):
    """Tracing takes the size for a number."""

    def forward(self, a):
        return a + int(a.shape[0])


class Minus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a - 3

    @staticmethod
    def symbolic(g, a):
        return g.op("Add", a, g.op("Constant", value_t=torch.tensor(3.0)))


class Wrong(torch.nn.Module):
    def forward(self, a):
        return Minus.apply(a)


class Increment(torch.nn.Module):
    def forward(self, a):
        return a + 1


def blamed(module, mode, runtime, inputs, export_inputs, pipeline=None):
    pipeline, case = pipeline or Pipeline(), make_case("planted", module, inputs=["float32[N]"])
    mode = Mode.parse(mode)
    (verdict,) = pipeline.check_runtimes(case, mode, [runtime], inputs, export_inputs=export_inputs)
    assert verdict.divergences
    return BlameVote(pipeline, case).blame(
        Point(mode, runtime, inputs, export_inputs), verdict.divergences[0]
    )


@pytest.mark.parametrize(
    "mode", ["torchscript,dynamic=true", pytest.param("dynamo,dynamic=true", marks=pytest.mark.slow)]
)
def test_what_is_baked_in_when_it_is_captured(mode):
    blame = blamed(Baked, mode, "ort-disabled", TWO, ONE)
    assert blame.culprit is Culprit.CAPTURE


def test_a_wrong_symbolic_is_named():
    blame = blamed(Wrong, "torchscript", "ort-disabled", ONE, ONE)
    assert blame.culprit is Culprit.CONVERSION
    assert blame.because == "`symbolic` of Minus: exported without, inlined, it agrees"
    assert hasattr(Minus, "symbolic")


class ForgedExports:
    """Every export becomes a graph that is given, or depends on an option of the mode."""

    same_in_every_mode = False

    def __init__(self, exports, graphs):
        self._exports, self._graphs_by = exports, graphs
        self.feeder, self.known_modes = exports.feeder, exports.known_modes

    def export(self, case, mode, inputs, *, repeat=True):
        exported = self._exports.export(case, mode, inputs, repeat=repeat)
        return replace(exported, **self._graphs_by(mode, exported))


def forged(graphs):
    stages = Pipeline().stages
    return Pipeline(stages=replace(stages, exports=ForgedExports(stages.exports, graphs)))


def with_operator(model, was, now):
    proto = onnx.load_from_string(model)
    for node in proto.graph.node:
        if node.op_type == was:
            node.op_type = now
    return proto.SerializeToString()


def forge(mode_is_wrong):
    def graphs(mode, exported):
        if not mode_is_wrong(mode):
            return {}
        model = with_operator(exported.export.model, "Add", "Sub")
        return {"export": replace(exported.export, model=model), "digest": model}

    return graphs


def test_a_wrong_graph():
    pipeline = forged(forge(lambda mode: True))
    blame = blamed(Increment, "dynamo", "ort-disabled", ONE, ONE, pipeline)
    assert blame.culprit is Culprit.CONVERSION
    assert "the reference evaluator and ort-disabled give the same" in blame.because


def test_what_cannot_be_captured_has_no_vote(monkeypatch):
    pipeline = forged(forge(lambda mode: True))
    monkeypatch.setattr(exporters, "run_captured", lambda *args, **options: None)
    blame = blamed(Increment, "dynamo", "ort-disabled", ONE, ONE, pipeline)
    assert blame.culprit is Culprit.CONVERSION
    assert blame.because == "the reference evaluator and ort-disabled give the same"


def test_the_exporters_own_optimiser():
    pipeline = forged(forge(lambda mode: mode.optimize))
    blame = blamed(Increment, "dynamo", "ort-disabled", ONE, ONE, pipeline)
    assert blame.culprit is Culprit.OPTIMISER
    assert blame.because == "the exporter's own: with optimize=false it agrees"


class LyingLoader:
    """Some runtimes are handed another graph."""

    def __init__(self, loader, liars):
        self._loader, self._liars = loader, liars

    def load(self, exported, runtime):
        if runtime in self._liars:
            model = with_operator(exported.export.model, "Add", "Sub")
            exported = replace(exported, export=replace(exported.export, model=model), digest=model)
        return self._loader.load(exported, runtime)


def lying(liars):
    stages = Pipeline().stages
    return Pipeline(stages=replace(stages, loader=LyingLoader(stages.loader, liars)))


ORT = [name for name in available() if name.startswith("ort")]


@pytest.mark.parametrize(
    ("liars", "culprit", "because"),
    [
        (ORT, Culprit.KERNEL, "of ONNX Runtime, without optimisation too (ort-disabled)"),
        (["reference"], Culprit.KERNEL, "of the reference evaluator: ort-disabled agrees"),
        (ORT[2:], Culprit.OPTIMISER, f"and not at {ORT[2]}"),
    ],
)
def test_the_runtimes_vote(liars, culprit, because):
    blame = blamed(Increment, "torchscript", liars[0], ONE, ONE, lying(liars))
    assert blame.culprit is culprit
    assert because in blame.because


def test_there_is_no_vote_on_what_shows_before_any_runtime():
    class Refuses(torch.nn.Module):
        def forward(self, a):
            return torch.special.erfcx(a)

    assert blamed(Refuses, "torchscript", "ort-disabled", ONE, ONE) is None
