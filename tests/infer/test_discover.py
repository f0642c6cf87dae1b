"""Functions are found in source alone: what leads to torch's class, and what does not."""

import sys

import pytest

from diffexport.infer.discovery import PlaceError, discover

FORWARD = "    @staticmethod\n    def forward(ctx, x, alpha=1.0):\n        return x * alpha\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package of the given modules; return its path."""

    def write(name="pkg", **modules):
        folder = tmp_path / name
        folder.mkdir()
        modules.setdefault("__init__", "")
        for module, source in modules.items():
            file = folder.joinpath(*module.split("__in__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source if isinstance(source, bytes) else source.encode())
        monkeypatch.syspath_prepend(tmp_path)
        return folder

    return write


def names(place):
    return [found.name for found in discover(str(place)).functions]


ONE_FILE = {
    "import torch\nclass F(torch.autograd.Function):\n": ["F"],
    "from torch.autograd import Function\nclass F(Function):\n": ["F"],
    "from torch import autograd as ag\nclass F(ag.Function):\n": ["F"],
    "import torch.autograd.function as f\nclass F(f.InplaceFunction):\n": ["F"],
    "from torch.autograd import *\nclass F(Function):\n": ["F"],
    "import torch\nBase = torch.autograd.Function\nclass F(Base):\n": ["F"],
    "from torch.autograd import Function as Fn\nB = Fn if 1 else object\nclass F(B):\n": ["F"],
    "from torch.autograd import Function\nclass M: pass\nclass F(M, Function):\n": ["F"],
    "from torch.autograd import Function\nclass O:\n  class F(Function): pass\nclass G(O.F):\n": ["G", "O.F"],
    "class Function: pass\nclass F(Function):\n": [],
    "from sympy import Function\nclass F(Function):\n": [],
    "import torch\nclass F(torch.nn.Module):\n": [],
}


@pytest.mark.parametrize("head", ONE_FILE)
def test_what_leads_to_the_class_of_torch(package, head):
    place = package(mod=head + FORWARD)
    assert sorted(names(place)) == [f"pkg.mod.{name}" for name in ONE_FILE[head]]


def test_a_base_is_followed_through_modules_that_do_not_speak_of_functions(package):
    place = package(
        base="import torch\nclass Base(torch.autograd.Function):\n" + FORWARD,
        again="from pkg.base import Base as Renamed\n",
        other="from .again import Renamed\nclass Mine(Renamed):\n    symbolic = None\n",
        third="from . import other\nclass Last(other.Mine):\n    pass\n",
        stars="from pkg.third import *\nclass Star(Last):\n    pass\n",
    )
    assert names(place) == ["pkg.base.Base", "pkg.other.Mine", "pkg.stars.Star", "pkg.third.Last"]


def test_modules_that_import_each_others_names_in_a_circle_end(package):
    place = package(
        a="from .b import *\nfrom torch.autograd import Function\nclass F(Function):\n" + FORWARD,
        b="from .a import *\nclass G(F):\n    pass\nclass H(Nowhere):\n    pass\n",
        c="Function = other.x\nother = Function.y\nclass I(Function):\n    pass\n",
    )
    assert names(place) == ["pkg.a.F", "pkg.b.G"]


def test_what_is_said_of_a_function(package):
    place = package(
        mod="import torch\n\nif True:\n  class F(torch.autograd.Function):\n"
        "    @classmethod\n    def forward(cls, ctx, x, *rest): return x\n"
        "    @staticmethod\n    def symbolic(g, x): return x\n"
        "class S(torch.autograd.Function):\n    @staticmethod\n    def forward(x, k): return x\n"
        "    @staticmethod\n    def setup_context(ctx, inputs, output): pass\n"
        "class A(torch.autograd.Function):\n    pass\n"
        "class P(A):\n    pass\nP.symbolic = P.forward = print\n"
        "D = type('D', (torch.autograd.Function,), {})\n"
    )
    found = {own.qualname: own for own in discover(str(place)).functions}
    assert found["F"].line == 4
    assert found["F"].target == "pkg.mod:F"
    assert found["F"].parameters == ("x", "*rest")
    assert (found["F"].symbolic, found["F"].conditional, found["F"].abstract) == (True, True, False)
    assert found["S"].parameters == ("x", "k")
    assert (found["S"].setup_context, found["S"].symbolic, found["S"].conditional) == (True, False, False)
    assert found["A"].abstract
    assert found["P"].symbolic
    assert not found["P"].abstract
    assert not found["D"].abstract


LOCAL = {
    "def make():\n  class F(Function): pass\n  return F\n": "",
    "def make(bits=3):\n  class F(Function): pass\n  return F.apply\n": "",
    "def make():\n  class F(Function): pass\n  def call(x): return F.apply(x)\n  return call\n": "",
    "def make(bits):\n  class F(Function): pass\n  return F\n": "defined inside make, which needs bits",
    "def make():\n  class F(Function): pass\n": "defined inside make, which does not return it",
    "class M:\n def m(self):\n  class F(Function): pass\n  return F\n": "defined inside the method M.m",
}


@pytest.mark.parametrize("source", LOCAL)
def test_a_class_inside_a_function_says_whether_it_can_be_had(package, source):
    place = package(mod="from torch.autograd import Function\n" + source)
    (found,) = discover(str(place)).functions
    assert found.qualname.endswith(".<locals>.F")
    assert found.local == LOCAL[source]


MARKS = {
    "return x + torch.rand_like(x)": ("random",),
    "return helper(x)": ("random",),
    "return G.apply(x)": ("random",),
    "dist.all_reduce(x)\n        return x": ("distributed",),
    "return _C.run(x)": ("native",),
    "return torch.ops.mine.run(x)": ("native",),
    "kernel[1](x)\n        return x": ("triton",),
    "return x.cuda()": ("cuda",),
    "global count\n        count = 1\n        return x": ("stateful",),
    "return torch.ops.aten.relu(x)": (),
    "return x.clone()": ("placeholder",),
    "return torch.zeros_like(x)": ("placeholder",),
    "y = x\n        return y * 2": (),
}
MARKED = """
import torch
import triton
import torch.distributed as dist
from . import _C

def helper(x):
    return inner(x)

def inner(x):
    return x.clone().bernoulli_()

@triton.jit
def kernel(x):
    pass

class G(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.nn.functional.dropout(x)

class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        {body}

    @staticmethod
    def backward(ctx, g):
        dist.all_reduce(g)
        return torch.rand_like(g)

    @staticmethod
    def symbolic(g, x):
        return g.op("Relu", x)
"""


@pytest.mark.parametrize("body", MARKS)
def test_marks_are_of_the_forward_and_what_it_calls(package, body):
    place = package(mod=MARKED.replace("{body}", body))
    found = {own.qualname: own for own in discover(str(place)).functions}
    assert found["F"].marks == MARKS[body]


def test_files_that_cannot_be_read_as_python_are_named_and_the_others_go_on(package):
    place = package(
        good="# coding: latin-1\nfrom torch.autograd import Function\nclass Gut(Function):\n".encode(
            "latin-1"
        )
        + FORWARD.encode(),
        latin="# coding: latin-1\nfrom torch.autograd import Function\nclass Größe(Function): 'Ü'\n".encode(
            "latin-1"
        ),
        old="from torch.autograd import Function\nprint 'two'\n",
        null=b"from torch.autograd import Function\n\0",
        wrong="# Function\nx = 'Größe'\n".encode("latin-1"),
        bom=b"\xef\xbb\xbffrom torch.autograd import Function\nclass B(Function): pass\n",
    )
    found = discover(str(place))
    assert [own.name for own in found.functions] == ["pkg.bom.B", "pkg.good.Gut", "pkg.latin.Größe"]
    assert [problem.module for problem in found.problems] == ["pkg.null", "pkg.old", "pkg.wrong"]
    assert "line 2" in found.problems[1].message


def test_a_package_is_found_by_import_name_without_being_imported(package):
    package("quiet", mod="raise SystemExit\nfrom torch.autograd import Function\nclass F(Function): pass\n")
    assert names("quiet") == ["quiet.mod.F"]
    assert names("quiet.mod") == ["quiet.mod.F"]
    assert not any(name.startswith("quiet") for name in sys.modules)


def test_a_package_is_found_by_its_name_on_pypi(package, tmp_path):
    package("import_me", mod="from torch.autograd import Function\nclass F(Function): pass\n")
    info = tmp_path / "Some_Thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Some-Thing\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("import_me\n")
    assert names("some.thing") == ["import_me.mod.F"]


def test_a_path_inside_a_package_keeps_the_names_of_the_package(package):
    place = package(
        base="from torch.autograd import Function\nclass Base(Function):\n" + FORWARD,
        sub__in____init__="",
        sub__in__mod="from ..base import Base\nclass F(Base): pass\n",
    )
    assert names(place / "sub") == ["pkg.sub.mod.F"]
    assert names(place / "sub" / "mod.py") == ["pkg.sub.mod.F"]


def test_a_package_that_is_not_on_the_path_is_named_by_its_files(tmp_path, monkeypatch):
    folder = tmp_path / "src" / "pkg_elsewhere"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "mod.py").write_text("from torch.autograd import Function\nclass F(Function):\n" + FORWARD)
    monkeypatch.chdir(tmp_path)
    (found,) = discover("src").functions
    assert (found.name, found.target) == ("pkg_elsewhere.mod.F", "src/pkg_elsewhere/mod.py:F")
    assert found.root == str(tmp_path / "src")
    assert not found.loose


def test_files_outside_any_package_are_loaded_by_path(tmp_path, monkeypatch):
    source = "from torch.autograd import Function\nclass F(Function):\n" + FORWARD
    for folder in ("one", "two", ".hidden", "venv"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "torch.py").write_text(source)
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    monkeypatch.chdir(tmp_path)
    found = discover(".").functions
    assert [own.target for own in found] == ["one/torch.py:F", "two/torch.py:F"]
    assert len({own.name for own in found}) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nosuchpackage", "package 'nosuchpackage' is not installed, and there is no such file or folder"),
        ("no/such/path", "there is no file or folder no/such/path"),
        ("what is this?", "'what is this?' is neither the name of a package nor a path"),
        ("torch.nowhere", "package 'torch' is installed, but has no module 'torch.nowhere'"),
    ],
)
def test_a_place_that_is_not_there(text, problem):
    with pytest.raises(PlaceError) as raised:
        discover(text)
    assert problem in str(raised.value)


def test_the_digest_changes_with_any_file(package):
    place = package(mod="x = 1\n", other="from torch.autograd import Function\n")
    before = discover(str(place)).digest
    assert discover(str(place)).digest == before
    (place / "mod.py").write_text("x = 2\n")
    assert discover(str(place)).digest != before
