"""The command line: what answers at once, what a run says, and what the report holds."""

import json
import shlex
import subprocess
import sys

import pytest

from diffexport.config import PROFILES
from diffexport.subjects import catalogue
from diffexport.values.mode import Mode


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["--version"], ["list"], ["modes"]], ids=" ".join
)
def test_answers_without_importing_torch(project, arguments):
    script = (
        "import sys\n"
        "from diffexport.faces.cli import main\n"
        f"sys.argv = ['diffexport', *{arguments!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as left:\n    assert not left.code, left.code\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'hypothesis'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.strip()


def test_modes_are_counted(cli):
    ran = cli("modes", "--count", "full", code=0)
    counts = dict(line.split() for line in ran.out.splitlines())
    assert counts == {"dynamo": "104", "dynamo-strict": "104", "torchscript": "7680", "together": "7888"}


def test_modes_are_listed_in_the_form_that_parses_back(cli):
    lines = cli("modes", code=0).out.splitlines()
    assert [str(Mode.parse(line)) for line in lines] == lines
    assert len(set(lines)) == len(lines)
    assert {"dynamo", "dynamo-strict", "torchscript"} <= set(lines)
    ran = cli("modes", "dynamo,opset=13..14,optimize=false,dynamic=false", "torchscript", code=0)
    keep = "keep_initializers_as_inputs=true"
    assert set(ran.out.splitlines()) == {
        "dynamo,opset=14,optimize=false",
        "dynamo,opset=13,optimize=false",
        f"dynamo,opset=14,{keep},optimize=false",
        f"dynamo,opset=13,{keep},optimize=false",
        "torchscript",
    }


def test_options_are_shown_with_their_values(cli):
    out = cli("modes", "--options", code=0).out
    assert "operator_export_type = ONNX, ONNX_ATEN_FALLBACK, ONNX_FALLTHROUGH, ONNX_ATEN" in out
    assert "autograd_inlining = true, false" in out


def test_cases_are_listed(cli):
    lines = cli("list", code=0).out.splitlines()
    assert [line.split()[0] for line in lines] == list(catalogue.ENTRIES)
    assert "float32[..., >=3]" in next(line for line in lines if line.startswith("partial_output"))


def test_a_catalogue_run_and_its_report(check):
    ran = check("clamp", "--seed", "3", "--examples", "12", code=0)
    assert "known clip-without-max-saturates: met in 1 (mode, runtime) pair" in ran.out
    assert "1 known" in ran.out
    assert ran.out.rstrip().endswith("all as expected")
    assert not ran.files
    report = ran.report
    assert (report["diffexport"], report["version"], report["exit_code"]) == ("report", 1, 0)
    assert {"python", "diffexport", "torch", "onnx", "onnxruntime", "hypothesis"} <= report["versions"].keys()
    assert (report["profile"], report["seed"], report["strict"]) == ("dev", 3, False)
    assert (report["cases"], report["runtimes"]) == (["clamp"], ["ort-disabled"])
    assert report["interrupted"] is False
    (result,) = report["results"]
    assert (result["case"], result["mode"], result["runtime"]) == ("clamp", "torchscript", "ort-disabled")
    assert (result["verdict"], result["stage"], result["kind"]) == ("known", "compare", "infinity")
    assert result["examples"] == 12
    assert 12 * 8 < result["checks"] <= 12 * PROFILES["dev"].largest
    assert result["seconds"] > 0
    assert result["known"]["clip-without-max-saturates"] >= 1
    assert report["divergences"] == []
    (known,) = report["known"]
    assert (known["id"], known["status"]) == ("clip-without-max-saturates", "diverges")


def test_a_divergence_in_the_report(check, project):
    ran = check("models.py:SwappedOutputs", code=1)
    (found,) = ran.divergences
    zero = {"dtype": "float32", "shape": [], "strides": [], "reads": "0", "values": ["0x0p+0"]}
    one = {**zero, "reads": "1", "values": ["0x1p+0"]}
    assert found["inputs"] == [zero]
    assert found["eager"] == [one, zero]
    assert found["got"] == [zero, one]
    assert (found["case"], found["target"]) == ("SwappedOutputs", "models.py:SwappedOutputs")
    assert (found["stage"], found["kind"], found["severity"]) == ("compare", "structure", "failure")
    assert [found["id"]] == [name.split("--")[-1].split(".")[0] for name in ran.files]
    assert found["regression"] == str(project / "found" / ran.files[0])
    assert found["reproduce"] == f"diffexport replay found/{ran.files[0]}"
    (result,) = ran.report["results"]
    assert (result["verdict"], result["stage"], result["kind"]) == ("diverges", "compare", "structure")
    assert result["diverging"] >= 1
    stored = json.loads((project / "found" / ran.files[0]).read_text())
    assert stored["inputs"] == [zero]


def test_an_expected_refusal_is_no_finding(check):
    refusing = ("--modes", "torchscript,autograd_inlining=false", "--runtime", "ort-disabled", "--jobs", "0")
    ran = check("single_output", cheap=refusing, code=0)
    assert [r["verdict"] for r in ran.report["results"]] == ["refused"]
    assert "1 refused" in ran.out


def test_fail_fast_stops_at_the_first(check):
    ran = check("models.py:AddForSubtract", "clamp", "--fail-fast", code=1)
    assert len(ran.divergences) == len(ran.files) == 1
    assert "stopped at the first new divergence (--fail-fast)" in ran.out
    assert all(result["case"] == "AddForSubtract" for result in ran.report["results"])


@pytest.mark.parametrize(
    ("target", "mode", "kinds"),
    [
        # Of what has a `symbolic`, the exporter leaves that in its registry.
        ("models.py:PositiveZero", "torchscript", ["sign-of-zero", "stale-globals"]),
        ("clamp", "torchscript,opset=9", ["stale-globals"]),
    ],
)
def test_strict_turns_notes_into_findings(check, cli, target, mode, kinds):
    cheap = ("--modes", mode, "--runtime", "ort-disabled", "--jobs", "0")
    lenient = check(target, cheap=cheap, code=0)
    for kind in kinds:
        assert f"note {kind}: met in 1 (mode, runtime) pair; --strict makes it fail" in lenient.out
        assert lenient.report["results"][0]["notes"][kind] >= 1
    assert not lenient.files
    strict = check(target, "--strict", cheap=cheap, code=1)
    assert sorted(d["kind"] for d in strict.divergences) == kinds
    assert strict.report["strict"] is True
    # What only a strict run finds is replayed for what it is.
    assert "STILL DIVERGES" in cli("replay", "found", code=1).out


@pytest.mark.parametrize("inputs", [(), ("--input", "float32[2]")], ids=["own inputs", "given inputs"])
def test_the_line_that_reproduces_a_finding_does(cli, project, inputs):
    model = f"models.py:{'SwappedOutputs' if inputs else 'PositiveZero'}"
    if not inputs:
        inputs = ("--strict",)
    ran = cli(
        "run", model, *inputs, "--modes", "torchscript", "--runtime", "ort-disabled", "-j0", "--no-save"
    )
    assert ran.code == 1
    line = next(line.split(maxsplit=1)[1] for line in ran.out.splitlines() if "  reproduce " in line)
    command, *arguments = shlex.split(line)
    assert command == "diffexport"
    assert not list(project.glob("tests"))
    again = cli(*arguments, "-j0", "--no-save", code=1)
    assert [x for x in again.out.splitlines() if "minimal input" in x] == [
        x for x in ran.out.splitlines() if "minimal input" in x
    ]


def test_models_of_one_name_are_told_apart(check, project):
    """Each of two models that share a name is tested, though the first one agrees."""
    (project / "agrees.py").write_text("from models import Increment as Twin\n")
    (project / "diverges.py").write_text("from models import SwappedOutputs as Twin\n")
    ran = check("agrees.py:Twin", "diverges.py:Twin", code=1)
    assert [found["target"] for found in ran.divergences] == ["diverges.py:Twin"]


def test_show_prints_a_script_for_a_model_of_ones_own(check, cli, project):
    ran = check("models.py:SwappedOutputs", code=1)
    script = cli("show", f"found/{ran.files[0]}", code=0).out
    assert "diffexport" not in "\n".join(x for x in script.splitlines() if not x.startswith("#"))
    (project / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1].startswith("DIVERGES: the number or order of the outputs differs")
