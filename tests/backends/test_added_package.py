"""A package that is installed adds runtimes and an exporter: nothing of diffexport names them."""

import json
import subprocess
import sys

import pytest

#: Each runs the command line in a process of its own.
pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from diffexport.faces.cli import main; main()"]


@pytest.fixture
def run(plugin_environment, tmp_path):
    (tmp_path / "pyproject.toml").write_text("")

    def run(*arguments, command=COMMAND, code=0):
        done = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=tmp_path,
            env=plugin_environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_its_runtime_and_exporter_are_run_in_worker_processes(run, tmp_path):
    modes = ("--modes", "plain-trace", "--modes", "plain-trace,producer=plain,opset=17")
    runtimes = ("--runtime", "numpy-plain", "--runtime", "ort-disabled")
    said = run(
        "run", "single_output", *modes, *runtimes, "--examples", "4", "--jobs", "1", "--json", "report.json"
    )
    report = json.loads((tmp_path / "report.json").read_text())
    rows = {(row["mode"], row["runtime"]): row["verdict"] for row in report["results"]}
    assert rows == {
        (mode, runtime): "agrees"
        for mode in ("plain-trace", "plain-trace,opset=17,producer=plain")
        for runtime in ("ort-disabled", "numpy-plain")
    }
    assert "plain-trace" in said


def test_what_its_runtime_does_wrong_is_stored_replayed_and_shown(run, tmp_path):
    asked = ("--modes", "plain-trace", "--runtime", "numpy-wrong", "--examples", "4", "--jobs", "0")
    said = run("run", "single_output", *asked, "--save", "kept", "--json", "report.json", code=1)
    (found,) = json.loads((tmp_path / "report.json").read_text())["divergences"]
    # Told in the mode that was asked for; that a simpler exporter gives the same is a remark.
    assert (found["mode"], found["runtime"]) == ("plain-trace", "numpy-wrong")
    assert any("dynamo" in remark for remark in found["remarks"])
    assert "of numpy" in said
    (file,) = (tmp_path / "kept").iterdir()
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "mode": "plain-trace"}))
    assert "STILL DIVERGES" in run("replay", file, code=1)
    (tmp_path / "shown.py").write_text(run("show", file))
    said = run("shown.py", command=[sys.executable], code=1)
    assert "DIVERGES" in said


def test_both_are_listed_and_its_modes_are_a_pattern_of_their_own(run):
    listed = run("backends").splitlines()
    assert any(line.split()[:4] == ["numpy-plain", "family", "numpy", "diffexport-plain"] for line in listed)
    assert any(line.split()[0] == "plain-trace" and "diffexport-plain" in line for line in listed)
    modes = run("modes", "plain-*").splitlines()
    assert len(modes) == 8 * 2
    assert "plain-trace,opset=13,producer=plain" in modes
    # What stands for the built-in exporters does not change by what is installed.
    assert not any(mode.startswith("plain") for mode in run("modes", "*,opset=17", "default").splitlines())


def test_a_family_may_be_asked_for(run, tmp_path):
    asked = ("--modes", "plain-trace", "--runtime", "numpy", "--examples", "2", "--jobs", "0", "--no-save")
    run("run", "single_output", *asked, "--json", "report.json", code=1)
    assert json.loads((tmp_path / "report.json").read_text())["runtimes"] == ["numpy-plain", "numpy-wrong"]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("plain-trace,dynamic=true", "does not honour this option"),
        ("plain-trace,producer=me", "'me' is not a value of producer"),
        ("plain-trace,opset=9", "opset=9 is out of the range of 'plain-trace', which exports opset 13 to 20"),
        ("plain-trase", "did you mean 'plain-trace'"),
        ("dynamo,producer=plain", "unknown option 'producer'"),
    ],
)
def test_a_wrong_mode_of_it_is_told(run, mode, message):
    assert message in run("modes", mode, code=2)
