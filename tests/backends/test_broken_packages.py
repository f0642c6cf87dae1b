"""Packages whose runtimes and exporters are of no use: one line names the package, and the others work."""

import re

import pytest

from diffexport.backends.runtimes import runtime_of, select
from diffexport.errors import InvalidModeError, PlugInError, UsageError
from diffexport.values import EXPORTER_REGISTRY, RUNTIME_REGISTRY, Mode

RUNTIME = """
import numpy as np
from diffexport.backends.runtimes import Runtime
class Session:
    inputs, outputs = ("x",), ("y",)
    def run(self, feeds):
        return {outputs}
class One(Runtime):
    name, title, family = {name!r}, "one", "ones"
    def load(self, model):
        return {session}
ONE = One()
"""
GOOD = {"name": "one", "session": "Session()", "outputs": "[np.zeros(2)]"}

EXPORTER = """
from diffexport.backends.exporters import Exporter
from diffexport.values import OPTIONS_BY_NAME, ExporterDescription, Option
class One(Exporter):
    description = ExporterDescription({name!r}, (18, 20), ({options}))
    def export(self, request):
        return {written}
ONE = One()
"""
GOOD_EXPORTER = {"name": "one", "options": "OPTIONS_BY_NAME['opset'],", "written": "b''"}

BROKEN_RUNTIMES = {
    "raises when imported": (
        "import no_such_module",
        "raises ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "leaves when imported": ("raise SystemExit(3)", "raises SystemExit: 3"),
    "has no such attribute": ("TWO = 1", "raises AttributeError"),
    "is no runtime": ("ONE = 3", "it has no 'name'"),
    "lacks a part": (RUNTIME.format(**GOOD).replace("(Runtime)", ""), "it has no 'order'"),
    "has a part of another kind": (RUNTIME.format(**GOOD) + "One.family = None\n", "its 'family' is no str"),
    "has no method": (RUNTIME.format(**GOOD) + "One.load = 3\n", "its 'load' cannot be called"),
    "has another name": (RUNTIME.format(**{**GOOD, "name": "two"}), "its name is 'two'"),
    "has no session": (RUNTIME.format(**{**GOOD, "session": "3"}), "load returns int, which is no session"),
    "has no arrays": (
        RUNTIME.format(**{**GOOD, "outputs": "[[0.0, 0.0]]"}),
        "run returns a list of list, not a list of numpy arrays",
    ),
    "gives no reason": (
        RUNTIME.format(**GOOD) + "One.unavailable = lambda self: None\n",
        r"unavailable\(\) returns None, not a text",
    ),
}
BROKEN_EXPORTERS = {
    "raises when imported": (
        "raise ValueError('line one\\nline two')",
        "raises ValueError: line one line two",
    ),
    "is no exporter": ("ONE = 3", "it has no 'description'"),
    "lacks a part": (EXPORTER.format(**GOOD_EXPORTER).replace("(Exporter)", ""), "it has no 'stage_of'"),
    "has another name": (EXPORTER.format(**{**GOOD_EXPORTER, "name": "two"}), "its description is of 'two'"),
    "has another's option": (
        EXPORTER.format(**{**GOOD_EXPORTER, "options": "Option('training', 'A', ('A',), ''),"}),
        "its option 'training' is not the one of that name that diffexport has",
    ),
    "has an option with a wrong default": (
        EXPORTER.format(**{**GOOD_EXPORTER, "options": "Option('level', 3, (1, 2), ''),"}),
        "its option 'level' cannot be one",
    ),
}


@pytest.mark.parametrize(("source", "message"), BROKEN_RUNTIMES.values(), ids=BROKEN_RUNTIMES)
def test_a_broken_runtime_is_one_line_that_names_the_package(package, command, source, message):
    package("the-culprit", {"culprit": source}, runtimes={"one": "culprit:ONE"})
    package("the-good", {"good": RUNTIME.format(**{**GOOD, "name": "fine"})}, runtimes={"fine": "good:ONE"})
    assert select(["fine", "ort-all"]) == ("ort-all", "fine")
    with pytest.raises(PlugInError, match=f"runtime 'one' of the package 'the-culprit' .*{message}"):
        select(["one"])
    code, out, errors = command("run", "clamp", "--runtime", "one")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert "'the-culprit'" in errors
    # Listed, beside all the others.
    code, out, _ = command("backends")
    assert code == 0
    assert len([line for line in out.splitlines() if "'the-culprit'" in line]) == 1
    assert re.search("fine +family ones", out)


@pytest.mark.parametrize(("source", "message"), BROKEN_EXPORTERS.values(), ids=BROKEN_EXPORTERS)
def test_a_broken_exporter_is_one_line_that_names_the_package(package, command, source, message):
    package("the-culprit", {"culprit": source}, exporters={"one": "culprit:ONE"})
    package(
        "the-good",
        {"good": EXPORTER.format(**{**GOOD_EXPORTER, "name": "fine"})},
        exporters={"fine": "good:ONE"},
    )
    assert str(Mode.parse("fine,opset=18")) == "fine,opset=18"
    with pytest.raises(PlugInError, match=f"exporter 'one' of the package 'the-culprit' .*{message}"):
        Mode.parse("one")
    code, out, errors = command("modes", "one")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    code, out, _ = command("backends")
    assert len([line for line in out.splitlines() if "'the-culprit'" in line]) == 1
    assert re.search("fine +opset 18..20", out)


def test_an_exporter_that_writes_something_else_is_told_of(package, command):
    package("the-culprit", {"culprit": EXPORTER.format(**GOOD_EXPORTER)}, exporters={"one": "culprit:ONE"})
    cheap = ("--runtime", "ort-disabled", "--jobs", "0", "--no-save", "--examples", "1")
    code, out, errors = command("run", "clamp", "--modes", "one", *cheap)
    assert code == 2
    assert "exporter 'one' of the package 'the-culprit' cannot be used: export returns bytes" in " ".join(
        (out + errors).split()
    )


def test_a_name_of_diffexports_own_is_kept_and_said(package, command):
    package(
        "the-culprit",
        {"culprit": "1/0"},
        runtimes={"ort-all": "culprit:ONE"},
        exporters={"dynamo": "culprit:ONE"},
    )
    assert runtime_of("ort-all").title == "ONNX Runtime"
    assert Mode.parse("dynamo").description.conversion == "dynamo"
    cheap = ("--modes", "torchscript", "--jobs", "0", "--no-save", "--examples", "1")
    code, _, errors = command("run", "two_modules_one_name", "--runtime", "ort-all", *cheap)
    assert code == 0
    line = "runtime 'ort-all' of the package 'the-culprit' is left out: diffexport has one of that name"
    assert errors == f"diffexport: exporter 'dynamo'{line[17:]}\ndiffexport: {line}\n"


def test_a_name_that_two_packages_claim_is_neithers(package, command):
    for name in ("the-first", "the-second"):
        package(
            name,
            {name[4:]: RUNTIME.format(**{**GOOD, "name": "twice"})},
            runtimes={"twice": f"{name[4:]}:ONE"},
        )
    package("the-good", {"good": RUNTIME.format(**{**GOOD, "name": "fine"})}, runtimes={"fine": "good:ONE"})
    with pytest.raises(
        PlugInError, match="'twice' cannot be used: it is claimed twice, by the-first and the-second"
    ):
        select(["twice"])
    assert select(["fine"]) == ("fine",)
    _, out, _ = command("backends")
    assert sum("claimed twice, by the-first and the-second" in line for line in out.splitlines()) == 1


def test_what_a_runtime_raises_is_its_refusal(package):
    source = RUNTIME.format(**GOOD).replace("return Session()", "raise KeyError('who knows')")
    package("the-good", {"good": source}, runtimes={"one": "good:ONE"})
    from diffexport.backends.runtimes import LoadError, load

    with pytest.raises(LoadError, match="KeyError: 'who knows'"):
        load("one", b"")


def test_an_unavailable_runtime_says_why(package, command):
    source = RUNTIME.format(**GOOD) + "One.unavailable = lambda self: 'there is no licence'\n"
    package("the-good", {"good": source}, runtimes={"one": "good:ONE"})
    with pytest.raises(UsageError, match="runtime 'one' is not available: there is no licence"):
        select(["one"])
    _, out, _ = command("backends")
    assert "not available: there is no licence" in out


def test_nothing_is_imported_before_it_is_asked_for(package):
    package(
        "the-culprit", {"culprit": "1/0"}, runtimes={"one": "culprit:ONE"}, exporters={"one": "culprit:ONE"}
    )
    assert "one" in RUNTIME_REGISTRY.names()
    assert "one" in EXPORTER_REGISTRY.names()
    assert select(["all"])[0] == "ort-disabled"
    assert Mode.parse("dynamo,opset=18").opset == 18
    with pytest.raises(InvalidModeError, match="known: dynamo, dynamo-strict, torchscript, one"):
        Mode.parse("none")
