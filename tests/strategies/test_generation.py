"""Planted bugs that only directed generation meets: at a constant of the graph, in a layout, under one example."""

import numpy as np
import pytest
import torch

from diffexport import Pipeline, make_case
from diffexport.backends.graphs.inspection import inspect_graph
from diffexport.explore.drawing import Drawing
from diffexport.explore.explorer import Explorer
from diffexport.explore.export_examples import export_shapes
from diffexport.explore.settings import Settings
from diffexport.findings.events.events import FindingMade
from diffexport.values.mode import Mode


class Threshold(torch.autograd.Function):
    """Forward compares with >=, the symbolic with >: they differ at one value of four thousand million."""

    @staticmethod
    def forward(ctx, x):
        return (x >= 6.28125).to(x.dtype)

    @staticmethod
    def symbolic(g, x):
        limit = g.op("Constant", value_t=torch.tensor(6.28125))
        return g.op("Cast", g.op("Greater", x, limit), to_i=1)


class Thresholded(torch.nn.Module):
    def forward(self, x):
        return Threshold.apply(x)


def found(case, *modes, **settings):
    explorer = Explorer(case, ["ort-disabled"], Settings(**settings), pipeline=Pipeline())
    events = explorer.explore([Mode.parse(text) for text in modes])
    return [event.finding for event in events if isinstance(event, FindingMade)]


def test_a_bug_at_a_threshold_is_met_because_the_graph_says_where():
    case = make_case("threshold", Thresholded, inputs=["float32[...]"])
    (finding,) = found(case, "torchscript", examples=30)
    assert [array.tolist() for array in finding.inputs] == [6.28125]


def test_constants_of_a_graph_are_thresholds_not_axes():
    pipeline = Pipeline()
    case = make_case("threshold", Thresholded, inputs=["float32[...]"])
    args = (np.ones(3, dtype=np.float32),)
    exported = pipeline.export(case, Mode("torchscript"), args)
    assert exported.graph.constants == (6.28125,)
    hard = make_case("hard", lambda: torch.nn.Hardswish(), inputs=["float32[...]"])
    model = pipeline.export(hard, Mode("torchscript", opset=13), args).export.model
    assert {-3.0, 3.0} <= set(inspect_graph(model, 13).constants)


class Strided(torch.nn.Module):
    """Looks at its input's memory, which no exported model can."""

    def forward(self, x):
        return x + float(x.stride(-1) != 1 and x.numel() > 1 and not torch.jit.is_tracing())


def test_a_layout_that_matters_is_kept_in_the_finding():
    case = make_case("strided", Strided, inputs=["float32[4, 4]"])
    findings = found(case, "torchscript", examples=40)
    assert findings
    for finding in findings:
        (value,) = finding.inputs
        steps = value.strides if isinstance(value, np.ndarray) else value.stride()
        item = value.itemsize if isinstance(value, np.ndarray) else 1
        assert steps[-1] // item != 1


class Baked(torch.nn.Module):
    """Bakes in whether its example was negative."""

    def forward(self, x):
        return x * 2 if bool((x < 0).all()) and x.numel() else x * 2 + 0


class BakedWrongly(torch.nn.Module):
    def forward(self, x):
        return x - 1 if torch.jit.is_tracing() and bool((x < 0).all()) and x.numel() else x + 1


def test_what_an_unusual_example_bakes_in_is_found():
    good = make_case("baked", Baked, inputs=["float32[3]"])
    assert not [f for f in found(good, "torchscript", examples=40) if f.divergence.stage == "compare"]
    bad = make_case("baked-wrongly", BakedWrongly, inputs=["float32[3]"])
    findings = [f for f in found(bad, "torchscript", examples=250) if f.divergence.stage == "compare"]
    assert findings
    assert all((np.asarray(finding.export_inputs[0]) < 0).all() for finding in findings)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int32", "bool"])
def test_a_case_of_any_dtype_is_explored(dtype):
    case = make_case("same", lambda: torch.nn.Identity(), inputs=[f"{dtype}[N]"])
    assert not [
        f for f in found(case, "torchscript", "torchscript,dynamic=true") if f.divergence.stage == "compare"
    ]


def test_bounds_keep_indices_in_range():
    class Picks(torch.nn.Module):
        def forward(self, x, index):
            return x[index]

    case = make_case("picks", Picks, inputs=["float32[4]", "int64[N] in -4..3"])
    explorer = Explorer(case, ["ort-disabled"], Settings(examples=30), pipeline=Pipeline())
    events = explorer.explore([Mode("torchscript", dynamic=True)])
    rows = [row for event in events if type(event).__name__ == "ModeFinished" for row in event.rows]
    assert [(row.verdict, row.rejected) for row in rows] == [("agrees", 0)]
    assert rows[0].checks > 100


class NeedsRows(torch.nn.Module):
    def forward(self, x):
        return x.amax(0) + 1


def test_a_mode_that_would_be_exported_only_where_the_model_raises_is_exported_at_an_ordinary_shape():
    case, pipeline = (
        make_case("rows", NeedsRows, inputs=["float32[*, 2, >=1]"], traits=(), empty_examples=True),
        Pipeline(),
    )
    drawing = Drawing(case, pipeline, 8)
    modes = [
        Mode("dynamo", opset=opset, optimize=optimize)
        for opset in range(13, 24)
        for optimize in (True, False)
    ]
    chosen = {mode: shapes for mode in modes if len(shapes := export_shapes(case.specs, mode)) == 1}
    # Or there would be nothing to see here.
    assert any(0 in shapes[0][0] for shapes in chosen.values())
    for mode, shapes in chosen.items():
        drawn = drawing.export_shapes(mode)
        assert all(0 not in shape for joint in drawn for shape in joint)
        assert drawn == shapes or 0 in shapes[0][0]


def test_a_model_that_raises_at_ordinary_shapes_too_keeps_its_own():
    class Raises(torch.nn.Module):
        def forward(self, x):
            raise ValueError("no")

    case = make_case("raises", Raises, inputs=["float32[*, 2]"], traits=(), empty_examples=True)
    mode = Mode("dynamo", opset=14, optimize=False)
    assert Drawing(case, Pipeline(), 8).export_shapes(mode) == export_shapes(case.specs, mode)
