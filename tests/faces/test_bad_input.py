"""Wrong use: a message that names what is wrong, exit code 2, no traceback."""

import pytest

NAMES = [
    (["run", "clmp"], "unknown case 'clmp'", "did you mean 'clamp'?"),
    (["run", "clamp", "multi_outpt"], "unknown case 'multi_outpt'", "did you mean 'multi_output'?"),
    (["run", "clamp", "--modes", "torchscrip"], "unknown mode or matrix 'torchscrip'", "mean 'torchscript'?"),
    (["run", "clamp", "--modes", "torchscript,opzet=9"], "unknown option 'opzet'", "did you mean 'opset'?"),
    (
        ["run", "clamp", "--modes", "torchscript,training=EVIL"],
        "'EVIL' is not a value of training",
        "'EVAL'?",
    ),
    (["run", "clamp", "--modes", "torchscript,opset=6"], "opset=6 is out of the range", "opset 7 to 20"),
    (["run", "clamp", "--modes", "dynamo,opset=x"], "opset takes a whole number, not 'x'", ""),
    (["run", "clamp", "--modes", "dynamo,scoped=true"], "scoped=true", "does not honour this option"),
    (["run", "clamp", "--modes", "torchscript,opset=14,export_modules_as_functions=true"], "opset ≥ 15", ""),
    (["run", "clamp", "--modes", "dynamo,opset=1..3"], "mode pattern 'dynamo,opset=1..3' matches no", ""),
    (["modes", "ful"], "unknown mode or matrix 'ful'", "did you mean 'full'?"),
    (["run", "clamp", "--runtime", "ort-dizabled"], "unknown runtime 'ort-dizabled'", "'ort-disabled'?"),
    (["run", "clamp", "--profile", "cii"], "unknown profile 'cii'", "did you mean 'ci'?"),
    (["run", "clamp", "--examples", "0"], "Invalid value for '--examples'", ""),
    (["run", "clamp", "--seed", "-1"], "Invalid value for '--seed'", ""),
    (["run", "clamp", "--sede", "1"], "No such option", "--seed"),
    (["rum"], "No such command 'rum'", "run"),
    (["run", "models.py:Increment", "--input", "float33[N]"], "unknown dtype 'float33'", "'float32'?"),
    (["run", "models.py:Increment", "--input", "float32[N"], "'float32[N' is not a tensor spec", ""),
    (["run", "models.py:Increment", "--input", "float32[4..2]"], "4 is more than 2", "float32[4..2]"),
    (["replay", "nowhere"], "there is no file or folder nowhere", ""),
    (["replay", "."], "no regression files in .", ""),
    (["show", "nowhere"], "nowhere: cannot be read", ""),
]


#: Options of `diffexport run models.py:Increment` with a value that cannot be, and a part of what is said.
VALUES = [
    ("--examples", "1" + "0" * 30, "is not in the range 1<=x<=1000000000"),
    ("--examples", "9" * 5000, "is not a valid integer"),
    ("--seed", "1" + "0" * 40, "is not in the range"),
    ("--jobs", "1000000", "is not in the range 0<=x<=256"),
    ("--memory", "4 parsecs", "'4 parsecs' is no size in bytes"),
    ("--memory", "1", "is not between 64MiB and"),
    ("--memory", "999999999999GiB", "is not between 64MiB and"),
    ("--check-timeout", "nan", "is no number of seconds"),
    ("--export-timeout", "inf", "is not in the range"),
    ("--modes", "", "it is empty"),
    ("--modes", "a\0b", "has a NUL character"),
    ("--runtime", "x" * 1_000_000, "it has 1,000,000 characters"),
    ("--input", "float32[1000000000000]", "the smallest tensor that it admits has 3,725 GiB"),
    ("--input", "float32[99999999999999999999]", "no tensor has a size of more than 18 digits"),
    ("--input", f"float32[{'2,' * 64}2]", "a tensor may have 32 dimensions at most"),
    ("--input", "float32[N>=1000000,N]", "GiB, and 1 GiB is the most"),
    ("--input", "float32[3] in " + "9" * 5000 + "..", "are no bounds"),
    ("--input", "float32[" + "[" * 5000, "is not a tensor spec"),
    ("--input", "just(" * 5000, "is neither a tensor spec nor a strategy"),
    ("--input", f"just({'-' * 3000}1)", "just(---"),
    ("--input", "just({[]: 1})", "unhashable"),
    ("--input", "just(torch.ones(100000000000))", "would make a tensor of 373 GiB"),
    ("--input", "integers('a')", "integers('a')"),
]


@pytest.mark.parametrize(("option", "value", "problem"), VALUES, ids=[f"{o} {v[:20]}" for o, v, _ in VALUES])
def test_a_value_that_cannot_be(cli, option, value, problem):
    ran = cli(
        "run", "models.py:Increment", "--modes", "torchscript", "-j0", "--no-save", option, value, code=2
    )
    assert problem in ran.err
    assert len(ran.err) < 5000
    assert not ran.out


@pytest.mark.parametrize(("arguments", "problem", "help"), NAMES, ids=[" ".join(n[0]) for n in NAMES])
def test_a_name_or_value_that_does_not_exist(cli, arguments, problem, help):
    ran = cli(*arguments, code=2)
    assert problem in ran.err
    assert help in ran.err
    assert not ran.out


