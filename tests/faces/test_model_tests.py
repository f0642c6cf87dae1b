"""``diffexport.test``: a model as a test, in projects that are not ours and have no conftest.py."""

import json
import shutil

import pytest

#: Every project has a model of its own name, so that no test depends on what another one left in a cache.
MODEL = """
import pytest
import torch
import diffexport


class {name}(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a - 3

    @staticmethod
    def symbolic(g, a):
        return g.op("{op}", a, g.op("Constant", value_t=torch.tensor(3.0)))


class Module{name}(torch.nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, a):
        return {name}.apply(a) * self.scale


INPUTS = {{"inputs": ["float32[N]"]}}
"""
CONFIGURED = """
[tool.diffexport]
modes = {modes}
runtimes = ["ort-disabled"]
examples = 2
regressions = "kept"
{more}
# What is excluded is no mode to shrink to either, which saves slow exports.
[[tool.diffexport.exclude]]
modes = "{exclude}"
reason = "to be quick"
[tool.pytest.ini_options]
"""


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """Import here what a test of a model imports, or each run in this process would import it anew."""
    import torch

    import diffexport
    from diffexport.values.mode import Mode

    class Warm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a - 3

        @staticmethod
        def symbolic(g, a):
            return g.op("Add", a, a)

    assert not diffexport.check(
        Warm,
        inputs=["float32[2]"],
        modes="torchscript",
        runtimes="ort-disabled",
        examples=1,
        exclude={"dynamo*": "to be quick"},
    )
    case = diffexport.make_case("warm", torch.nn.Identity, inputs=["float32[N]"])
    diffexport.assert_agrees(case, Mode("dynamo"), (torch.ones(2),), runtimes=["ort-disabled"])


@pytest.fixture
def project(pytester):
    """Write a project with a model, right or wrong, and tests of it."""

    def write(name, tests, *, right=False, more="", dynamo=False):
        modes = ["torchscript", "dynamo"] if dynamo else ["torchscript"]
        exclude = "dynamo-strict" if dynamo else "dynamo*"
        pytester.makepyprojecttoml(CONFIGURED.format(more=more, modes=modes, exclude=exclude))
        source = MODEL.format(name=name, op="Sub" if right else "Add") + tests
        pytester.makepyfile(**{f"test_of_{name.lower()}": source})
        return pytester

    return write


def run(pytester, *arguments):
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def stored(pytester):
    return sorted((pytester.path / "kept").glob("*.diffexport.json"))


def outcome_of(result, name):
    return next(line.split()[-2] for line in result.outlines if f"::{name} " in line)


FOUR_LINES = """
test_function = diffexport.test({name}, **INPUTS)
test_instance = diffexport.test(Module{name}(), **INPUTS)
test_class = diffexport.test(Module{name}, **INPUTS)

class TestInAClass:
    test_function = diffexport.test({name}, **INPUTS)
"""


def test_a_model_is_one_test_for_each_exporter(project):
    pytester = project("FourLines", FOUR_LINES.format(name="FourLines"), dynamo=True)
    result = run(pytester, "-v")
    # dynamo inlines forward and agrees; the TorchScript exporter takes the wrong `symbolic`.
    result.assert_outcomes(passed=4, failed=4)
    for name in ("test_function", "test_instance", "test_class", "TestInAClass::test_function"):
        result.stdout.fnmatch_lines([f"*::{name}[[]dynamo[]] PASSED*"])
        result.stdout.fnmatch_lines([f"*::{name}[[]torchscript[]] FAILED*"])
    result.stdout.no_fnmatch_line("*modeltest.py*")
    here = "test_of_fourlines.py"
    selected = run(pytester, here, "-k", "test_class and dynamo")
    selected.assert_outcomes(passed=1, deselected=7)
    first = run(pytester, here, "-x", "-k", "torchscript")
    first.assert_outcomes(failed=1, deselected=4)


