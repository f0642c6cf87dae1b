"""``diffexport scan`` as people meet it: a package with everything that goes wrong, and one as it should be."""

import json
import re
import sys

import pytest

CHEAP = ("--modes", "torchscript", "--runtime", "ort-disabled", "--jobs", "1")

GOOD = '''
import torch
from torch.autograd import Function


class Double(Function):
    @staticmethod
    def forward(ctx, x, factor=2.0):
        return x * factor

    @staticmethod
    def symbolic(g, x, factor=2.0):
        return g.op("Mul", x, g.op("Constant", value_t=torch.tensor(factor)))


class WrongSymbolic(Function):
    """Its export adds what it subtracts."""

    @staticmethod
    def forward(ctx, x):
        return x - 1

    @staticmethod
    def symbolic(g, x):
        return g.op("Add", x, g.op("Constant", value_t=torch.tensor(1.0)))


class CustomDomain(Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        return g.op("my.domain::Increment", x)


class Quantize(Function):
    """Means what its symbolic says."""

    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def symbolic(g, x):
        return g.op("Floor", x)
'''

#: Module of the package ``troubled`` to its source.
TROUBLED = {
    "__init__": "print('hello from the package')\nimport os\nos.write(1, b'and natively')\n",
    "noisy": "print('x' * 100000)\ninput\nFORK = 1\n" + "from torch.autograd import Function\n"
    "class Noisy(Function):\n  @staticmethod\n  def forward(ctx, x):\n    print('noise')\n    return x + 1\n",
    "exits": "from torch.autograd import Function\nclass Exits(Function):\n"
    "  @staticmethod\n  def forward(ctx, x): return x\nraise SystemExit(3)\n",
    "dies": "import os\nfrom torch.autograd import Function\nclass Dies(Function):\n"
    "  @staticmethod\n  def forward(ctx, x): return x\nos._exit(7)\n",
    "hangs": "import time\nfrom torch.autograd import Function\nclass Hangs(Function):\n"
    "  @staticmethod\n  def forward(ctx, x): return x\nwhile True: time.sleep(1)\n",
    "forks": "import os\nif os.fork() == 0: pass\nfrom torch.autograd import Function\nclass Forks(Function):\n"
    "  @staticmethod\n  def forward(ctx, x): return x + 1\n",
    "wants": "import nosuchdependency as d\nfrom torch.autograd import Function\n"
    "class Wants(Function):\n  @staticmethod\n  def forward(ctx, x): return x + 2\n"
    "class Needs(Function):\n  @staticmethod\n  def forward(ctx, x): return d.compute(x)\n",
    "breaks": "from torch.autograd import Function\nclass Breaks(Function):\n"
    "  @staticmethod\n  def forward(ctx, x): return x\n1 / 0\n",
    "old": "from torch.autograd import Function\nprint 'two'\n",
    "kinds": """
import os
import time
import torch
import torch.distributed as dist
from torch.autograd import Function


class Cuda(Function):
    @staticmethod
    def forward(ctx, x):
        return x.cuda() + 1


class Mutates(Function):
    @staticmethod
    def forward(ctx, x):
        return x.add_(1)


class Text(Function):
    @staticmethod
    def forward(ctx, x):
        return "text"


class Random(Function):
    @staticmethod
    def forward(ctx, x):
        return x + torch.rand_like(x)


class Distributed(Function):
    @staticmethod
    def forward(ctx, x):
        dist.all_reduce(x)
        return x


class Stateful(Function):
    calls = 0

    @staticmethod
    def forward(ctx, x):
        Stateful.calls += 1
        return x + Stateful.calls


class NoNan(Function):
    @staticmethod
    def forward(ctx, x):
        if torch.isnan(x).any():
            raise ValueError("no NaN, please")
        return x * 2


class Slow(Function):
    @staticmethod
    def forward(ctx, x):
        time.sleep(30)
        return x


class Leaves(Function):
    @staticmethod
    def forward(ctx, x):
        os._exit(5)


class Abstract(Function):
    pass


def make(bits):
    class Local(Function):
        @staticmethod
        def forward(ctx, x):
            return x * bits

    return Local
""",
}

#: What each of them is in the report, and what its line says.
EXPECTED = {
    "noisy.Noisy": ("agrees", ""),
    "exits.Exits": ("import-error", "SystemExit: 3"),
    "dies.Dies": ("import-error", r"importing troubled\.dies ends the process \(exit code 7\)"),
    "hangs.Hangs": ("import-error", r"importing troubled\.hangs does not end within \d+ s"),
    "forks.Forks": ("agrees", ""),
    "wants.Wants": ("agrees", ""),
    "wants.Needs": ("needs-module", "nosuchdependency"),
    "breaks.Breaks": ("import-error", "ZeroDivisionError: division by zero"),
    "kinds.Cuda": ("needs-cuda", ""),
    "kinds.Mutates": ("mutates-input", ""),
    "kinds.Text": ("non-tensor", "returns str, no tensor"),
    "kinds.Random": ("random", ""),
    "kinds.Distributed": ("distributed", ""),
    "kinds.Stateful": ("stateful", ""),
    "kinds.NoNan": ("agrees", ""),
    "kinds.Slow": ("timeout", ""),
    "kinds.Leaves": ("crash", ""),
    "kinds.Abstract": ("abstract", ""),
    "kinds.make.<locals>.Local": ("local", "defined inside make, which needs bits"),
}


