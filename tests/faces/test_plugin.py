"""The pytest plugin, in projects that are not ours and have no conftest.py."""

import json

import pytest

MODEL = """
import torch
from torch.autograd import Function


class Three(Function):
    @staticmethod
    def forward(ctx, a):
        return a - 3

    @staticmethod
    def symbolic(g, a):
        return g.op("{op}", a, g.op("Constant", value_t=torch.tensor({number})))


class {name}(torch.nn.Module):
    def forward(self, a):
        return Three.apply(a)
"""
CHECK = """
from {module} import {name}

def test_model(diffexport):
    result = diffexport.check({name}, inputs=["float32[N]"], modes=["torchscript"], runtimes=["ort-disabled"])
    assert result.ok
    assert sum(row.checks for mode in result.modes for row in mode.rows) > 10
"""


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """Import here what a finding imports, or each run in this process would import it anew."""
    import torch

    from diffexport import make_case
    from diffexport.explore.explorer import Explorer
    from diffexport.explore.settings import Settings
    from diffexport.values.mode import Mode

    case = make_case("warm", torch.nn.Identity, inputs=["float32[N]"])
    explorer = Explorer(case, ["ort-disabled"], Settings(examples=1))
    list(explorer.explore([Mode("torchscript"), Mode("dynamo"), Mode("dynamo-strict")]))


@pytest.fixture
def foreign(pytester):
    """Write a model and a test of it; each project names them differently."""

    def write(name, *, right=False, test=CHECK):
        module = f"{name.lower()}_model"
        pytester.makepyfile(
            **{
                module: MODEL.format(name=name, op="Sub" if right else "Add", number="3.0"),
                f"test_foreign_{name.lower()}": test.format(module=module, name=name),
            }
        )
        return pytester

    return write


def run(pytester, *arguments):
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def stored(pytester, folder):
    return sorted(path.name for path in (pytester.path / folder).glob("*"))


def test_a_model_that_agrees_passes(foreign):
    pytester = foreign("Agreeing", right=True)
    result = run(pytester, "--diffexport-save", "kept")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*diffexport findings*")
    assert stored(pytester, "kept") == []


def test_a_finding_is_shown_once_and_stored(foreign):
    pytester = foreign("Planted")
    result = run(pytester, "--diffexport-save", "kept")
    result.assert_outcomes(failed=1)
    (name,) = stored(pytester, "kept")
    assert name.startswith("planted--torchscript--ort-disabled--value--output-0--")
    document = json.loads((pytester.path / "kept" / name).read_text())
    assert document["target"] == "planted_model.py:Planted"
    assert [x["values"] for x in document["inputs"]] == [["0x0p+0"]]
    section = result.outlines[
        result.outlines.index(next(x for x in result.outlines if "diffexport findings" in x)) :
    ]
    assert sum("Planted: value at compare" in line for line in section) == 1
    assert sum("minimal input   [0] float32[1]" in line for line in section) == 1
    assert f"  reproduce       diffexport replay kept/{name}" in section


def test_findings_go_to_tests_regressions_unless_said_otherwise(foreign):
    pytester = foreign("Planted2")
    run(pytester).assert_outcomes(failed=1)
    assert len(stored(pytester, "tests/regressions")) == 1
    pytester.makepyprojecttoml("[tool.diffexport]\nregressions = 'elsewhere'\n[tool.pytest.ini_options]\n")
    run(pytester, "test_foreign_planted2.py").assert_outcomes(failed=1)
    assert stored(pytester, "elsewhere") == stored(pytester, "tests/regressions")


def test_a_finding_that_cannot_be_stored_is_shown(foreign):
    pytester = foreign("Planted3")
    (pytester.path / "occupied").write_text("a file")
    result = run(pytester, "--diffexport-save", "occupied/below")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*diffexport findings*", "*minimal input   [[]0] float32[[]1]", "*could not be saved:*"]
    )


GIVEN = """
import pytest
from hypothesis import given, settings
import diffexport
from diffexport.strategies import samples
from {module} import {name}

CASE = diffexport.make_case("given", {name}, inputs=["float32[N]"], target="{module}.py:{name}")

@settings(database=None, deadline=None)
@given(samples(CASE.inputs))
def test_given(inputs):
    diffexport.assert_agrees(CASE, "torchscript", inputs, runtimes=["ort-disabled"])
"""


def test_what_hypothesis_shrunk_is_stored(foreign):
    pytester = foreign("Given", test=GIVEN)
    result = run(pytester, "--diffexport-save", "kept")
    result.assert_outcomes(failed=1)
    (name,) = stored(pytester, "kept")
    assert name.startswith("given--torchscript--ort-disabled--value--")
    document = json.loads((pytester.path / "kept" / name).read_text())
    assert [x["values"] for x in document["inputs"]] == [["0x0p+0"]]
    result.stdout.fnmatch_lines(["*diffexport findings*", "given: value at compare*"])
    # Hypothesis has shrunk it to the end.
    result.stdout.no_fnmatch_line("*not shrunk*")


SEVERAL = """
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
import diffexport

CASE = diffexport.make_case("several", AddForSubtract, inputs=["float32[]", "float32[]"])

@settings(database=None, phases=[Phase.explicit])
@example((torch.tensor(0.0), torch.tensor(1.0)))
@example((torch.tensor(0.0), torch.tensor(float("inf"))))
@given(st.none())
def test_given(inputs):
    diffexport.assert_agrees(CASE, "torchscript", inputs, runtimes=["ort-disabled"])
"""


