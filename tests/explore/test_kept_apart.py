"""Cases do not touch each other: what one does to its process is told as its own, and put back before the next."""

import json
import os
import sys
import textwrap

import pytest
import torch

from diffexport.explore import KeptApart, apart
from diffexport.findings.events import ModeFinished, StateChanged


def told(events):
    return [(event.what, event.restored) for event in events if isinstance(event, StateChanged)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_importing_changes_is_there_whenever_the_module_is_worked_on(folder):
    state = KeptApart("module_a:first", "first")
    os.environ["DIFFEXPORT_A"] = "1"
    torch.relu, before = torch.abs, torch.relu
    assert told(state.imported()) == [
        ("replaces torch.relu", True),
        ("changes the environment variable DIFFEXPORT_A", True),
    ]
    os.chdir("/")
    assert told(state.between_modes()) == [("changes the working directory to /", True)]
    # How importing left it.
    assert (os.getcwd(), os.environ["DIFFEXPORT_A"]) == (str(folder), "1")
    assert torch.relu is torch.abs
    assert told(state.ended()) == []
    assert "DIFFEXPORT_A" not in os.environ
    assert torch.relu is before

    # The module is imported, and another target of it is not the first one to be worked on.
    again = KeptApart("module_a:second", "second")
    assert "DIFFEXPORT_A" not in os.environ
    assert told(again.imported()) == [
        ("replaces torch.relu", True),
        ("changes the environment variable DIFFEXPORT_A", True),
    ]
    assert torch.relu is torch.abs
    list(again.ended())
    assert torch.relu is before

    other = KeptApart("module_b:other", "other")
    assert told(other.imported()) == []
    assert told(other.ended()) == []


def test_a_change_is_told_once(folder):
    def events():
        for number in range(3):
            os.chdir("/")
            yield ModeFinished("case", str(number), ())
            assert os.getcwd() == str(folder)

    seen = list(apart("case", events()))
    assert told(seen) == [("changes the working directory to /", True)]
    assert [event.message for event in seen if isinstance(event, StateChanged)] == [
        "case 'case': changes the working directory to / (restored)"
    ]


def test_everything_is_put_back_where_the_work_is_not_done_to_its_end(folder):
    def events():
        os.chdir("/")
        yield ModeFinished("case", "one", ())
        os.chdir("/")
        yield ModeFinished("case", "two", ())

    work = apart("case", events())
    next(work)
    work.close()
    assert os.getcwd() == str(folder)


VANDALS = """
    import os, threading
    import torch
    from diffexport import make_case

    os.environ["VANDAL"] = "import"

    class Vandal(torch.nn.Module):
        def forward(self, x):
            os.chdir("/")
            torch.set_default_dtype(torch.float64)
            torch.nn.functional.relu = torch.relu = lambda x: x + 1
            return 2 * x

    class Lasting(torch.nn.Module):
        def forward(self, x):
            if not any(thread.name == "left" for thread in threading.enumerate()):
                stay = threading.Event()
                threading.Thread(target=stay.wait, name="left", daemon=True).start()
            return 2 * x

    class Relu(torch.nn.Module):
        def forward(self, x):
            assert not any(thread.name == "left" for thread in threading.enumerate())
            assert os.getcwd() != "/"
            return torch.nn.functional.relu(x)
"""


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 1])
def test_a_case_behind_one_that_changes_everything(folder, monkeypatch, capsys, jobs):
    from diffexport.faces.cli import main

    (folder / "pyproject.toml").write_text("")
    (folder / f"vandals{jobs}.py").write_text(textwrap.dedent(VANDALS))
    names = ["Vandal", "Lasting", "Relu"] if jobs else ["Vandal", "Relu"]
    targets = [f"vandals{jobs}.py:{name}" for name in names]
    options = ["--modes", "torchscript", "--runtime", "ort-disabled", "--examples", "3", "--no-save"]
    options += ["--input", "float32[N]", "--jobs", str(jobs), "--json", "report.json"]
    monkeypatch.setattr(sys, "argv", ["diffexport", "run", *targets, *options])
    before = dict(os.environ)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0, capsys.readouterr()
    changes = json.loads((folder / "report.json").read_text())["state_changes"]
    seen = {(one["case"], one["change"], one["restored"]) for one in changes}
    expected = {
        ("Vandal", "changes the working directory to /", True),
        ("Vandal", "changes the default dtype to torch.float64", True),
        ("Vandal", "replaces torch.relu", True),
        ("Vandal", "replaces torch.nn.functional.relu", True),
        *((name, "changes the environment variable VANDAL", True) for name in names),
    }
    assert seen == expected | ({("Lasting", "leaves a thread running (left)", False)} if jobs else set())
    assert "STATE case 'Vandal': replaces torch.relu (restored)" in capsys.readouterr().out
    assert dict(os.environ) == before


@pytest.mark.slow
def test_nothing_is_told_of_ordinary_cases_and_exporters():
    from diffexport.explore.explorer import Explorer
    from diffexport.explore.settings import Settings
    from diffexport.subjects import catalogue
    from diffexport.values import Mode

    modes = [Mode.parse(text) for text in ("torchscript", "dynamo,dynamic=true", "dynamo-strict")]
    for name in ("clamp", "inline_with_scoped_tracing", "aten_unsupported"):
        settings = Settings(examples=2, shrink=False)
        explorer = Explorer(catalogue.load(name), ["ort-all"], settings)
        assert told(apart(name, explorer.explore(modes))) == []
