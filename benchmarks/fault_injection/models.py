"""Hostile models among those of the project: each may cost itself, and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fault_injection.observer import Expected, watch_end
from fault_injection.trial import Trial, fault
from fault_injection.victims import CASES, DEEDS, RUNTIME, Hostile, target

#: Hostile models in one run.
_EACH = 2
_CONDITIONS = ("", "", "", "bool((x > 3).any())", "bool(x.isnan().any())")


def _hostile(trial: Trial, deed_name: str, number: int, stage: str | None) -> Hostile:
    """Return a hostile model that is left to chance."""
    rng = trial.rng
    deeds = [deed for deed in DEEDS[deed_name] if stage is None or stage in deed.stages]
    deed = rng.choice(deeds)
    chosen = stage or rng.choice(deed.stages)
    if chosen == "export":
        chosen = rng.choice(["export", "symbolic"])
    condition = rng.choice(_CONDITIONS) if chosen == "eager" else ""
    return Hostile(f"hostile_{number}", deed, chosen, condition, only_first=rng.random() < 0.3)


def _is_noticed(hostile: Hostile) -> bool:
    """Return whether the model cannot pass: one that raises on some inputs only has rejected these."""
    if not hostile.deed.is_noticed:
        return False
    always = not hostile.condition and not hostile.only_first
    return always or hostile.deed.kinds is not None


def _is_refused(hostile: Hostile) -> bool:
    """Return whether a run may refuse the model before anything is tested: a module that raises is wrong use."""
    return hostile.stage == "import" and hostile.deed.is_noticed and hostile.deed.kinds is None


def _expected(
    trial: Trial, hostiles: Sequence[Hostile], reached: Sequence[Hostile], cases: Sequence[str]
) -> Expected:
    """Return what a run over some cases of the project and hostile models must leave."""
    noticed = frozenset(hostile.name for hostile in reached if _is_noticed(hostile))
    expected = replace(
        trial.expected,
        others={hostile.name: hostile.deed.kinds for hostile in hostiles},
        noticed=noticed,
        asked=(*cases, *(hostile.name for hostile in hostiles)),
    )
    if tuple(cases) == CASES:
        return expected
    return replace(expected, findings=frozenset(), codes=frozenset({1, 2} if noticed else {0, 1, 2}))


def _inject(deed_name: str, stage: str | None) -> Callable[[Trial], None]:
    def inject(trial: Trial) -> None:
        hostiles = [_hostile(trial, deed_name, number, stage) for number in range(_EACH)]
        for hostile in hostiles:
            hostile.write(trial.project, trial.folder)
        # In some runs nothing of the project diverges, so that all depends on what is said of the hostile models.
        cases = ("sound",) if trial.rng.random() < 0.3 else CASES
        targets = [target(case) for case in cases]
        # The first model of the project comes first, so that there is something to lose, and the others behind.
        for place, hostile in zip(
            sorted(trial.rng.sample(range(1, len(CASES)), _EACH)), hostiles, strict=True
        ):
            before = target(CASES[place])
            targets.insert(targets.index(before) if before in targets else 0, hostile.target)
        words = trial.run_words(targets, jobs=trial.rng.choice([1, 1, 2]))
        words += (
            ["--memory", "2GiB"] if deed_name == "memory" and "--memory" in trial.undisturbed.options else []
        )
        ended = trial.run(words, trial.patience(imports=2 * _EACH, exports=12 * _EACH, checks=12 * _EACH))
        reached = [hostile for hostile in hostiles if hostile.mark(trial.folder).exists()]
        for hostile in reached:
            trial.injected(hostile.words)
        trial.record.missed += len(hostiles) - len(reached)
        if ended.code == 2 and not trial.report.exists() and any(map(_is_refused, reached)):
            watch_end(trial.record, ended, {2})
            return
        trial.judge(ended, _expected(trial, hostiles, reached, cases))

    return inject


for _deed, _words, _share in (
    ("hang", "never ends", 20),
    ("abort", "aborts", 12),
    ("segfault", "dies of a signal in native code", 12),
    ("exit", "ends its process with an exit code", 12),
):
    for _stage in ("import", "build", "export", "eager"):
        fault(f"{_deed}-{_stage}", f"a model {_words} in {_stage}", share=_share, each=_EACH)(
            _inject(_deed, _stage)
        )
for _deed, _words, _share in (
    ("raise", "raises what is no ordinary error", 24),
    ("fork", "forks, and the copy comes back", 30),
    ("memory", "allocates more than there is", 16),
    ("folder", "changes the working directory or the umask", 16),
    ("environment", "changes environment, path, signals or limits", 20),
    ("defaults", "changes torch's and numpy's global settings", 24),
    ("patches", "replaces functions of torch, numpy and Python", 30),
    ("descriptors", "closes or overwrites file descriptors", 20),
    ("noise", "prints, logs and warns by the megabyte", 14),
    ("threads", "leaves threads, timers and exit handlers behind", 16),
):
    fault(_deed, f"a model {_words}, in import, build, export or eager", share=_share, each=_EACH)(
        _inject(_deed, None)
    )

_ENDLESS = """\
import sys
import numpy as np
from onnx import TensorProto, helper as h, save

steps = int(sys.argv[1])
body = h.make_graph(
    [h.make_node("Identity", ["c"], ["c_"]), h.make_node("Add", ["v", "one"], ["v_"])],
    "body",
    [
        h.make_tensor_value_info("i", TensorProto.INT64, []),
        h.make_tensor_value_info("c", TensorProto.BOOL, []),
        h.make_tensor_value_info("v", TensorProto.FLOAT, [2]),
    ],
    [h.make_tensor_value_info("c_", TensorProto.BOOL, []), h.make_tensor_value_info("v_", TensorProto.FLOAT, [2])],
)
graph = h.make_graph(
    [h.make_node("Loop", ["steps", "go", "x"], ["y"], body=body)],
    "endless",
    [h.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
    [h.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    [
        h.make_tensor("steps", TensorProto.INT64, [], [steps]),
        h.make_tensor("go", TensorProto.BOOL, [], [True]),
        h.make_tensor("one", TensorProto.FLOAT, [2], [1.0, 1.0]),
    ],
)
save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), "endless.onnx")
"""


@fault("hang-runtime", "an ONNX file whose Loop has no end, in compare", share=12)
def _hang_runtime(trial: Trial) -> None:
    runtime = trial.rng.choice([RUNTIME, RUNTIME, "reference", "ort-all"])
    (trial.project / "endless.py").write_text(_ENDLESS)
    written = trial.start([str(2**62)], program=["endless.py"]).finish(trial.limit)
    if written.code:
        raise RuntimeError(written.output)
    words = ["compare", "endless.onnx", target("sound"), "--runtime", runtime, "--examples", "3"]
    ended = trial.run([*words, "--json", str(trial.report), *trial.limit_words()], trial.patience(checks=16))
    trial.injected(f"a Loop without end on {runtime}")
    watch_end(trial.record, ended, {1, 2})