def test_of_several_failures_of_one_test_each_is_stored(pytester, models):
    pytester.makepyfile(test_foreign_failures=models + SEVERAL)
    run(pytester, "--diffexport-save", "kept").assert_outcomes(failed=1)
    kinds = [name.split("--")[3] for name in stored(pytester, "kept")]
    assert sorted(kinds) == ["infinity", "value"]


PARAMETRISED = """
def test_mode(diffexport_mode):
    assert diffexport_mode.exporter == "torchscript"

def test_fixture(diffexport):
    assert [str(mode) for mode in diffexport.modes] == ["torchscript", "torchscript,opset=9"]
"""


def test_modes_are_restricted(pytester):
    pytester.makepyfile(test_foreign=PARAMETRISED)
    chosen = ("--diffexport-modes", "torchscript", "--diffexport-modes", "torchscript,opset=9")
    result = run(pytester, *chosen, "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_mode[[]torchscript[]]*", "*test_mode[[]torchscript,opset=9[]]*"])


def test_modes_are_those_of_the_default_matrix_or_configured(pytester):
    from diffexport.values.matrix import default_matrix

    pytester.makepyfile(test_foreign="def test_mode(diffexport_mode):\n    pass\n")
    run(pytester).assert_outcomes(passed=len(default_matrix()))
    pytester.makepyprojecttoml("[tool.diffexport]\nmodes = ['dynamo']\n[tool.pytest.ini_options]\n")
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "test", ["def test_mode(diffexport_mode): pass", "def test_check(diffexport): diffexport.modes"]
)
def test_an_unknown_mode_is_wrong_use(pytester, test):
    pytester.makepyfile(test_foreign=test)
    result = run(pytester, "--diffexport-modes", "torchscrip")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown mode or matrix 'torchscrip'; did you mean 'torchscript'?*"])


def test_a_wrong_configuration_is_wrong_use(pytester):
    pytester.makepyfile(test_foreign="def test_mode(diffexport_mode): pass")
    pytester.makepyprojecttoml("[tool.diffexport]\nprofil = 'ci'\n[tool.pytest.ini_options]\n")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown key 'profil'; did you mean 'profile'?*"])


def test_a_stored_regression_is_a_test_until_fixed_and_after(foreign):
    pytester = foreign("Stored")
    run(pytester, "--diffexport-save", "kept").assert_outcomes(failed=1)
    (name,) = stored(pytester, "kept")
    again = run(pytester, "kept")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(
        [
            f"STILL DIVERGES: {name}",
            "output[[]0[]][[]0[]]: eager -3, exported model 3; *",
            f"reproduce: diffexport replay *kept/{name}",
        ]
    )
    again.stdout.no_fnmatch_line("*Traceback*")
    foreign("Stored", right=True)
    # Another process, in which the model has not been imported yet.
    fixed = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-v", "kept")
    fixed.assert_outcomes(passed=1)
    fixed.stdout.fnmatch_lines([f"kept/{name}::replay PASSED*"])


def test_a_broken_regression_fails_and_the_others_are_replayed(pytester):
    from diffexport.subjects import catalogue

    good = next(catalogue.regressions_folder().glob("clamp--torchscript--ort-disabled--*"))
    (pytester.path / good.name).write_text(good.read_text())
    (pytester.path / "broken.diffexport.json").write_text(good.read_text()[:99])
    result = run(pytester)
    # The good one is known to diverge.
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["ERROR: broken.diffexport.json", "*not JSON, or cut off*"])


SPECS = """
import torch
from {module} import Three

class {name}(torch.nn.Module):
    def forward(self, *several):
        return Three.apply(several[0])

def test_model(diffexport):
    diffexport.check({name}, inputs=["float32[N]"], modes=["torchscript"], runtimes=["ort-disabled"])
"""


def test_what_the_inputs_are_like_is_stored_with_the_finding(foreign):
    """Without the specs, the model — its forward takes any number of tensors — could not be replayed."""
    pytester = foreign("Several", test=SPECS)
    run(pytester, "--diffexport-save", "kept").assert_outcomes(failed=1)
    result = run(pytester, "kept")
    result.stdout.fnmatch_lines(["STILL DIVERGES: several--*"])


SHARED = """
import pytest
import diffexport

CASE = diffexport.make_case("shared", AddForSubtract, inputs=["float32[]", "float32[]"])

@pytest.mark.parametrize("time", range(3))
@pytest.mark.parametrize("number", [1.0, float("inf")])
def test_it(number, time):
    pair = (torch.tensor(0.0), torch.tensor(number))
    diffexport.assert_agrees(CASE, "torchscript", pair, runtimes=["ort-disabled"])
"""


def test_two_workers_neither_lose_nor_double_a_finding(pytester, models):
    pytester.makepyfile(test_foreign_one=models + SHARED, test_foreign_other=models + SHARED)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2", "--diffexport-save", "kept")
    result.assert_outcomes(failed=12)
    assert sorted(name.split("--")[3] for name in stored(pytester, "kept")) == ["infinity", "value"]
    section = "\n".join(result.outlines).partition("diffexport findings")[2]
    assert section.count("shared: value at compare") == 1
    assert section.count("shared: infinity at compare") == 1
    assert section.count("  reproduce  ") == 2
