"""Models that do not fit into one protobuf are exported with their data in files, and loaded from there."""

import gc
from pathlib import Path

import pytest
import torch

from diffexport.pipeline import Pipeline, exports, model_copies
from diffexport.pytorch import path_of, written
from diffexport.subjects.cases import make_case
from diffexport.values import Mode

RUNTIMES = ("ort-disabled", "ort-all", "reference")
INPUTS = (torch.linspace(-1, 1, 128).reshape(2, 64),)


@pytest.fixture(autouse=True)
def kibibytes(monkeypatch):
    """Take 16 KiB for 2 GiB."""
    monkeypatch.setattr(written, "LARGE_FROM", 1 << 14)
    monkeypatch.setattr(model_copies, "SHARED_FROM", 1 << 12)


class Layers(torch.nn.Module):
    def __init__(self, off=0.0):
        super().__init__()
        self.one, self.two = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
        self.off = off

    def forward(self, x):
        y = torch.relu(self.one(x))
        if torch.onnx.is_in_onnx_export():
            y = y + self.off
        return self.two(y)


def checked(mode, off=0.0):
    case = make_case("large", lambda: Layers(off), inputs=["float32[N, 64]"])
    pipeline = Pipeline()
    verdicts = pipeline.check_runtimes(case, Mode.parse(mode), RUNTIMES, INPUTS)
    return pipeline, case, verdicts


@pytest.mark.parametrize(
    "mode", ["torchscript", pytest.param("dynamo", marks=pytest.mark.slow), "torchscript,dynamic=true"]
)
def test_data_stay_in_files_and_every_runtime_loads_them(mode):
    pipeline, case, verdicts = checked(mode)
    assert all(verdict.agrees for verdict in verdicts), [verdict.divergences for verdict in verdicts]
    model = pipeline.export(case, Mode.parse(mode), INPUTS).export.model
    path = path_of(model)
    assert path.is_file()
    if mode == "dynamo":
        assert len(model) < 1 << 14 < sum(one.stat().st_size for one in path.parent.iterdir() if one != path)
    del pipeline, model, verdicts
    gc.collect()
    assert not Path(path.parent).exists()


def test_what_diverges_is_found_in_them_as_in_others():
    _, _, verdicts = checked("torchscript", off=0.5)
    assert {divergence.kind for verdict in verdicts for divergence in verdict.divergences} == {"value"}


def test_no_more_of_them_are_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(exports, "_MOST_BYTES", 1 << 16)
    pipeline, case, _ = checked("torchscript")
    paths = []
    for size in range(3, 7):
        exported = pipeline.export(case, Mode.parse("torchscript"), (torch.ones(size, 64),))
        paths.append(path_of(exported.export.model))
    del exported
    gc.collect()
    assert [path.exists() for path in paths] == [False, False, False, True]


def test_small_models_stay_in_memory(monkeypatch):
    monkeypatch.setattr(written, "LARGE_FROM", 1 << 20)
    pipeline, case, _ = checked("torchscript")
    assert path_of(pipeline.export(case, Mode.parse("torchscript"), INPUTS).export.model) is None
