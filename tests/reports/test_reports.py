"""What a right report says of models after public bug reports: each finding there is, and nothing else.

The cheapest are in every run of the tests, the rest in ``tox -e models``.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MODELS = Path(__file__).parent / "models"
#: Set by ``tox -e models``.
EVERY = "DIFFEXPORT_MODELS"
MODES = ("torchscript", "torchscript,dynamic=true", "dynamo", "dynamo,dynamic=true")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Found:
    """A finding that there has to be: where it shows, what it is, and what its minimal input reads, if that is said."""

    mode: str
    kind: str
    stage: str
    departs: str = ""
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A model, how it is called, and what is right to say of it."""

    target: str
    inputs: tuple[str, ...]
    findings: tuple[Found, ...] = ()
    options: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    code: int = field(default=-1)
    cheap: bool = False

    @property
    def exit_code(self):
        return self.code if self.code >= 0 else int(bool(self.findings))


ORDINARY = ("--ordinary",)
REPORTS = (
    Report(
        "one_minus.py:Model",
        ("float32[N]", "int64[N] in 0..1"),
        (Found("dynamo", "export-error", "convert", "aten::sub"),),
        says=("one_minus.py:", "x * (1.0 - mask)"),
        cheap=True,
    ),
    Report(
        "mask_index.py:Model",
        ("float32[N]",),
        (Found("torchscript", "value", "compare", "aten::index_put", ("[1]",)),),
        cheap=True,
    ),
    Report(
        "fakequant.py:Model",
        ("float32[N]",),
        (Found("dynamo", "export-error", "capture"),),
        says=("GuardOnDataDependentSymNode",),
    ),
    Report(
        "lsq.py:Model",
        ("float32[N]",),
        (Found("dynamo", "export-error", "convert", "aten::fake_quantize_per_tensor_affine"),),
    ),
    Report("half_ln.py:Model", ("float16[N, 4]",), cheap=True),
    Report(
        "decoupled.py:Model",
        ("[float32[1, 5, H, W], float32[1, 5, H2, W2]]",),
        options=("--modes", "dynamo"),
        code=0,
    ),
    Report(
        "nan_to_num64.py:Model",
        ("float64[N]",),
        (Found("dynamo", "infinity", "compare", "aten::nan_to_num", ("[inf]",)),),
        cheap=True,
    ),
    Report(
        "segv_symbolic.py:Model",
        ("float32[N]",),
        (
            Found("torchscript", "crash", "convert", reads=("[0]",)),
            Found("dynamo", "infinity", "compare", "aten::clamp", ("[-inf]",)),
        ),
        says=("SIGSEGV while the model is exported",),
        cheap=True,
    ),
    Report(
        "dropout.py:D",
        ("float32[N, 4]",),
        says=("handed over in training mode; it is tested in eval mode",),
        cheap=True,
    ),
    Report("hidden.py:Model", ("float32[N, 2]",), says=("keeps state from call to call", "`h`"), code=2),
    Report(
        "aa_resize.py:Model",
        ("float32[N>=1, 1, 4, 4]",),
        (Found("torchscript", "export-error", "convert", "aten::_upsample_bilinear2d_aa"),),
    ),
    Report(
        "one_pixel.py:Model",
        ("float32[N>=1, 1, H>=1, W>=1]",),
        (Found("dynamo", "value", "compare", "aten::upsample_bilinear2d"),),
    ),
    Report(
        "cond.py:Model",
        ("float32[N>=1, 3]",),
        (Found("torchscript", "export-error", "capture"),),
        says=("cond.py:13 in forward",),
    ),
    Report(
        "topk_post.py:Model",
        ("float32[B>=1, A>=1, 5]",),
        (
            Found("dynamo", "nan-placement", "compare", "aten::topk"),
            Found("dynamo,dynamic=true", "run-error", "run"),
        ),
    ),
    Report(
        "qdq.py:Model",
        ("float32[N>=1, 3, 4, 4]",),
        (Found("torchscript", "nan-placement", "compare"),),
    ),
    Report(
        "encoder.py:Model",
        ("float32[T>=1, B>=1, 4]",),
        (Found("torchscript,dynamic=true", "run-error", "run"),),
        ORDINARY,
    ),
    Report("unet.py:Model", ("float32[N>=1, 1, H>=2, W>=2]",), options=ORDINARY),
    Report("vit.py:Model", ("float32[N>=1, 3, 8, 8]",), options=ORDINARY),
    Report(
        "convnet.py:LSTM",
        ("float32[N>=1, T>=1, 8]",),
        (Found("dynamo,dynamic=true", "export-error", "capture"),),
        ORDINARY,
    ),
    Report(
        "convnet.py:Attn",
        ("float32[N>=1, T>=1, 32]",),
        (Found("torchscript,dynamic=true", "run-error", "run"),),
        ORDINARY,
    ),
)


@pytest.mark.parametrize("report", REPORTS, ids=[one.target for one in REPORTS])
def test_each_cause_is_one_finding_and_nothing_else_is(report, tmp_path):
    if not report.cheap and not os.environ.get(EVERY):
        pytest.skip("tox -e models has it")
    words = [] if "--modes" in report.options else [word for mode in MODES for word in ("--modes", mode)]
    words += [word for text in report.inputs for word in ("--input", text)]
    file = tmp_path / "report.json"
    command = [Path(sys.executable).with_name("diffexport"), "run", report.target, *words, *report.options]
    ran = subprocess.run(
        [*command, "--rounds", "1", "--no-save", "--json", file, "--jobs", "1"],
        cwd=MODELS,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
    )
    assert "Traceback" not in ran.stdout + ran.stderr
    found = json.loads(file.read_text())["divergences"]
    got = {(one["mode"], one["kind"], one["stage"]) for one in found}
    assert got == {(one.mode, one.kind, one.stage) for one in report.findings}, ran.stdout
    assert len(found) == len(report.findings)
    assert ran.returncode == report.exit_code, ran.stdout
    for text in report.says:
        assert text in " ".join(ran.stdout.split())
    for wanted in report.findings:
        one = next(one for one in found if (one["mode"], one["kind"]) == (wanted.mode, wanted.kind))
        if wanted.departs:
            assert wanted.departs in json.dumps(one["cause"])
        if wanted.reads:
            assert tuple(tensor["reads"] for tensor in one["inputs"]) == wanted.reads