def write(folder, modules):
    folder.mkdir()
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)


def report_of(project):
    return json.loads((project / "report.json").read_text())


@pytest.mark.slow
def test_whatever_goes_wrong_is_one_line_and_the_scan_goes_on(cli, project):
    write(project / "troubled", TROUBLED)
    ran = cli("scan", "troubled", "nosuchpackage", *CHEAP, "--timeout", 6, "--json", "report.json", code=2)
    report = report_of(project)
    seen = {own["name"].removeprefix("troubled."): own for own in report["functions"]}
    assert {name: own["status"] for name, own in seen.items()} == {n: s for n, (s, _) in EXPECTED.items()}
    for name, (_, message) in EXPECTED.items():
        assert re.search(message, seen[name]["message"]), (name, seen[name]["message"])
    assert seen["wants.Wants"]["stand_ins"] == ["nosuchdependency"]
    assert seen["wants.Wants"]["notes"] == ["nosuchdependency is not installed; stood in for"]
    problems = {own["status"]: own["message"] for own in report["problems"]}
    assert "cannot be parsed: line 2" in problems["unreadable"]
    assert "'nosuchpackage' is not installed" in problems["not-installed"]
    assert "hello from the package" not in ran.out
    assert "troubled" not in sys.modules
    assert not list((project / "tests").rglob("*")) if (project / "tests").exists() else True


@pytest.mark.slow
def test_a_scan_from_findings_to_replay_and_resume(cli, project):
    write(project / "sound", {"__init__": "", "mod": GOOD})
    ran = cli("scan", "sound", *CHEAP, "--json", "report.json", code=1)
    report = report_of(project)
    assert (report["diffexport"], report["version"], report["exit_code"]) == ("scan", 1, 1)
    seen = {own["qualname"]: own for own in report["functions"]}
    assert {name: own["status"] for name, own in seen.items()} == {
        "Double": "agrees",
        "WrongSymbolic": "diverges",
        "CustomDomain": "refused",
        "Quantize": "diverges",
    }
    assert seen["Double"]["inferred"]
    assert seen["Double"]["target"] == "sound.mod:Double"
    nothing = {"refused": 0, "known": 0, "untested": 0}
    # As it is and behind a parameter; without its symbolic it is right.
    assert seen["WrongSymbolic"]["exporters"] == {"torchscript": {"agrees": 0, "diverges": 2, **nothing}}
    assert seen["WrongSymbolic"]["without_symbolic"] == {
        "torchscript": {"agrees": 1, "diverges": 0, **nothing}
    }
    (finding,) = seen["WrongSymbolic"]["findings"]
    assert finding["kind"] == "value"
    assert finding["inputs"][0]["reads"] == "0"
    assert "`symbolic` of WrongSymbolic" in finding["blame"]["because"]
    assert any(
        note.startswith("placeholder? its forward returns its input") for note in seen["Quantize"]["notes"]
    )
    assert "WrongSymbolic: value at compare" in ran.out
    # What was found is a regression like any other.
    stored = re.search(r"reproduce +diffexport (replay \S*wrongsymbolic\S*)", ran.out)
    assert stored is not None
    assert "STILL DIVERGES" in cli(*stored[1].split(), code=1).out
    # Resumed, nothing is done again, and the report is the same; a declared placeholder is no finding.
    again = cli("scan", "sound", *CHEAP, "--json", "report.json", "--resume", code=1)
    assert "4 of them done before" in again.out
    assert report_of(project)["functions"] == report["functions"]
    assert "WrongSymbolic: value at compare" in again.out
    only = ("--only", "Quantize", "--placeholder", "*.Quantize", "--no-save")
    cli("scan", "sound", *CHEAP, *only, "--modes", "dynamo", "--json", "report.json", code=0)
    (quantize,) = report_of(project)["functions"]
    assert quantize["status"] == "agrees"
    assert quantize["notes"][0].startswith("placeholder, as declared")


def test_a_list_imports_nothing_and_answers_at_once(cli, project):
    write(project / "quiet", {"__init__": "raise SystemExit(9)", "mod": GOOD})
    ran = cli("scan", "quiet", "--list", "--only", "*Symbolic", "--json", "report.json", code=0)
    assert "WrongSymbolic" in ran.out
    assert "Double" not in ran.out
    assert "1 autograd.Function" in ran.out
    (own,) = report_of(project)["functions"]
    assert (own["status"], own["symbolic"], own["line"]) == ("listed", True, 16)
    assert not (project / ".diffexport").exists()


def test_a_place_without_functions_is_not_tested(cli, project):
    write(project / "barren", {"__init__": ""})
    assert "0 Functions" in cli("scan", "barren", code=2).out
    assert "1 autograd" not in cli("scan", "barren", "--list", code=0).out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["scan"], "Missing argument"),
        (["scan", "torch", "--modes", "dynamoo"], "unknown mode or matrix 'dynamoo'"),
        (["scan", "torch", "--runtime", "ort-dizabled"], "unknown runtime 'ort-dizabled'"),
        (["scan", "torch", "--timeout", "0"], "Invalid value for '--timeout'"),
    ],
    ids=str,
)
def test_wrong_use(cli, arguments, problem):
    ran = cli(*arguments, code=2)
    assert problem in ran.err
