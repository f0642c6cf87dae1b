"""What one would do by hand: export a model, load it into each runtime, compare once. diffexport is not imported.

    python plain_exports.py PLAN.json OUT.json [verify|diagnostic]

A process of its own for each model, started by real_models.py, which wrote the plan: where the factory is, the inputs,
and for each mode the definition of ``export(model, args)``. With a third argument it is done the way of a peer:
``verify`` is ``torch.onnx.export(verify=True, report=True)``, ``diagnostic`` the comparison of onnx-diagnostic.
"""

import importlib.util
import io
import json
import logging
import os
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path

LEVELS = {
    "ort-disabled": "ORT_DISABLE_ALL",
    "ort-basic": "ORT_ENABLE_BASIC",
    "ort-extended": "ORT_ENABLE_EXTENDED",
    "ort-layout": "ORT_ENABLE_LAYOUT",
    "ort-all": "ORT_ENABLE_ALL",
}


def main():
    started = time.monotonic()
    plan = json.loads(Path(sys.argv[1]).read_text())
    import numpy as np
    import torch

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(plan["threads"])
    with np.load(plan["inputs"]) as stored:
        args = tuple(torch.from_numpy(stored[f"x{number}"]) for number in range(len(stored.files)))
    model = factory(Path(plan["file"]), plan["attribute"])()
    with torch.no_grad():
        found = model(*args)
    eager = [tensor.numpy() for tensor in (found if isinstance(found, tuple) else (found,))]
    feeds = [tensor.numpy() for tensor in args]
    way = PEERS[sys.argv[3]] if len(sys.argv) > 3 else plain
    results = []
    for mode in plan["modes"]:
        begun = time.monotonic()
        try:
            outcomes = way(mode, model, args, feeds, eager, plan["runtimes"])
        except Exception as error:  # noqa: BLE001 - whatever the exporter raises is its refusal
            text = (
                f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            )
            outcomes = dict.fromkeys(plan["runtimes"], f"refused: {text[:200]}")
        results.append({"mode": mode["mode"], "seconds": time.monotonic() - begun, "outcomes": outcomes})
    document = {"seconds": time.monotonic() - started, "modes": results}
    Path(sys.argv[2]).write_text(json.dumps(document))


def factory(file, attribute):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return getattr(module, attribute)


def plain(mode, model, args, feeds, eager, runtimes):
    import onnx
    import torch

    scope = {"torch": torch, "onnx": onnx, "io": io, "os": os, "tempfile": tempfile}
    exec(mode["export"], scope)
    written = scope["export"](model, args)
    return {runtime: one_runtime(runtime, written, feeds, eager) for runtime in runtimes}


def one_runtime(runtime, written, feeds, eager):
    """Load, run and compare once."""
    try:
        return compared(run(runtime, written, feeds), eager)
    except Exception as error:  # noqa: BLE001 - runtimes raise their own
        return f"error: {type(error).__name__}: {str(error)[:200]}"


def run(runtime, written, feeds):
    import onnx

    if runtime == "reference":
        from onnx.reference import ReferenceEvaluator

        model = onnx.load_model_from_string(written)
        names = [value.name for value in model.graph.input]
        return ReferenceEvaluator(model).run(None, dict(zip(names, feeds, strict=False)))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[runtime])
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(written, options)
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, feeds, strict=False)))


def compared(outputs, eager):
    import numpy as np

    if [(array.shape, array.dtype) for array in outputs] != [(array.shape, array.dtype) for array in eager]:
        return "differs: shapes or dtypes"
    for one, other in zip(outputs, eager, strict=True):
        if not np.allclose(one, other, rtol=1.3e-6, atol=1e-5, equal_nan=True):
            return "differs"
    return "agrees"


def verify(mode, model, args, _feeds, _eager, runtimes):
    """Export with torch's own verification and its report: one input, one tolerance."""
    import torch

    if mode["mode"] != "dynamo":
        return dict.fromkeys(runtimes, "not offered")
    with tempfile.TemporaryDirectory() as folder:
        torch.onnx.export(
            model, args, dynamo=True, verbose=False, verify=True, report=True, artifacts_dir=folder
        )
        text = "".join(file.read_text() for file in Path(folder).glob("*.md"))
    differences = re.findall(r"max_(abs|rel)_diff=([^`]+)`", text)
    if not differences:
        return dict.fromkeys(runtimes, "error: the report has no verification")
    # The limits that torch warns from.
    differs = any(float(value) >= (5e-3 if kind == "abs" else 1e-1) for kind, value in differences)
    return dict.fromkeys(runtimes, "differs" if differs else "agrees")


def diagnostic(mode, model, args, feeds, eager, runtimes):
    """Export as above, run on ONNX Runtime, and compare by onnx-diagnostic's max_diff."""
    import onnx
    import torch
    from onnx_diagnostic.helpers import max_diff

    scope = {"torch": torch, "onnx": onnx, "io": io, "os": os, "tempfile": tempfile}
    exec(mode["export"], scope)
    outputs = run("ort-all", scope["export"](model, args), feeds)
    difference = max_diff(tuple(map(torch.from_numpy, eager)), tuple(map(torch.from_numpy, outputs)))
    return dict.fromkeys(
        runtimes, "agrees" if difference["abs"] < 1e-4 else f"differs: {difference['abs']:.3g}"
    )


PEERS = {"verify": verify, "diagnostic": diagnostic}

if __name__ == "__main__":
    main()
