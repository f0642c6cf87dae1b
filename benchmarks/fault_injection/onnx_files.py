"""Corrupt ONNX files for ``compare``."""

from __future__ import annotations

import os
import random
from pathlib import Path

from fault_injection.stored_files import run_batch, watch_result
from fault_injection.trial import Trial, fault
from fault_injection.victims import RUNTIME, target

_MANY = 10
_WRITE = """\
import project, torch, sys
torch.onnx.export(project.Sound(), (torch.ones(2),), sys.argv[1], dynamo=False)
"""


def _spoil(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Return a spoiled model, and what was done to it."""
    what = rng.choice(
        ["cut", "bytes", "bytes", "bytes", "twice", "noise", "empty", "lengths", "zeros", "text"]
    )
    if what == "cut":
        length = rng.randrange(len(data))
        return f"cut off at byte {length}", data[:length]
    if what in ("bytes", "lengths"):
        changed = bytearray(data)
        for _ in range(rng.choice([1, 2, 8])):
            changed[rng.randrange(len(data))] = (
                rng.choice([0xFF, 0x7F, 0x80]) if what == "lengths" else rng.randrange(256)
            )
        return f"other {what}", bytes(changed)
    if what == "twice":
        return "twice", data + data
    if what == "noise":
        return "noise", rng.randbytes(300)
    if what == "zeros":
        return "zeros", bytes(300)
    if what == "text":
        return "text", b'{"graph": {}}'
    return "empty", b""


@fault("corrupt-onnx", "a corrupt ONNX file for compare", share=50, each=_MANY)
def _corrupt_onnx(trial: Trial) -> None:
    source = trial.project / "write.py"
    source.write_text(_WRITE)
    whole = trial.project / "sound.onnx"
    paths = os.pathsep.join([str(trial.project), os.environ.get("PYTHONPATH", "")])
    written = trial.start(
        [str(whole)], program=[str(source)], environment={"PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
    ).finish(trial.limit)
    trial.record.commands.clear()
    if written.code:
        raise RuntimeError(written.output)
    tasks, words = [], []
    for number in range(_MANY):
        what, data = _spoil(trial.rng, whole.read_bytes())
        path = Path(trial.project / f"spoiled{number}.onnx")
        path.write_bytes(data)
        words.append(f"{path.name}, {what}")
        tasks.append(
            [
                "compare",
                path.name,
                target("sound"),
                "--runtime",
                RUNTIME,
                "--examples",
                "2",
                *trial.limit_words(),
            ]
        )
    for what, result in zip(words, run_batch(trial, tasks), strict=True):
        # Some are still models: of the same values, or of others.
        watch_result(trial, what, result, (0, 1, 2))
