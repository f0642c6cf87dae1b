"""Models with keywords, nested containers, one tensor twice and Python numbers, from the strategy to the script."""

import json
import subprocess
import sys

import pytest

MODELS = """
import torch
from hypothesis import strategies as st
from diffexport import Call, make_case


class Weighted(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        return a - 2 * b

    @staticmethod
    def symbolic(g, a, b):
        return g.op({op!r}, a, g.op("Mul", b, g.op("Constant", value_t=torch.tensor(2.0))))


class Net(torch.nn.Module):
    def forward(self, a, b=None, options=None, kind="plain", scale=1.0):
        out = Weighted.apply(a, b) * scale + options["bias"][0]
        return {{"out": out if kind == "plain" else -out, "rest": [None, out + a]}}


@st.composite
def calls(draw):
    values = st.sampled_from([0.0, 1.0, 2.0, -3.0])
    a = torch.tensor([draw(values), 1.0]){grad}
    b = a if draw(st.booleans()) else torch.tensor([7.0, draw(values), 3.0])[1:]
    bias = [torch.tensor([draw(values)])]
    keywords = dict(scale=draw(st.sampled_from([2, 0.5])), options={{"bias": bias, "flag": None}}, b=b)
    return Call((a,), keywords)


case = make_case("calls{name}", Net, strategy=calls())
"""


def write(project, name, op, grad=""):
    (project / f"calls{name}.py").write_text(MODELS.format(name=name, op=op, grad=grad))
    return f"calls{name}.py:case"


@pytest.mark.parametrize(
    "mode", ["torchscript", "torchscript,dynamic=true", "dynamo", "dynamo,dynamic=true", "dynamo-strict"]
)
def test_calls_agree(project, mode):
    from diffexport.faces.api.checking import check
    from diffexport.subjects.targets import resolving as target

    case = target.resolve(write(project, f"agree{mode.count('t')}{mode.count(',')}{len(mode)}", "Sub"))
    result = check(case, modes=[mode], runtimes=["ort-disabled"], examples=3)
    assert result.ok, str(result)
    (finished,) = result.modes
    assert [(row.verdict, row.rejected) for row in finished.rows] == [("agrees", 0)]
    assert finished.rows[0].checks >= 3


def test_a_wrong_symbolic_is_found_stored_replayed_and_shown(check, cli, project):
    ran = check(write(project, "wrong", "Add", grad=".requires_grad_()"), code=1)
    found = next(d for d in ran.divergences if d["where"] == "output[0]")
    assert (found["stage"], found["kind"]) == ("compare", "value")
    assert list(found["kwargs"]) == ["scale", "options", "b"]
    assert found["kwargs"]["options"]["items"]["bias"]["items"][0]["values"] == ["0x0p+0"]
    assert found["inputs"][0]["requires_grad"] is True
    assert "requires_grad, scale=" in ran.out
    file = project / "found" / next(name for name in ran.files if "output-0" in name)
    document = json.loads(file.read_text())
    assert list(document["kwargs"]) == list(document["export_kwargs"]) == ["scale", "options", "b"]
    b = document["kwargs"]["b"]
    assert b.get("same_as") == 0 or b["offset"] == 1
    assert "STILL DIVERGES" in cli("replay", file, code=1).out
    script = cli("show", file, code=0).out
    assert 'constants = {"constant3": ' in script or 'constants = {"constant4": ' in script
    assert "kwargs=kwargs" in script
    assert max(map(len, script.splitlines())) <= 110
    alone = project / "alone.py"
    alone.write_text(script)
    shown = subprocess.run(
        [sys.executable, alone.name], cwd=project, capture_output=True, text=True, check=False, timeout=120
    )
    assert shown.returncode == 1, shown.stderr
    assert "DIVERGES: finite values differ by more than rounding explains" in shown.stdout
    # Once the symbolic is right, the file passes and its script agrees.
    write(project, "wrong", "Sub", grad=".requires_grad_()")
    alone.write_text(script.replace('g.op("Add"', 'g.op("Sub"').replace("g.op('Add'", "g.op('Sub'"))
    shown = subprocess.run(
        [sys.executable, alone.name], cwd=project, capture_output=True, text=True, check=False, timeout=120
    )
    assert (shown.returncode, shown.stdout.splitlines()[-1:]) == (0, ["agrees"]), shown.stderr


def test_workers_send_tensors_back(check, project):
    cheap = ("--modes", "torchscript", "--runtime", "ort-disabled", "--jobs", "1")
    ran = check(write(project, "sent", "Add", grad=".requires_grad_()"), code=1, cheap=cheap)
    assert ran.divergences[0]["inputs"][0]["requires_grad"] is True
    assert len(ran.files) == len(ran.divergences)