def test_a_finding_is_shrunk_stored_and_replayed_until_it_is_fixed(project):
    tests = "test_it = diffexport.test({name}, modes='torchscript', **INPUTS)\n"
    pytester = project("Recorded", tests.format(name="Recorded"))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    (path,) = stored(pytester)
    document = json.loads(path.read_text())
    assert document["target"] == "test_of_recorded.py:test_it"
    assert [x["values"] for x in document["inputs"]] == [["0x0p+0"]]
    result.stdout.fnmatch_lines(
        [
            "Recorded: * checks in 1 mode: 1 new divergence",
            "*diffexport findings*",
            "Recorded: value at compare*",
            f"  reproduce       diffexport replay kept/{path.name}",
        ]
    )
    again = run(pytester, "kept")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines([f"STILL DIVERGES: {path.name}"])
    # Another process, in which the model has not been imported yet.
    fixed = project("Recorded", tests.format(name="Recorded"), right=True)
    # Compiled within the same second, and as long: it would be taken for the same.
    shutil.rmtree(pytester.path / "__pycache__", ignore_errors=True)
    fixed.runpytest_subprocess("-p", "no:cacheprovider", "kept").assert_outcomes(passed=1)


FIXTURES = """
@pytest.fixture
def scale():
    return 2.0

@pytest.mark.parametrize("sign", [1, -1])
@diffexport.test(modes="torchscript", **INPUTS)
def test_made(scale, sign):
    return Module{name}(sign * scale)

class TestMethods:
    @diffexport.test(modes="torchscript", **INPUTS)
    def test_method(self, scale):
        assert type(self) is TestMethods
        return torch.nn.Identity()

@diffexport.test(modes="torchscript", **INPUTS)
@pytest.mark.parametrize("model", [{name}, torch.nn.Identity], ids=["own", "identity"])
def test_each(model):
    return model
"""


def test_factories_take_fixtures_and_parameters(project):
    pytester = project("Fixtures", FIXTURES.format(name="Fixtures"))
    result = run(pytester, "-v")
    result.stdout.fnmatch_lines(
        [
            "*::test_made[[]1-torchscript[]] FAILED*",
            "*::test_made[[]-1-torchscript[]] FAILED*",
            "*::TestMethods::test_method[[]torchscript[]] PASSED*",
            "*::test_each[[]own-torchscript[]] FAILED*",
            "*::test_each[[]identity-torchscript[]] PASSED*",
        ]
    )
    cases = [json.loads(path.read_text())["case"] for path in stored(pytester)]
    assert sorted(cases) == ["Fixtures-own", "ModuleFixtures--1", "ModuleFixtures-1"]
    # What only its test can make is replayed by it, and left out elsewhere.
    again = run(pytester, "-rs", "kept", "test_of_fixtures.py", "-k", "replay or test_made")
    again.assert_outcomes(failed=2, skipped=3, deselected=3)
    again.stdout.fnmatch_lines(["*made from fixtures (scale, sign)*pytest *test_of_fixtures.py::test_made*"])
    again.stdout.fnmatch_lines(["STILL DIVERGES: modulefixtures-1--torchscript--*"])
    assert sum("STILL DIVERGES: " in line for line in again.outlines) == 2


def test_a_mode_may_be_a_parameter(project):
    tests = "@diffexport.test(**INPUTS)\ndef test_mode(diffexport_mode):\n    return PerMode\n"
    result = run(project("PerMode", tests, dynamo=True), "-v")
    result.stdout.fnmatch_lines(["*::test_mode[[]torchscript[]] FAILED*", "*::test_mode[[]dynamo[]] PASSED*"])


