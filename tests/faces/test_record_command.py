"""``diffexport record``: what a command of the user's calls becomes inputs for run and scan."""

import json
import sys

import pytest

SCRIPT = """
import sys
import torch

class Options:
    def __init__(self, scale):
        self.scale, self.ways = scale, {"k": (1, 2.5)}

LIMITS = [object()]

class Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, options, x, weight, index, eps, mode, flag, size, extra):
        if mode not in ("sum", "mean") or not flag or extra is not None:
            raise ValueError("odd")
        return (x @ weight) * options.scale + eps + torch.nn.functional.embedding(index, weight) * size[0]

    @staticmethod
    def backward(ctx, grad):
        return (None,) * 9

    @staticmethod
    def symbolic(g, options, x, weight, index, eps, mode, flag, size, extra):
        return g.op("MatMul", x, weight)

class Odd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, stream):
        return x + 1

class Named(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, limits):
        return x + 1

class Scaled(torch.nn.Module):
    def __init__(self, size, factor=2.0):
        super().__init__()
        self.layer, self.factor = torch.nn.Linear(size, size), factor

    def forward(self, x, mask=None, by=None):
        y = self.layer(x) * self.factor
        return y if by is None else y * by

def main():
    options, scaled = Options(2.0), Scaled(3, factor=1.5)
    for n in (1, 2, 5):
        mode = "mean" if n == 2 else "sum"
        Fused.apply(options, torch.rand(n, 4), torch.randn(4, 4), torch.arange(n) % 4, 1e-5, mode, True, (2, 3), None)
        scaled(torch.randn(n, 3), by=torch.randn(n, 3))
        scaled(torch.randn(2, n, 3), by=torch.randn(2, n, 3))
    Odd.apply(torch.ones(2), iter([1]))
    Named.apply(torch.ones(2).t(), LIMITS)
    print("ran", sys.argv[1:])

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def script(project):
    (project / "work.py").write_text(SCRIPT)
    return project / "work.py"


def recorded(project, name="diffexport-recorded.json"):
    return {one["target"]: one for one in json.loads((project / name).read_text())["targets"]}


def test_calls_of_a_script_are_generalised_over(cli, project, script):
    ran = cli("record", "--module", "work.py:Scaled", "--", sys.executable, "work.py", "--flag", code=0)
    assert "3 of 4 targets can be called again" in ran.out
    targets = recorded(project)
    fused = targets["work.py:Fused"]
    assert fused["calls"] == 3
    assert fused["inputs"] == [
        "just(instance(work.Options, scale=2.0, ways={'k': (1, 2.5)}))",
        "float32[N>=1, 4] in 0..1",
        "float32[4, 4]",
        "int64[N>=1] in 0..3",
        "just(1e-05)",
        "sampled_from(['sum', 'mean'])",
        "just(True)",
        "just((2, 3))",
        "none()",
    ]
    assert fused["names"][:2] == ["options", "x"]
    assert "argument 1 is a list_iterator" in targets["work.py:Odd"]["problem"]
    assert targets["work.py:Named"]["inputs"][1] == "just(work.LIMITS)"
    assert "one call was seen" in targets["work.py:Named"]["notes"][0]
    scaled = targets["work.py:Scaled(size=3, factor=1.5)"]
    assert scaled["calls"] == 6
    assert scaled["inputs"] == ["float32[...B, N>=1, 3]", "none()", "float32[...B, N>=1, 3]"]


@pytest.mark.slow
def test_the_command_is_left_as_it_is(project, script, launch):
    """Its output, its arguments, its exit code and its path are its own, and so is a sitecustomize that it has."""
    (project / "site").mkdir()
    (project / "site" / "sitecustomize.py").write_text("import builtins\nbuiltins.customised = 1\n")
    (project / "path.py").write_text(
        "import os, sys\nours = [p for p in sys.path if 'diffexport-record' in p]\n"
        "print('customised', customised, ours, sys.argv[1:])\n"
        "import torch\nprint(torch.autograd.Function.apply.__doc__ is not None)\nsys.exit(7)\n"
    )
    (project / "start.py").write_text(
        f"import os, subprocess, sys\nos.environ['PYTHONPATH'] += os.pathsep + {str(project / 'site')!r}\n"
        "sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
    )
    ran = launch("record", "--", sys.executable, "start.py", "path.py", "--x").process
    out, _ = ran.communicate(timeout=120)
    text = out if isinstance(out, str) else out.decode()
    assert "customised 1 [] ['--x']" in text
    assert ran.returncode == 2


@pytest.mark.slow
def test_the_run_on_recorded_calls_finds_what_is_planted_and_the_finding_is_replayed(
    cli, check, project, script
):
    cli("record", "--", sys.executable, "work.py", code=0)
    ran = check(
        "work.py:Fused", "--recorded", "diffexport-recorded.json", "--examples", "3", "--fail-fast", code=1
    )
    assert "work.py:Fused: inputs as in 3 recorded calls" in ran.out
    assert {one["kind"] for one in ran.report["divergences"]} & {"value", "nan-placement", "infinity"}
    assert "STILL DIVERGES" in cli("replay", "found", code=1).out


@pytest.mark.slow
def test_a_file_of_recorded_calls_is_configured(cli, project, script):
    (project / "pyproject.toml").write_text('[tool.diffexport]\nrecorded = "kept/calls.json"\n')
    (project / "kept").mkdir()
    cli("record", "--", sys.executable, "work.py", code=0)
    assert "work.py:Fused" in recorded(project, "kept/calls.json")
    ran = cli(
        "run", "work.py:Named", "--modes", "torchscript", "--runtime", "ort-disabled", "--jobs", "0", code=0
    )
    assert "inputs as in 1 recorded call" in ran.out


def test_a_check_in_python_takes_what_is_configured(cli, project, script, monkeypatch):
    from diffexport import check

    (project / "pyproject.toml").write_text('[tool.diffexport]\nrecorded = "calls.json"\n')
    cli("record", "--out", "calls.json", "--", sys.executable, "work.py", code=0)
    monkeypatch.syspath_prepend(project)
    import work

    result = check(work.Named, modes="torchscript", runtimes="ort-disabled", examples=2, save=None)
    assert result.ok, result
    assert "work.Named" not in str(result.error)
    monkeypatch.delitem(sys.modules, "work")


@pytest.mark.slow
def test_a_target_with_the_arguments_of_its_class_is_built_so(cli, project, script):
    cli("record", "--module", "work.py:*", "--", sys.executable, "work.py", code=0)
    options = (
        "--recorded",
        "diffexport-recorded.json",
        "--modes",
        "torchscript",
        "--jobs",
        "0",
        "--examples",
        "2",
    )
    ran = cli("run", "work.py:Scaled(size=3, factor=1.5)", *options, "--runtime", "ort-disabled", code=0)
    assert "inputs as in 6 recorded calls" in ran.out


@pytest.mark.slow
def test_a_scan_calls_functions_as_they_were_recorded(cli, project, script):
    cli("record", "--", sys.executable, "work.py", code=0)
    modes = (
        "--modes",
        "torchscript",
        "--runtime",
        "ort-disabled",
        "--examples",
        "2",
        "--jobs",
        "1",
        "--no-save",
    )
    ran = cli(
        "scan",
        "work.py",
        "--only",
        "Fused",
        "--recorded",
        "diffexport-recorded.json",
        "--json",
        "scan.json",
        *modes,
    )
    assert ran.code == 1
    (function,) = json.loads((project / "scan.json").read_text())["functions"]
    assert function["status"] == "diverges"
    assert function["inputs"][0].startswith("just(instance(work.Options")


@pytest.mark.slow
def test_a_test_suite_is_recorded_in_each_of_its_processes(cli, project, script):
    (project / "test_work.py").write_text(
        "import multiprocessing, torch, work\n"
        "def call(n): work.Named.apply(torch.ones(n, 2), work.LIMITS)\n"
        "def test_one(): call(1)\n"
        "def test_other():\n    process = multiprocessing.get_context('fork').Process(target=call, args=(4,))\n"
        "    process.start()\n    process.join()\n    assert process.exitcode == 0\n"
    )
    pytest_command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_work.py")
    cli("record", "--out", "calls.json", "--", *pytest_command, code=0)
    named = recorded(project, "calls.json")["work:Named"]
    assert named["calls"] == 2
    assert named["inputs"] == ["float32[>=1, 2]", "just(work.LIMITS)"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("-c", "import torch, sys; sys.exit(3)"),
            "the command failed with exit code 3; it had called nothing by then",
        ),
        (("-c", "import os; os.kill(os.getpid(), 9)"), "the command was ended by SIGKILL"),
        (
            ("-c", "print(1)"),
            "called no autograd.Function, so that there is nothing to record; modules are recorded",
        ),
    ],
)
def test_a_command_that_fails_or_calls_nothing_gives_one_line(cli, project, command, said):
    ran = cli("record", "--", sys.executable, *command, code=2)
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (project / "diffexport-recorded.json").exists()


def test_what_a_command_that_fails_has_called_is_kept(cli, project, script):
    (project / "fails.py").write_text(
        "import torch, work\nwork.Named.apply(torch.ones(2), 3)\nraise SystemExit(4)\n"
    )
    ran = cli("record", "--", sys.executable, "fails.py", code=2)
    assert "exit code 4; what it called until then is in" in ran.err
    assert recorded(project)["work:Named"]["inputs"] == ["float32[2]", "just(3)"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("record",), "Missing argument"),
        (("record", "--", "no-such-command-here"), "there is no command 'no-such-command-here'"),
        (("record", "--module", ":", "--", "python"), "names no module"),
        (("run", "clamp", "--recorded", "missing.json"), "there is no file missing.json of recorded calls"),
        (("run", "clamp", "--recorded", "other.json"), "is no file of recorded calls"),
        (("scan", ".", "--recorded", "broken.json"), "cannot be read as recorded calls"),
        (("run", "clamp", "--recorded", "damaged.json"), "is damaged"),
    ],
)
def test_wrong_use_gives_a_line(cli, project, arguments, said):
    (project / "other.json").write_text("{}")
    (project / "broken.json").write_text("{")
    (project / "damaged.json").write_text(
        '{"diffexport": "recorded", "version": 1, "command": [], "exit_code": 0, "targets": [{}]}'
    )
    assert said in cli(*arguments, code=2).err