TARGETS = {
    "exits.py:Model": ("raise SystemExit(5)", "importing exits.py raises SystemExit: 5"),
    "broken.py:Model": ("import nosuchmodule", "importing broken.py raises ModuleNotFoundError"),
    "syntax.py:Model": ("def", "importing syntax.py raises SyntaxError"),
    "absent.py:Model": (None, "there is no file absent.py"),
    "absent.module:Model": (None, "importing absent.module raises ModuleNotFoundError"),
    "models.py:Incremnt": (
        None,
        "unknown attribute 'Incremnt' in target 'models.py:Incremnt'; did you mean 'Incr",
    ),
    "models.py": (None, "names a file without an attribute; write models.py:NAME"),
    "number.py:x": ("x = 3", "is a int; it must be a diffexport Case, a torch.nn.Module"),
    "makes.py:three": ("def three(): return 3", "calling it gives int, not a torch.nn.Module"),
    "raises.py:build": ("def build(): raise OSError('no weights')", "calling it raises OSError: no weights"),
    "leaves.py:build": ("def build(): raise SystemExit(3)", "leaves.py:build"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_is_no_model(cli, project, target):
    source, problem = TARGETS[target]
    if source is not None:
        (project / target.partition(":")[0]).write_text(source)
    ran = cli("run", target, "--modes", "torchscript", "-j0", "--no-save", code=2)
    assert problem in ran.err
    assert target in ran.err
    assert not ran.out


UNTESTABLE = """
import torch
from hypothesis import strategies as st
from diffexport import make_case

class AlwaysRaises(torch.nn.Module):
    def forward(self, a):
        raise ValueError("not today")

class Constructor(torch.nn.Module):
    def __init__(self):
        raise ValueError("needs weights")

    def forward(self, a):
        return a

class Leaves(torch.nn.Module):
    def forward(self, a):
        raise SystemExit(0)

def explode(x):
    return 1 // 0

nothing = make_case("yields-nothing", torch.nn.Identity, strategy=st.nothing())
filtered = make_case("filters-all", torch.nn.Identity, strategy=st.integers().filter(lambda x: False))
exploding = make_case("explodes", torch.nn.Identity, strategy=st.integers().map(explode))
"""
PROBLEMS = {
    "AlwaysRaises": "the model raises in eager on every one of",
    "Constructor": "building the model raises ValueError: needs weights",
    "Leaves": "SystemExit",
    "nothing": "its strategy yields no input; check its filters and assumptions",
    "filtered": "its strategy yields no input; check its filters and assumptions",
    "exploding": "ZeroDivisionError",
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_case_that_cannot_be_tested(check, project, name):
    (project / "untestable.py").write_text(UNTESTABLE)
    # The other case of the run is tested all the same.
    ran = check(f"untestable.py:{name}", "single_output", code=2)
    assert PROBLEMS[name] in ran.out
    assert ran.out.rstrip().endswith("NOT TESTED")
    (error,) = ran.report["errors"]
    assert PROBLEMS[name] in error["message"]
    assert [r["checks"] > 10 for r in ran.report["results"] if r["case"] == "single_output"] == [True]
    assert not ran.files


def test_a_model_that_always_raises_says_what_to_do(check, project):
    (project / "untestable.py").write_text(UNTESTABLE)
    ran = check("untestable.py:AlwaysRaises", code=2)
    assert "(ValueError: not today)" in ran.out
    assert "--input 'float32[N, 3]'" in ran.out
    assert [r["verdict"] for r in ran.report["results"]] == ["untested"]
    assert ran.report["results"][0]["rejected"] > 10


#: A model whose module puts a file where a folder is going to be needed: after the check at the start.
OCCUPIES = """
from pathlib import Path
from models import SwappedOutputs

Path("later").write_text("a file, not a folder")
"""


@pytest.fixture
def occupied(project):
    (project / "occupies.py").write_text(OCCUPIES)
    return project / "later" / "below"


CHEAP = ("--modes", "torchscript", "--runtime", "ort-disabled", "-j0")


def test_a_finding_that_cannot_be_saved_is_printed_in_full(cli, project, occupied):
    ran = cli("run", "occupies.py:SwappedOutputs", *CHEAP, "--save", occupied, code=1)
    assert f"could not be saved: [Errno 20] Not a directory: '{occupied}'" in ran.out
    assert "minimal input   0 float32[]" in ran.out
    assert "eager           1 float32[], 0 float32[]" in ran.out
    assert "ort-disabled    0 float32[], 1 float32[]" in ran.out
    (line,) = (line for line in ran.out.splitlines() if "  reproduce " in line)
    assert "diffexport run occupies.py:SwappedOutputs" in line
    assert "findings saved" not in ran.out
    assert (project / "later").read_text() == "a file, not a folder"


def test_a_report_that_cannot_be_written_in_the_end(cli, occupied):
    ran = cli("run", "occupies.py:SwappedOutputs", *CHEAP, "--no-save", "--json", occupied / "x.json", code=1)
    assert "the report could not be written" in ran.err
    assert "FINDINGS" in ran.out


@pytest.mark.parametrize(
    ("option", "place", "problem"),
    [
        ("--json", "models.py/x.json", "'models.py' is no folder"),
        ("--json", "folder", "it is a folder"),
        ("--json", "loop", "Too many levels of symbolic links"),
        ("--json", "a\0b", "it has a NUL character in it"),
        ("--json", "n" * 5000, "File name too long"),
        ("--json", "", "it is empty"),
        ("--json", "/proc/self/x.json", "nothing can be written in '/proc/self'"),
        ("--save", "models.py", "'models.py' is no folder"),
        ("--save", "models.py/below", "'models.py' is no folder"),
        ("--save", "loop", "is a link that leads nowhere"),
    ],
)
def test_where_nothing_can_be_written_is_said_at_the_start(cli, project, option, place, problem):
    (project / "folder").mkdir()
    (project / "loop").symlink_to("loop")
    ran = cli("run", "models.py:SwappedOutputs", *CHEAP, option, place, code=2)
    assert f"Invalid value for '{option}'" in ran.err
    assert problem in ran.err
    assert not ran.out