def test_the_command_line_narrows_the_modes_of_a_test(project):
    tests = "test_it = diffexport.test(Narrowed, modes=['dynamo', 'torchscript'], **INPUTS)\n"
    result = run(project("Narrowed", tests, dynamo=True), "--diffexport-modes", "dynamo", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*::test_it[[]dynamo[]] PASSED*"])


def test_inputs_may_be_left_out(project):
    result = run(project("LeftOut", "test_it = diffexport.test(LeftOut)\n", right=True), "-v")
    result.assert_outcomes(passed=1)


EXPECTED = """
test_configured = diffexport.test({name}, modes="torchscript", **INPUTS)
test_excluded = diffexport.test(
    {name}, modes="torchscript", exclude={{"torchscript": "its symbolic is wrong"}}, name="other", **INPUTS
)
"""
KNOWN = """
[[tool.diffexport.known]]
id = "wrong-symbolic"
reason = "it is wrong on purpose"
cases = ["Expected"]
modes = "torchscript"
kind = "{kind}"
regression = "{regression}"
"""


def test_what_is_expected_is_configured_with_reasons(project):
    pytester = project("Expected", EXPECTED.format(name="Expected"))
    first = run(pytester, "-rs")
    first.assert_outcomes(failed=1, skipped=1)
    first.stdout.fnmatch_lines(["*torchscript excluded: its symbolic is wrong"])
    (path,) = stored(pytester)
    known = KNOWN.format(kind="value", regression=path.name)
    project("Expected", EXPECTED.format(name="Expected"), more=known)
    run(pytester).assert_outcomes(passed=2, skipped=1)
    project("Expected", EXPECTED.format(name="Expected"), more=known, right=True)
    fixed = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    fixed.assert_outcomes(failed=2, skipped=1)
    fixed.stdout.fnmatch_lines(["*fixed upstream: remove this entry (*pyproject.toml, id 'wrong-symbolic')*"])


def test_known_divergences_stand_on_the_test_as_well(project):
    test = "test_it = diffexport.test({name}, modes='torchscript', known=[{known}], **INPUTS)\n"
    pytester = project("OnTest", test.format(name="OnTest", known=""))
    run(pytester).assert_outcomes(failed=1)
    (path,) = stored(pytester)
    entry = f"diffexport.known_divergence('a', 'on purpose', kind='value', regression='{path.name}')"
    project("OnTest", test.format(name="OnTest", known=entry))
    passing = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-v")
    passing.assert_outcomes(passed=2)


WRONG = {
    "option": ("inptus=['float32[N]']", "unknown option 'inptus'; did you mean 'inputs'?"),
    "upstream": ("opset_version=13", "unknown option 'opset_version': the opset is part of a mode"),
    "reason": (
        "exclude={'torchscript': ''}, modes='torchscript', inputs=['float32[N]']",
        "exclude: 'torchscript' needs a reason",
    ),
    "mode": (
        "modes='torchscrip', inputs=['float32[N]']",
        "unknown mode or matrix 'torchscrip'; did you mean",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_use_is_said_in_one_sentence(project, wrong):
    options, message = WRONG[wrong]
    result = run(project(f"Wrong{wrong}", f"test_it = diffexport.test(Wrong{wrong}, {options})\n"))
    assert result.ret != 0
    assert any(message in line for line in result.outlines)


SHARED = """
test_one = diffexport.test({name}, **INPUTS)
test_two = diffexport.test(Module{name}, **INPUTS)
"""


def test_workers_neither_lose_nor_double_a_finding(project):
    pytester = project("Shared", SHARED.format(name="Shared"), dynamo=True)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2")
    result.assert_outcomes(failed=2, passed=2)
    assert len(stored(pytester)) == 2
    section = "\n".join(result.outlines).partition("diffexport findings")[2]
    assert section.count("Shared: value at compare") == 2
    assert section.count("  reproduce  ") == 2


PLAIN = """
def test_plain():
    diffexport.check({name}, modes="torchscript", runtimes="ort-disabled", examples=1, **INPUTS).raise_for_findings()

def test_by_hand():
    with pytest.raises(diffexport.FindingsError, match="1 new divergence"):
        by_hand()

by_hand = diffexport.test({name}, modes="torchscript", runtimes="ort-disabled", examples=1, **INPUTS)
"""


def test_what_a_plain_function_raises_is_stored_too(project):
    pytester = project("Plain", PLAIN.format(name="Plain"))
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    assert [json.loads(path.read_text())["target"] for path in stored(pytester)] == ["test_of_plain.py:Plain"]
