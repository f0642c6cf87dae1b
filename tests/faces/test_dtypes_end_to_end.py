"""bfloat16 and complex64 from the command line to the stored file, its replay and its script."""

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import strategies as st

from diffexport.arrays.inputs import arrays_of
from diffexport.subjects.cases.case import make_case
from diffexport.subjects.targets import resolving as target

SOURCE = '''
import torch
from torch.autograd import Function


class Opposite(Function):
    @staticmethod
    def forward(ctx, x):
        return -x

    @staticmethod
    def symbolic(g, x):
        return g.op("Identity", x)


class Kept(torch.nn.Module):
    """Exported without its minus: with an operator that ONNX Runtime has for bfloat16."""

    def forward(self, x):
        return Opposite.apply(x)


class Turned(torch.nn.Module):
    """The export forgets that the imaginary part changes its sign."""

    def forward(self, x):
        return x * 1 if torch.compiler.is_exporting() else x.conj() * 1


class Twice(torch.nn.Module):
    def forward(self, x):
        return x * 2
'''


@pytest.fixture
def sourced(project):
    (project / "dtyped.py").write_text(SOURCE)
    return project


def only(ran, kind):
    (found,) = [entry for entry in ran.report["divergences"] if entry["kind"] == kind]
    return found


def shows(cli, project, found):
    """Replay the stored file, and run the script that it is shown as."""
    assert "1 STILL DIVERGES" in cli("replay", found["regression"]).out
    script = project / "script.py"
    script.write_text(cli("show", found["regression"], code=0).out)
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=120)
    assert (said.returncode, "DIVERGES: " in said.stdout) == (1, True), said.stderr


def test_bfloat16_from_the_command_to_the_script(check, cli, sourced):
    ran = check("dtyped.py:Kept", "--input", "bfloat16[N]", code=1)
    found = only(ran, "value")
    assert (found["runtime"], found["signature"]) == ("ort-disabled", "finite→finite")
    (tensor,) = found["inputs"]
    assert (tensor["dtype"], tensor["values"], tensor["reads"]) == ("bfloat16", ["0x1p+0"], "[1]")
    assert "minimal input   [1] bfloat16[1]" in ran.out
    assert "ulp apart" in ran.out
    shows(cli, sourced, found)


def test_complex_from_the_command_to_the_script(check, cli, sourced):
    cheap = ("--modes", "dynamo", "--runtime", "ort-disabled", "--jobs", "0", "--examples", "4")
    ran = check("dtyped.py:Turned", "--input", "complex64[2]", code=1, cheap=cheap)
    found = only(ran, "value")
    assert found["where"] == "output[0].imag"
    (tensor,) = found["inputs"]
    # One element has an imaginary part of 1, all else is 0.
    assert sorted(tensor["values"]) == [["0x0p+0", "0x0p+0"], ["0x0p+0", "0x1p+0"]]
    assert tensor["reads"] in ("[0+0j, 0+1j]", "[0+1j, 0+0j]")
    assert f"minimal input   {tensor['reads']} complex64[2]" in ran.out
    assert json.loads((sourced / found["regression"]).read_text())["inputs"][0]["values"] == tensor["values"]
    shows(cli, sourced, found)


def test_a_missing_kernel_is_a_load_error_and_the_reference_evaluator_still_compares(check, sourced):
    cheap = ("--modes", "torchscript", "--runtime", "ort-disabled", "--runtime", "reference", "--jobs", "0")
    ran = check("dtyped.py:Twice", "--input", "bfloat16[N]", code=1, cheap=cheap)
    (found,) = ran.report["divergences"]
    assert (found["kind"], found["stage"]) == ("load-error", "load")
    assert "NOT_IMPLEMENTED" in found["message"]
    verdicts = {row["runtime"]: row["verdict"] for row in ran.report["results"]}
    assert verdicts == {"ort-disabled": "diverges", "reference": "agrees"}
    alone = ("--modes", "torchscript", "--runtime", "reference", "--jobs", "0")
    assert check("dtyped.py:Twice", "--input", "bfloat16[N]", code=0, cheap=alone).report["divergences"] == []


def test_a_strategy_may_draw_tensors_of_bfloat16_and_complex(explore, sourced):
    drawn = torch.tensor([1, -2], dtype=torch.bfloat16), torch.tensor([1 + 2j]).conj()
    arrays = arrays_of(drawn)
    assert [array.dtype.name for array in arrays] == ["bfloat16", "complex64"]
    assert [array.tolist() for array in arrays] == [[1, -2], [1 - 2j]]
    model = target.resolve("dtyped.py:Kept").build
    case = make_case("kept", model, strategy=st.just((drawn[0],)))
    (finding,), _ = explore(case, "torchscript")
    assert finding.divergence.kind == "value"
    assert [array.dtype.name for array in (*finding.inputs, *finding.eager)] == ["bfloat16"] * 2
