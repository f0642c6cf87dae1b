"""benchmarks/structure.py, on small packages that are written for it."""

import importlib
import json
from pathlib import Path

import pytest

_ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())


@pytest.fixture(scope="module")
def structure():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(_ROOT / "benchmarks")
        yield importlib.import_module("structure")


@pytest.fixture
def measured(structure, tmp_path):
    """Writes a package of the given files and returns its figures by their keys."""

    def measure(**files):
        root = tmp_path / "pkg"
        for name, text in {"__init__.py": "", **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            for folder in path.parents:
                if folder.is_relative_to(root) and not (folder / "__init__.py").exists():
                    (folder / "__init__.py").write_text("")
        return {figure.key: figure for figure in structure.figures(structure.Package.read(root))}

    return lambda files: measure(**files)


_LONG = "def long():\n" + "    x = 1\n" * 60
_LAZY = "import lazy_loader\n__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n"

#: For each figure, files that give 0 (or as many as the goal allows) and files that give the number beside them.
CASES = {
    "no folder at the top": ("top_folders", {"a.py": ""}, 0),
    "two folders at the top": ("top_folders", {"a/b.py": "", "c/d/e.py": ""}, 2),
    "only the face at the top": ("top_modules", {"a/b.py": ""}, 1),
    "three modules at the top": ("top_modules", {"a.py": "", "b.py": ""}, 3),
    # Imports past a face.
    "a name of a face": ("past_faces", {"a/x.py": "from pkg.b import Y", "b/__init__.py": "Y = 1"}, 0),
    "a name inside a room": ("past_faces", {"a/x.py": "from pkg.b.y import Y", "b/y.py": "Y = 1"}, 1),
    "a module of a room": ("past_faces", {"a/x.py": "from pkg.b import y", "b/y.py": ""}, 1),
    "two modules of a room": (
        "past_faces",
        {"a/x.py": "from pkg.b import y, z", "b/y.py": "", "b/z.py": ""},
        2,
    ),
    "two names of a module": ("past_faces", {"a/x.py": "from pkg.b.y import Y, Z", "b/y.py": "Y = Z = 1"}, 1),
    "import of a module": ("past_faces", {"a/x.py": "import pkg.b.y", "b/y.py": ""}, 1),
    "import of a module by another name": ("past_faces", {"a/x.py": "import pkg.b.y as z", "b/y.py": ""}, 1),
    "a room": ("past_faces", {"a/x.py": "import pkg.b\nfrom pkg import b as c", "b/y.py": ""}, 0),
    "a room inside another": ("past_faces", {"a/x.py": "from pkg.b import c", "b/c/y.py": ""}, 0),
    "a module of a room inside another": (
        "past_faces",
        {"a/x.py": "from pkg.b.c.y import Y", "b/c/y.py": ""},
        1,
    ),
    "a wing that reaches into its room": (
        "past_faces",
        {"b/__init__.py": "from pkg.b.c.y import Y", "b/c/y.py": ""},
        1,
    ),
    "a room that reaches into its wing": (
        "past_faces",
        {"b/c/y.py": "from pkg.b.x import X", "b/x.py": "X = 1"},
        0,
    ),
    "the neighbour in a wing": ("past_faces", {"b/c/y.py": "from ..d.z import Z", "b/d/z.py": "Z = 1"}, 1),
    "the own room": (
        "past_faces",
        {"a/x.py": "from pkg.a.y import Y\nfrom .y import Y", "a/y.py": "Y = 1"},
        0,
    ),
    "a room whose name begins alike": (
        "past_faces",
        {"a/x.py": "from pkg.aa.y import Y", "aa/y.py": "Y = 1"},
        1,
    ),
    "loose modules": ("past_faces", {"a/x.py": "from pkg.y import Y\nfrom pkg import y", "y.py": "Y = 1"}, 0),
    "by a relative import": ("past_faces", {"a/x.py": "from ..b.y import Y", "b/y.py": "Y = 1"}, 1),
    "in a function": ("past_faces", {"a/x.py": "def f():\n    from pkg.b.y import Y", "b/y.py": "Y = 1"}, 1),
    "for type checkers": (
        "past_faces",
        {
            "a/x.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pkg.b.y import Y",
            "b/y.py": "Y = 1",
        },
        1,
    ),
    "by the face of the package": (
        "past_faces",
        {"__init__.py": "from pkg.b.y import Y", "b/y.py": "Y = 1"},
        1,
    ),
    "by a stub": ("past_faces", {"a/__init__.pyi": "from .b.y import Y", "a/b/y.py": "Y = 1"}, 1),
    "as an attribute": ("past_faces", {"a/x.py": "from pkg import b\nb.y.Y", "b/y.py": "Y = 1"}, 1),
    "a function of the name of its module": (
        "past_faces",
        {
            "a/x.py": "from pkg.b import y",
            "b/__init__.py": "from pkg.b.y import y",
            "b/y.py": "def y(): pass",
        },
        0,
    ),
    "a module that its face imports": (
        "past_faces",
        {"a/x.py": "from pkg.b import y", "b/__init__.py": "from pkg.b import y", "b/y.py": ""},
        1,
    ),
    # Cycles.
    "a chain": ("cycles", {"a.py": "import pkg.b", "b.py": "import pkg.c", "c.py": ""}, 0),
    "a cycle": (
        "cycles",
        {"a.py": "import pkg.b", "b.py": "from pkg import c", "c.py": "from .a import A"},
        1,
    ),
    "two cycles": (
        "cycles",
        {
            "a.py": "import pkg.b",
            "b.py": "import pkg.a",
            "c.py": "import pkg.d",
            "d.py": "import pkg.c, pkg.a",
        },
        2,
    ),
    "a cycle through a function": (
        "cycles",
        {"a.py": "import pkg.b", "b.py": "def f():\n    import pkg.a"},
        1,
    ),
    "a cycle for type checkers": (
        "cycles",
        {"a.py": "import pkg.b", "b.py": "import typing\nif typing.TYPE_CHECKING:\n    import pkg.a"},
        0,
    ),
    "a module that imports from its own face": (
        "cycles",
        {
            "a/__init__.py": "from pkg.a.x import X\nfrom pkg.a.y import Y",
            "a/x.py": "from pkg.a import Y",
            "a/y.py": "Y = 1",
        },
        0,
    ),
    "a cycle through a face": (
        "cycles",
        {
            "a/__init__.py": "from pkg.a.x import X",
            "a/x.py": "from pkg.b import Y",
            "b/__init__.py": "from .y import Y",
            "b/y.py": "from pkg.a import X",
        },
        1,
    ),
    "a cycle through lazy faces": (
        "cycles",
        {
            "a/__init__.py": _LAZY,
            "a/__init__.pyi": "from .x import X",
            "a/x.py": "from pkg.b import Y",
            "b/__init__.py": _LAZY,
            "b/__init__.pyi": "from .y import Y",
            "b/y.py": "from pkg.a import X",
        },
        1,
    ),
    "no cycle through lazy faces": (
        "cycles",
        {
            "a/__init__.py": _LAZY,
            "a/__init__.pyi": "from .x import X\nfrom .z import Z",
            "a/x.py": "from pkg.b import Y",
            "a/z.py": "",
            "b/__init__.py": _LAZY,
            "b/__init__.pyi": "from .y import Y",
            "b/y.py": "from pkg.a import Z",
        },
        0,
    ),
    "a cycle through a face that imports all names": (
        "cycles",
        {
            "a/__init__.py": "from pkg.a.x import *",
            "a/x.py": "import pkg.b\nX = 1",
            "b.py": "from pkg.a import X",
        },
        1,
    ),
    # Sizes and names.
    "a function of 60 lines": ("long_functions", {"a.py": _LONG.replace("    x = 1\n", "", 1)}, 0),
    "a function of 61 lines": ("long_functions", {"a.py": _LONG}, 1),
    "a method of 61 lines": (
        "long_functions",
        {"a.py": "class A:\n" + "".join(f" {x}\n" for x in _LONG.splitlines())},
        1,
    ),
    "a file of 450 lines": ("long_files", {"a.py": "\n" * 450}, 0),
    "a file of 451 lines": ("long_files", {"a.py": "\n" * 451}, 1),
    "names that may repeat": (
        "repeated_files",
        {f"{x}/{y}.py": "" for x in "ab" for y in ("child", "__main__")},
        0,
    ),
    "a name that repeats": ("repeated_files", {"a/x.py": "", "b/x.py": "", "c/x.py": ""}, 1),
    "different classes": ("repeated_classes", {"a.py": "class A: pass\nclass B: pass"}, 0),
    "two classes of a name": ("repeated_classes", {"a.py": "class A: pass", "b.py": "class A: pass"}, 1),
    "but for an underscore": ("repeated_classes", {"a.py": "class A: pass", "b.py": "class _A: pass"}, 1),
    "one of them in a function": (
        "repeated_classes",
        {"a.py": "class A: pass", "b.py": "def f():\n    class A: pass"},
        1,
    ),
    "no Array": ("array_aliases", {"a.py": "from pkg import Array"}, 0),
    "an Array": ("array_aliases", {"a.py": "Array = int"}, 1),
    "two Arrays": ("array_aliases", {"a.py": "Array = int", "b.py": "Array: type = int"}, 2),
    "public names of torch": (
        "private_names",
        {"a.py": "import torch.onnx\nprint(torch.__version__, my_torch._C)"},
        0,
    ),
    "private names in their folder": ("private_names", {"pytorch/a.py": "import torch._C"}, 0),
    "private names elsewhere": (
        "private_names",
        {
            "a.py": "import torch._C\nfrom torch.utils import _pytree\n# torch.jit._trace\nS = 'torch.onnx._internal'",
        },
        4,
    ),
    "a private name in brackets": (
        "private_names",
        {"a.py": "from torch.utils import (\n    data,\n    _pytree,\n)"},
        1,
    ),
    "no variable called found": ("named_found", {"a.py": "x = 1\ndef found(): return y.found"}, 0),
    "variables called found": ("named_found", {"a.py": "found = 1\nprint(found)\ndef f(found): pass"}, 2),
    "variables called own": ("named_own", {"a.py": "for own in x: pass"}, 1),
    "variables called made": ("named_made", {"a.py": "[made for made in x]"}, 1),
}  # fmt: skip


@pytest.mark.parametrize(("key", "files", "figure"), CASES.values(), ids=CASES)
def test_figures(measured, key, files, figure):
    assert measured(files)[key].value == figure, measured(files)[key].items


def test_what_is_counted_is_listed(measured):
    figures = measured({"a/x.py": "from pkg.b.y import Y", "b/y.py": "import pkg.a.x\nY = 1"})
    assert figures["past_faces"].items == ["pkg/a/x.py:1 imports pkg.b.y", "pkg/b/y.py:1 imports pkg.a.x"]
    (cycle,) = figures["cycles"].items
    assert cycle == "2 modules: pkg.a.x, pkg.b.y; pkg.a.x → pkg.b.y → pkg.a.x"


def _package(folder, text):
    folder.mkdir()
    (folder / "__init__.py").write_text(text)
    return folder


def test_check_says_whether_every_goal_is_met(structure, tmp_path, capsys):
    good, bad = _package(tmp_path / "good", "X = 1\n"), _package(tmp_path / "bad", _LONG)
    assert structure.main(["--root", str(good), "--check"]) == 0
    assert "missed" not in capsys.readouterr().out
    assert structure.main(["--root", str(bad)]) == 0
    capsys.readouterr()
    assert structure.main(["--root", str(bad), "--check", "-v"]) == 1
    printed = capsys.readouterr().out
    assert "goals missed: functions over 60 lines" in printed
    assert "  bad/__init__.py:1 long: 61 lines" in printed


def test_json(structure, tmp_path):
    root, file = _package(tmp_path / "pkg", _LONG), tmp_path / "figures.json"
    assert structure.main(["--root", str(root), "--json", str(file)]) == 0
    document = json.loads(file.read_text())
    assert document["long_functions"] == {
        "figure": 1,
        "at_most": 0,
        "met": False,
        "items": ["pkg/__init__.py:1 long: 61 lines"],
    }
    assert document["named_found"]["at_most"] is None


@pytest.mark.parametrize("text", [None, "def f(:\n", "a\0b"], ids=["no package", "no Python", "a null byte"])
def test_wrong_use_is_one_line(structure, tmp_path, capsys, text):
    root = tmp_path / "pkg" if text is None else _package(tmp_path / "pkg", text)
    assert structure.main(["--root", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("structure: ")
    assert str(root) in error
    assert error.count("\n") == 1
