"""A terminal that is closed or full loses nothing but what it would have shown."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

RUN = (
    *("run", "models.py:SwappedOutputs", "--input", "float32[N]", "--examples", "2", "--jobs", "0"),
    *("--modes", "torchscript", "--runtime", "ort-disabled", "--save", "found"),
)
MAIN = (sys.executable, "-c", "from diffexport.faces.cli import main; main()")


def ran(*arguments, shell="", **streams):
    """Run the command line in a process of its own, its streams as a shell would set them."""
    words = ["bash", "-c", f'"$@" {shell}', "bash", *MAIN, *arguments] if shell else [*MAIN, *arguments]
    return subprocess.run(words, text=True, timeout=200, check=False, **streams)


def assert_nothing_is_lost(ran, code=1):
    assert ran.returncode == code, ran.stderr
    report = json.loads(Path("report.json").read_text())
    assert (report["exit_code"], len(report["divergences"])) == (1, 1)
    assert len(list(Path("found").iterdir())) == 1
    for word in ("Traceback", "Exception ignored", "BrokenPipe"):
        assert word not in (ran.stderr or "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("| head -c 1; exit ${PIPESTATUS[0]}", ""),
        ("| true; exit ${PIPESTATUS[0]}", ""),
        ("> /dev/full", "standard output could not be written: No space left on device"),
        (">&-", ""),
        ("2>&-", ""),
        ("<&- >&- 2>&-", ""),
        ("2> /dev/full", ""),
    ],
)
def test_a_closed_or_full_terminal_loses_nothing(project, shell, words):
    done = ran(*RUN, "--json", "report.json", shell=shell, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert_nothing_is_lost(done)
    assert words in (done.stderr or "")
    if not words:
        assert done.stderr == ""


@pytest.mark.slow
def test_a_terminal_that_is_hung_up_is_an_interruption_and_loses_nothing(project):
    """The other end of a terminal is closed while it runs; the system says so by SIGHUP."""
    (project / "waiting.py").write_text(
        "import models, time\n\n"
        "class Waiting(models.SwappedOutputs):\n"
        "    calls = 0\n\n"
        "    def forward(self, a):\n"
        "        Waiting.calls += 1\n"
        "        if Waiting.calls > 150:\n"
        "            print('waits', flush=True)\n"
        "            time.sleep(0.2)\n"
        "        return super().forward(a)\n"
    )
    pid, terminal = os.forkpty()
    if pid == 0:
        words = [*MAIN, *RUN, "--json", "report.json"]
        words[words.index("models.py:SwappedOutputs")] = "waiting.py:Waiting"
        os.execv(words[0], [*words, "--modes", "torchscript,opset=9", "--modes", "torchscript,opset=10"])
    said = b""
    while b"NEW" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    report = json.loads(Path("report.json").read_text())
    assert (report["exit_code"], len(report["divergences"])) == (1, 1)


@pytest.mark.parametrize(
    ("command", "words"), [(("modes", "full"), "torchscript"), (("list",), "clamp"), (("--help",), "Usage")]
)
def test_every_command_bears_a_reader_that_leaves(project, command, words):
    assert words in ran(*command, stdout=subprocess.PIPE).stdout
    done = ran(
        *command, shell="| head -c 1; exit ${PIPESTATUS[0]}", stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_characters_that_a_terminal_lacks_are_no_error(project, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = ran("run", "--help", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[CASE|GROUP|" in done.stdout


def test_a_report_onto_a_device_goes_there_and_the_device_stays(check, cli, project):
    """By links in a folder of its own: the device itself could not be replaced by this."""
    (project / "null").symlink_to(os.devnull)
    assert cli(*RUN, "--json", "null", code=1).err == ""
    assert (project / "null").is_symlink()
    assert os.stat(os.devnull).st_rdev == os.makedev(1, 3)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_report_through_a_link_is_written_where_it_leads(cli, project):
    (project / "elsewhere").mkdir()
    (project / "report.json").symlink_to("elsewhere/report.json")
    cli(*RUN, "--json", "report.json", code=1)
    assert (project / "report.json").is_symlink()
    assert json.loads((project / "elsewhere" / "report.json").read_text())["exit_code"] == 1


def test_a_report_that_cannot_be_written_is_written_elsewhere(cli, project):
    (project / "full").symlink_to("/dev/full")
    ran = cli(*RUN, "--json", "full", code=1)
    place = ran.err.rstrip().rpartition("it is in ")[2].removesuffix(" instead")
    assert "the report could not be written: full: No space left on device" in ran.err
    assert len(json.loads(Path(place).read_text())["divergences"]) == 1
    agreeing = ("run", "models.py:Increment", *RUN[2:])
    ran = cli(*agreeing, "--json", "full", code=2)
    place = ran.err.rstrip().rpartition("it is in ")[2].removesuffix(" instead")
    assert json.loads(Path(place).read_text())["exit_code"] == 2
    assert "all as expected" in ran.out


def test_findings_that_cannot_be_stored_are_in_the_report_with_the_reason(cli, project, monkeypatch):
    def record(finding, folder, faces):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("diffexport.findings.regressions.finding_store.record", record)
    ran = cli(*RUN, "--json", "report.json", code=1)
    (one,) = json.loads(Path("report.json").read_text())["divergences"]
    assert one["regression"] is None
    assert "No space left" in one["save_error"]
    assert f"could not be saved: {one['save_error']}" in ran.out


@pytest.mark.slow
def test_a_report_may_go_to_standard_output(project):
    done = ran(*RUN, "--json", "/dev/stdout", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 1
    text = done.stdout[done.stdout.index("{") :]
    assert len(json.JSONDecoder().raw_decode(text)[0]["divergences"]) == 1
    with open("out.txt", "w") as file:
        assert ran(*RUN, "--json", "/dev/stdout", stdout=file, stderr=subprocess.PIPE).returncode == 1
    text = Path("out.txt").read_text()
    assert text.startswith("diffexport: SwappedOutputs")
    assert text.rstrip().endswith("FINDINGS")
    assert '"diffexport": "report"' in text
