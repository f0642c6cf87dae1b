"""What is ended, however it is ended, goes on with ``--resume`` where it was, and comes to the same result."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from diffexport.findings.journal.journal_file import JournalFile

#: Kills its own process at a call whose number stands in a variable.
ENDING = """
import os
import signal

import models
import torch


class Ending:
    calls = 0

    def forward(self, a):
        Ending.calls += 1
        if Ending.calls == int(os.environ.get("END_AT", "0")):
            os.kill(os.getpid(), getattr(signal, os.environ["END_BY"]))
        return super().forward(a)


class Swapped(Ending, models.SwappedOutputs):
    pass


class Other(Ending, models.Increment):
    pass
"""
MODES = ("torchscript", "torchscript,opset=9", "torchscript,opset=11", "torchscript,dynamic=true")
RUN = (
    *(
        "run",
        "ending.py:Other",
        "ending.py:Swapped",
        "--input",
        "float32[N]",
        "--examples",
        "3",
        "--jobs",
        "0",
    ),
    *("--runtime", "ort-disabled", "--save", "found"),
    *(word for mode in MODES for word in ("--modes", mode)),
)


@pytest.fixture
def project(project):
    (project / "ending.py").write_text(ENDING)
    return project


def ended(*arguments, at, by="SIGKILL", **streams):
    """Run until a call of the model, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from diffexport.faces.cli import main; main()", *arguments],
        env={**os.environ, "END_AT": str(at), "END_BY": by},
        timeout=500,
        check=False,
        **(streams or {"capture_output": True, "text": True}),
    )


def report_of(path):
    """A report without what each run takes of time, and without what the streams of these tests are taken for."""
    report = json.loads(Path(path).read_text())
    report.pop("state_changes")
    for one in (report, *report["results"]):
        one.pop("seconds")
    return report


def journals():
    return list(Path(".diffexport").glob("run-*.jsonl"))


@pytest.fixture
def whole(cli, project):
    """The report of a run that is not ended; nothing of it is left besides, but the files of its findings, by name."""
    cli(*RUN, "--json", "whole.json", code=1)
    assert journals() == []
    names = sorted(path.name for path in Path("found").iterdir())
    shutil.rmtree("found")
    return report_of("whole.json"), names


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(cli, whole):
    """Killed in the first mode, while a divergence is shrunk, and again later on; resumed each time."""
    for at in (30, 700, 160):
        ran = ended(*RUN, "--json", "report.json", *(["--resume"] if journals() else []), at=at)
        assert ran.returncode == -signal.SIGKILL, ran.stdout + ran.stderr
        assert not Path("report.json").exists()
        printed = ran.stdout.count("NEW ")
        assert len(list(Path("found").iterdir() if Path("found").exists() else [])) >= printed
        (journal,) = journals()
        assert journal.read_bytes().count(b'{"event": "finding"') >= printed
    ran = cli(*RUN, "--resume", code=1)
    assert "resumed: " in ran.err
    # The report goes where that of the run was to go that was killed.
    report, names = whole
    assert report_of("report.json") == report
    assert sorted(path.name for path in Path("found").iterdir()) == names
    assert journals() == []


IN_TURNS = tuple(
    {"--examples": "--rounds", "3": "2"}.get(word, word) for word in RUN if word not in ("--jobs", "0")
)


@pytest.mark.slow
def test_a_run_in_turns_that_was_killed_goes_on_where_it_was(cli, project):
    """Killed in the middle of a round; the turns that were taken are not taken again, and the report is the same."""
    in_this_process = (*IN_TURNS, "--jobs", "0")
    cli(*in_this_process, "--json", "whole.json", code=1)
    names = sorted(path.name for path in Path("found").iterdir())
    shutil.rmtree("found")
    for at in (60, 200):
        ran = ended(*in_this_process, "--json", "report.json", *(["--resume"] if journals() else []), at=at)
        assert ran.returncode == -signal.SIGKILL, ran.stdout + ran.stderr
    (journal,) = journals()
    assert journal.read_bytes().count(b'"turns"') > len(MODES)
    ran = cli(*in_this_process, "--resume", code=1)
    assert "resumed: " in ran.err
    whole, report = report_of("whole.json"), report_of("report.json")
    assert whole["budget"].pop("spent") is not None
    assert report["budget"].pop("spent") is not None
    assert report == whole
    assert sorted(path.name for path in Path("found").iterdir()) == names


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_run_that_was_asked_to_end_writes_its_report_and_goes_on(cli, whole, sign):
    # What runs the tests may have them ignored.
    listening = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    )
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{listening}from diffexport.faces.cli import main; main()",
            *RUN,
            "--json",
            "report.json",
        ],
        env={**os.environ, "END_AT": "300", "END_BY": sign},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "the same command with --resume goes on from here" in ran.stdout
    report = report_of("report.json")
    assert (report["interrupted"], report["exit_code"]) == (True, ran.returncode)
    assert {one["reason"] for one in report["untested"]} == {"not reached: the run was interrupted"}
    cli(*RUN, "--resume", "--json", "report.json", code=1)
    assert report_of("report.json") == whole[0]
    # What was stored as it was seen is replaced by what it came down to.
    assert sorted(path.name for path in Path("found").iterdir()) == whole[1]


@pytest.mark.slow
def test_without_resume_a_run_starts_anew_and_says_so(cli, whole):
    ended(*RUN, at=300)
    ran = cli(*RUN, "--json", "report.json", code=1)
    assert "a run of the same was not finished" in ran.err
    assert "--resume goes on with it" in ran.err
    assert report_of("report.json") == whole[0]


