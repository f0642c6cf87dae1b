"""``[tool.diffexport]`` in pyproject.toml: taken, overridden by options, and refused where it is wrong."""

import pytest

KNOWN = (
    '[[tool.diffexport.known]]\nid="a"\nreason="b"\ncases=["x"]\nmodes="*"\nkind="value"\nregression="x"\n'
)


PLAIN = "operator_export_type=ONNX,do_constant_folding=true,training=EVAL,autograd_inlining=true,scoped=false"


def test_the_configuration_is_used(cli, project, monkeypatch):
    (project / "pyproject.toml").write_text(
        '[tool.diffexport]\ncases = ["single_output", "models.py:SwappedOutputs"]\nmodes = "quick"\n'
        'runtimes = "ort-disabled"\nexamples = 3\nseed = 5\njobs = 0\nregressions = "kept"\n'
        f'[tool.diffexport.matrices]\nquick = ["torchscript", "old"]\nold = ["torchscript,opset=9..10,{PLAIN}"]\n'
    )
    listed = cli("modes", code=0).out.splitlines()
    assert listed[0] == "torchscript"
    assert {"torchscript,opset=9", "torchscript,opset=10,dynamic=true"} <= set(listed)
    # Two opsets, static or dynamic, initializers kept as inputs or not.
    assert len(listed) == 1 + 2 * 2 * 2
    ran = cli("run", "--modes", "torchscript", code=1)
    assert "diffexport: single_output, SwappedOutputs" in ran.out
    assert "1 mode × 1 runtime, 3 examples each, profile dev, seed 5" in ran.out
    assert [path.name.split("--")[0] for path in (project / "kept").iterdir()] == ["swappedoutputs"]
    assert "1 STILL DIVERGES" in cli("replay", code=1).out
    ran = cli("run", "single_output", "--modes", "old", "--seed", "6", "--examples", "1", code=0)
    assert "8 modes × 1 runtime, 1 example each, profile dev, seed 6" in ran.out
    # In a folder below, the same configuration.
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    assert cli("modes", code=0).out.splitlines() == listed


def test_strictness_is_configured(cli, project):
    (project / "pyproject.toml").write_text(
        "[tool.diffexport]\nstrict = true\nruntimes = 'ort-disabled'\njobs = 0\n"
    )
    ran = cli("run", "models.py:PositiveZero", "--modes", "torchscript", "--no-save", code=1)
    assert "sign-of-zero at compare" in ran.out


CASE = """
import diffexport
from models import Subtract, SwappedOutputs

KNOWN = diffexport.known_divergence("swapped", "on purpose", kind="structure", regression="{regression}")
CASE = diffexport.make_case(
    "accepted", SwappedOutputs, inputs=["float32[3]"], known=[KNOWN], exclude={{"torchscript,opset=9": "too old"}}
)
"""


def test_what_a_case_accepts_and_excludes_holds_for_runs(cli, project):
    (project / "pyproject.toml").write_text(
        '[tool.diffexport]\nruntimes = "ort-disabled"\njobs = 0\nexamples = 1\n[[tool.diffexport.exclude]]\n'
        'modes = "dynamo*"\nreason = "to be quick"\ncases = ["acc*"]\n'
    )
    (project / "case.py").write_text(CASE.replace("known=[KNOWN], ", "").format(regression="x"))
    modes = [word for m in ("torchscript", "torchscript,opset=9", "dynamo") for word in ("--modes", m)]
    first = cli("run", "case.py:CASE", *modes, code=1)
    assert "excluded accepted: 1 mode (torchscript,opset=9): too old" in first.out
    assert "excluded accepted: 1 mode (dynamo*): to be quick" in first.out
    (path,) = (project / "tests" / "regressions").iterdir()
    (project / "known.py").write_text(CASE.format(regression=path.name))
    assert "known swapped: met in 1 (mode, runtime) pair" in cli("run", "known.py:CASE", *modes, code=0).out
    path.unlink()
    assert "its regression is not in" in cli("run", "known.py:CASE", *modes, code=1).out


WRONG = {
    "exclude reason": ('[[tool.diffexport.exclude]]\nmodes = "dynamo"', "missing reason"),
    "exclude key": (
        '[[tool.diffexport.exclude]]\nmodes = "dynamo"\nreasn = "a"',
        "unknown key 'reasn'; did you mean 'reason'?",
    ),
    "unknown key": ('[tool.diffexport]\nprofil = "ci"', "unknown key 'profil'; did you mean 'profile'?"),
    "unknown profile": ('[tool.diffexport]\nprofile = "cii"', "unknown profile 'cii'; did you mean 'ci'?"),
    "unknown runtime": (
        '[tool.diffexport]\nruntimes = ["ort-al"]',
        "unknown runtime 'ort-al'; did you mean 'ort-all'?",
    ),
    "unknown mode": (
        '[tool.diffexport]\nmodes = ["torchscrip"]',
        "'torchscrip'; did you mean 'torchscript'?",
    ),
    "unknown case": ('[tool.diffexport]\ncases = ["clmp"]', "unknown case 'clmp'"),
    "mode in a matrix": ('[tool.diffexport.matrices]\na = ["dynamo,opst=13"]', "did you mean 'opset'?"),
    "matrix in itself": ('[tool.diffexport.matrices]\na = ["b"]\nb = ["a"]', "matrix 'a' contains itself"),
    "built-in matrix": ('[tool.diffexport.matrices]\nfull = ["dynamo"]', "'full' is built in"),
    "wrong type": (
        '[tool.diffexport]\nexamples = "many"',
        "examples: Input should be a valid integer (it is 'many')",
    ),
    "no examples": ("[tool.diffexport]\nexamples = 0", "examples: Input should be greater than 0 (it is 0)"),
    "no runtimes": ("[tool.diffexport]\nruntimes = []", "runtimes"),
    "not a table": ("[tool]\ndiffexport = 3", "[tool.diffexport] must be a table"),
    "tool not a table": ("tool = 3", "pyproject.toml"),
    "broken TOML": ("[tool.diffexport\n", "cannot be read as TOML"),
    "known without": (
        "[[tool.diffexport.known]]\nid = 'a'",
        "missing reason, cases, modes, kind, regression",
    ),
    "known kind": (KNOWN.replace('"value"', '"valu"'), "unknown kind 'valu'; did you mean 'value'?"),
    "known key": (KNOWN + "trait = ['nan']", "unknown key 'trait'; did you mean 'traits'?"),
    "known trait": (KNOWN + "traits = ['nann']", "unknown input trait 'nann'; did you mean 'nan'?"),
    "known trait type": (KNOWN + "traits = [1]", "traits"),
    "known case type": (KNOWN.replace('["x"]', "[1]"), "cases"),
    "known versions": (KNOWN + "versions = {torch = 2}", "versions"),
    "known signature": (KNOWN + "signature = '('", "unterminated subpattern"),
    "known runtime": (KNOWN + "runtimes = ['ort-dizabled']", "ort-dizabled"),
    "known twice": (KNOWN + KNOWN, "the id is already taken"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_is_refused(cli, project, name):
    text, problem = WRONG[name]
    (project / "pyproject.toml").write_text(text)
    arguments = ("--modes", "torchscript", "-j0", "--no-save")
    ran = cli("run", *(() if name == "unknown case" else ("single_output",)), *arguments, code=2)
    assert problem in ran.err
    if name != "unknown case":
        assert str(project / "pyproject.toml") in ran.err
    assert not ran.out
