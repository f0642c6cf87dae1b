"""Modules that do not import: what is stood in for, what is left out, and what is said."""

import sys

import pytest

from diffexport.subjects.targets.importing import CannotImport, Importer


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package ``ragged`` and forget it, and every stand-in, afterwards."""
    before, finders = set(sys.modules), list(sys.meta_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(**modules):
        for name, source in modules.items():
            file = tmp_path.joinpath("ragged", *name.split("__in__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)

    yield write
    sys.meta_path[:] = finders
    for name in set(sys.modules) - before:
        del sys.modules[name]


USES_A_DEPENDENCY = """
import nosuchdep.sub as dep
from nosuchdep.other import Base, helper, CONSTANT

@helper
def decorated(x):
    return x + 1

@dep.register("name", key=[dep.A, dep.B])
class Registered:
    pass

class Mine(Base[int], dep.Mixin):
    value = dep.make(1).attribute

    def annotated(self, x: dep.Type | None) -> "Base":
        return x

def uses():
    return dep.compute(3)

VERSION = tuple(int(part) for part in dep.__version__.split("."))
"""


def test_a_missing_dependency_is_named_and_stood_in_for(package):
    package(__init__="", mod=USES_A_DEPENDENCY)
    imported = Importer().load("ragged.mod")
    assert imported.missing == ("nosuchdep",)
    assert imported.hollow == ()
    assert imported.module.decorated(1) == 2
    assert imported.module.Registered.__name__ == "Registered"
    assert imported.module.Mine().annotated(3) == 3


def test_what_is_stood_in_for_refuses_to_be_used_afterwards(package):
    package(__init__="", mod=USES_A_DEPENDENCY)
    module = Importer().load("ragged.mod").module
    with pytest.raises(ModuleNotFoundError, match=r"nosuchdep\.sub\.compute is used, which is not installed"):
        module.uses()


def test_an_import_that_is_guarded_sees_that_nothing_is_there(package):
    package(__init__="", mod="try:\n    import nosuchdep\nexcept ImportError:\n    nosuchdep = None\n")
    imported = Importer().load("ragged.mod")
    assert imported.module.nosuchdep is None
    assert imported.missing == ()


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        ("raise RuntimeError('no license')", "RuntimeError: no license"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def", "SyntaxError: invalid syntax"),
        ("from . import gone", "ImportError: cannot import name 'gone' from partially initialized module"),
    ],
)
def test_a_package_whose_init_fails_is_made_hollow(package, init, reason):
    package(
        __init__=init,
        sub__in____init__="",
        sub__in__mod="from . import other\nx = other.y",
        sub__in__other="y = 7",
    )
    imported = Importer().load("ragged.sub.mod")
    assert imported.module.x == 7
    ((name, why),) = imported.hollow
    assert name == "ragged"
    assert why.startswith(reason)


def test_a_module_that_fails_itself_says_why(package):
    package(__init__="", mod="1 / 0", wants="from ragged.mod import x")
    for name in ("ragged.mod", "ragged.wants"):
        with pytest.raises(CannotImport, match="ZeroDivisionError: division by zero") as raised:
            Importer().load(name)
        assert raised.value.missing == ""


def test_a_module_of_the_package_that_is_not_there_is_no_dependency(package):
    package(__init__="", mod="import ragged._C")
    with pytest.raises(CannotImport, match=r"ragged\._C is not installed") as raised:
        Importer().load("ragged.mod")
    assert raised.value.missing == "ragged._C"


def test_what_is_known_to_hang_is_not_run(package):
    package(__init__="ran = 1", mod="x = 1", sub__in____init__="raise AssertionError('it was run')")
    importer = Importer([("ragged", "importing ragged does not end")])
    imported = importer.load("ragged.mod")
    assert imported.hollow == (("ragged", "importing ragged does not end"),)
    assert not hasattr(sys.modules["ragged"], "ran")


def test_each_ancestor_is_announced_before_it_is_run(package):
    said = []
    package(__init__="", sub__in____init__="", sub__in__mod="")
    Importer(announce=said.append).load("ragged.sub.mod")
    assert said == ["ragged", "ragged.sub", "ragged.sub.mod"]


def test_a_file_outside_any_package(tmp_path, package):
    file = tmp_path / "script.py"
    file.write_text("import nosuchdep\nx = 5")
    imported = Importer().load_file(file, "script_under_test")
    assert (imported.module.x, imported.missing) == (5, ("nosuchdep",))
    with pytest.raises(CannotImport, match="FileNotFoundError"):
        Importer().load_file(tmp_path / "gone.py", "gone_under_test")