@pytest.mark.slow
def test_what_the_source_was_changed_after_is_not_gone_on_with(cli, project):
    ended(*RUN, at=300)
    (project / "ending.py").write_text(ENDING + "\n# changed\n")
    ran = cli(*RUN, "--resume", code=1)
    assert "what was not finished has other settings, versions or source; starting anew" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["torn", "garbage", "other version", "empty"])
def test_a_journal_that_is_damaged_is_one_line_and_costs_what_is_damaged(cli, whole, harm):
    ended(*RUN, at=300)
    (journal,) = journals()
    data = journal.read_bytes()
    journal.write_bytes(
        {
            "torn": data[:-40],
            "garbage": bytes(range(256)) * 50,
            "other version": data.replace(b'"version": 1', b'"version": 2', 1),
            "empty": b"",
        }[harm]
    )
    ran = cli(*RUN, "--resume", "--json", "report.json", code=1)
    assert len(ran.err.splitlines()) == 1
    assert ("is damaged; starting anew" in ran.err) == (harm in ("garbage", "other version"))
    assert report_of("report.json") == whole[0]


def test_without_a_place_for_a_journal_a_run_goes_on(check, project):
    (project / ".diffexport").write_text("a file")
    ran = check("models.py:SwappedOutputs", "--input", "float32[N]", "--examples", "2", code=1)
    assert ran.err.count("\n") == 1
    assert "no journal can be kept" in ran.err
    assert "the run goes on without" in ran.err
    assert len(ran.files) == 1


def test_a_run_that_ends_leaves_no_journal(check, project):
    check("models.py:Increment", "--input", "float32[N]", "--examples", "2", "--resume", code=0)
    assert [path.name for path in Path(".diffexport").iterdir()] == [".gitignore"]


@pytest.mark.slow
def test_what_was_seen_and_does_not_show_again_is_kept(cli, project):
    # Another model where nothing is to end it, in the same source.
    base = "models.SwappedOutputs if 'END_AT' in os.environ else models.Increment"
    (project / "ending.py").write_text(ENDING.replace("models.SwappedOutputs", base))
    one = ("run", "ending.py:Swapped", *RUN[3:13], "--modes", "torchscript")
    ran = ended(*one, at=20)
    assert ran.returncode == -signal.SIGKILL
    (journal,) = journals()
    assert b'"suspect"' in journal.read_bytes()
    ran = cli(*one, "--resume", code=1)
    assert "(not shrunk: it did not show again)" in ran.out
    assert len(list(Path("found").iterdir())) == 1


@pytest.mark.slow
def test_two_runs_of_the_same_at_the_same_time_do_not_mix(cli, whole):
    both = [
        subprocess.Popen(
            [sys.executable, "-c", "from diffexport.faces.cli import main; main()", *RUN, "--json", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one.json", "two.json")
    ]
    said = [process.communicate(timeout=500) for process in both]
    assert [process.returncode for process in both] == [1, 1], said
    assert report_of("one.json") == report_of("two.json") == whole[0]
    assert journals() == []


MUTATE = (
    *("mutate", "models.py:Increment", "--input", "float32[N]", "--jobs", "0", "--only", "constant-*"),
    *("--examples", "3", *(word for mode in MODES[:3] for word in ("--modes", mode))),
)


@pytest.mark.slow
def test_mutate_goes_on_with_the_jobs_that_are_left(cli, project, monkeypatch):
    close = JournalFile.close
    with monkeypatch.context() as patch:
        # As if it had been killed at its very end.
        patch.setattr(JournalFile, "close", lambda journal, remove: close(journal))
        code = cli(*MUTATE, "--json", "whole.json").code
    whole = json.loads(Path("whole.json").read_text())
    assert whole["planted"] > 0
    (journal,) = Path(".diffexport").glob("mutate-*.jsonl")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:3]))
    ran = cli(*MUTATE, "--resume", "--json", "report.json", code=code)
    assert "--resume: 2 jobs are done from before" in ran.err
    report = json.loads(Path("report.json").read_text())
    assert {**report, "seconds": 0} == {**whole, "seconds": 0}
    assert not journal.exists()


TESTS = """
import os
import signal

import diffexport
import models

OPTIONS = {"inputs": ["float32[N]"], "modes": ["torchscript", "torchscript,opset=9"], "examples": 3}
OPTIONS["runtimes"] = ["ort-disabled"]
test_increment = diffexport.test(models.Increment, **OPTIONS)
test_swapped = diffexport.test(models.SwappedOutputs, **OPTIONS)


def test_end():
    if "END_BY" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_session_of_pytest_goes_on_with_what_is_left(project, monkeypatch):
    (project / "test_models.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_models.py"]

    def ran(*options, **variables):
        return subprocess.run(
            [*command, *options],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    assert ran(END_BY="SIGKILL").returncode == -signal.SIGKILL
    kept = sorted(Path(".diffexport", "pytest").iterdir())
    assert len(kept) == 2
    # What is done is taken from the journal, and so is what this says of it.
    text = kept[0].read_text()
    assert '"checks": ' in text
    checks = [
        json.loads(line)["rows"][0]["checks"] for line in text.splitlines() if '"event": "mode"' in line
    ]
    lines = [line.replace(f'"checks": {checks[0]}', '"checks": 4321') for line in text.splitlines()]
    kept[1].write_text(kept[1].read_text())
    kept[0].write_text("\n".join(lines) + "\n")
    again = ran("--diffexport-resume", "-rA")
    assert again.returncode == 1, again.stdout
    assert "1 failed, 2 passed" in again.stdout
    assert "1 new divergence" in again.stdout
    assert not Path(".diffexport", "pytest").exists()
