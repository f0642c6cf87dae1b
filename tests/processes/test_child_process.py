"""A child process answers, dies or hangs, and its parent is told which; what it was doing is known afterwards."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import entries
import numpy as np
import pytest

from diffexport.processes import (
    Announced,
    ChildProcess,
    Died,
    Failed,
    Finished,
    Hung,
    Message,
    Policy,
    Ready,
    Unreadable,
    receive_any,
)
from diffexport.values import Deadline

#: Seconds that nothing here takes, also on a busy machine.
LONG = 60


@contextlib.contextmanager
def started(*arguments, entry=entries.prepare, **policy):
    with ChildProcess.start(entry, *arguments, policy=Policy(**policy)) as child:
        assert child.receive(Deadline.after(LONG)) == Ready()
        yield child


@pytest.fixture(scope="module")
def child():
    """A child for tests that leave it as it was."""
    with started() as process:
        yield process


def answer(child, *request):
    """Return what comes after the announcement of a request."""
    child.send(request)
    assert child.receive(Deadline.after(LONG)) == Announced(request[0])
    return child.receive()


def is_there(pid):
    """Whether a process runs; one that ended and that nobody has asked for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid):
    """Whether a process soon ends."""
    until = time.monotonic() + LONG
    while is_there(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not is_there(pid)


def test_a_request_is_answered(child):
    assert answer(child, "echo", "text") == Finished("text")
    assert answer(child, "say", 1, "two") == Message(1)
    assert child.receive() == Message("two")
    assert child.receive() == Finished(None)


def test_what_is_long_is_sent_as_a_whole(child):
    values = np.arange(3_000_000)
    np.testing.assert_array_equal(answer(child, "echo", values).answer, values)


def test_what_is_sent_before_the_process_is_ready_waits_for_it():
    with ChildProcess.start(entries.arguments, "one", 2) as child:
        child.send(np.zeros(1_000_000))  # more than a socket takes
        assert child.receive(Deadline.after(LONG)) == Ready()
        assert child.receive() == Finished(("one", 2))


def test_an_exception_is_an_answer(child):
    failed = answer(child, "fail")
    assert isinstance(failed, Failed)
    assert failed.error == "ValueError: no such thing"
    assert failed.place.startswith(f"{entries.__file__}:")
    assert failed.trace.startswith("Traceback")
    assert answer(child, "echo", 1) == Finished(1)


def test_what_cannot_be_read_is_told(child):
    unreadable = answer(child, "send_only_here")
    assert isinstance(unreadable, Unreadable)
    assert "not of this process" in unreadable.error
    failed = answer(child, "send_nothing_that_can_be_sent")
    assert isinstance(failed, Failed)
    assert "pickle" in failed.error
    assert answer(child, "echo", 1) == Finished(1)


@pytest.mark.parametrize(
    ("request_", "how"),
    [
        (("crash",), "signal SIGSEGV"),
        (("leave", 0), "exit code 0"),
        (("leave", 3), "exit code 3"),
        (("exit_politely", 4), "exit code 4"),
        (("interrupt",), "exit code 1"),
        # Its copy has the connection open all the time.
        (("leave_a_copy",), "exit code 7"),
    ],
)
def test_a_process_that_dies(request_, how):
    with started(own_session=True, quiet=True) as child:
        died = answer(child, *request_)
        assert isinstance(died, Died)
        assert str(died) == how
        assert child.doing == request_[0]
        assert child.receive() == died
        child.send(("echo", 1))  # to nobody, which is no error
        assert child.receive() == died


def test_a_process_that_dies_before_it_is_ready():
    with ChildProcess.start(entries.leave, 5) as child:
        assert child.receive(Deadline.after(LONG)) == Died(5)
        assert child.doing is None


def test_signals_without_a_name():
    assert str(Died(-1000)) == "signal 1000"


@pytest.mark.parametrize("name", ["hang", "hang_natively"])
def test_a_process_that_hangs(name):
    with started() as child:
        child.send((name,))
        assert child.receive() == Announced(name)
        begun = time.monotonic()
        assert child.receive(Deadline.after(0.2)) == Hung()
        assert 0.2 <= time.monotonic() - begun < LONG
        assert child.doing == name
        assert is_there(child.pid)
    assert not is_there(child.pid)


def test_a_process_that_closes_its_connection_and_goes_on():
    with started() as child:
        died = answer(child, "close_everything")
        assert isinstance(died, Died)
        assert died.exit_code is None
    assert not is_there(child.pid)


def test_deadlines():
    assert Deadline().left == float("inf")
    assert not Deadline().passed
    assert 0 < Deadline.after(10).left <= 10
    assert Deadline.after(-1).left == 0
    assert Deadline.after(-1).passed


def test_several_processes_are_waited_for_at_once():
    with started() as one, started() as other:
        one.deadline, other.deadline = Deadline(), Deadline.after(0.2)
        one.send(("hang",))
        other.send(("hang",))
        assert receive_any([one]) == [(one, Announced("hang"))]
        assert other.receive() == Announced("hang")
        # Each has a deadline of its own.
        assert receive_any([one, other]) == [(other, Hung())]
        os.kill(one.pid, signal.SIGKILL)
        other.deadline = Deadline.after(LONG)
        assert receive_any([one, other]) == [(one, Died(-signal.SIGKILL))]


def test_ctrl_c_is_for_the_parent(child):
    assert answer(child, "interrupted") == Finished("still here")


def test_ctrl_c_is_ignored_from_birth():
    with ChildProcess.start(entries.prepare) as child:
        for _ in range(20):
            os.kill(child.pid, signal.SIGINT)
            time.sleep(0.02)
        assert child.receive(Deadline.after(LONG)) == Ready()


def test_ctrl_c_during_a_start_is_not_lost(monkeypatch):
    begin = subprocess.Popen

    def interrupted(*args, **kwargs):
        # The main thread alone, as the others of a test run do not hold it back.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return begin(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            ChildProcess.start(entries.prepare)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_copy_that_is_forked_off_does_not_answer():
    with started() as child:
        assert answer(child, "fork") == Finished("original")
        assert answer(child, "echo", 1) == Finished(1)


@pytest.mark.slow
def test_memory_can_be_limited():
    with started(memory=1 << 28) as child:
        assert answer(child, "allocate", 1 << 20) == Finished(1 << 20)
        assert answer(child, "allocate", 1 << 30).error == "MemoryError: "
    with started() as child:
        assert answer(child, "allocate", 1 << 30) == Finished(1 << 30)


def test_strides_are_kept_both_ways(child):
    array = np.arange(6, dtype="float32").reshape(2, 3).T
    got, strides = answer(child, "strided", array).answer
    assert strides == got.strides == array.strides
    np.testing.assert_array_equal(got, array)


def test_what_a_process_started_ends_with_its_session():
    with started(own_session=True) as child:
        other = answer(child, "start_another").answer
        assert is_there(other)
    assert ends(other)


def test_where_a_process_is(tmp_path, child, monkeypatch):
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    usual = answer(child, "where").answer
    assert usual["folder"] == os.getcwd()
    assert usual["argv"] == sys.argv
    assert usual["session"] == os.getsid(0)
    assert usual["stdin"] == ""
    with started(folder=tmp_path, own_session=True, paths=("first",)) as elsewhere:
        there = answer(elsewhere, "where").answer
    assert there["folder"] == str(tmp_path)
    assert there["path"] == ["first", os.getcwd(), *sys.path[1:]]
    assert there["session"] == elsewhere.pid


def run(script, folder):
    """Run a script in a process of its own, and return how that ended."""
    (folder / "script.py").write_text(script)
    paths = [str(Path(entries.__file__).parent), *sys.path]
    return subprocess.run(
        [sys.executable, folder / "script.py"],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


#: Without a guard: what imported it again would start children without end.
ASKING = """
import entries
from diffexport.processes import (ChildProcess, Finished, Policy)
from diffexport.values import Deadline

print("imported", flush=True)
with ChildProcess.start(entries.prepare, policy=Policy(quiet={quiet})) as child:
    child.send({request})
    while not isinstance(received := child.receive(Deadline.after(60)), Finished):
        pass
print(received.answer)
"""


def test_the_main_module_of_the_parent_is_not_imported(tmp_path):
    ran = run(ASKING.format(quiet=False, request=("where",)), tmp_path)
    assert ran.stdout.count("imported") == 1, ran.stderr
    assert "'main': ''" in ran.stdout


@pytest.mark.parametrize(("quiet", "out", "err"), [(False, "printed\n", "written"), (True, "", "")])
def test_what_a_process_says(tmp_path, quiet, out, err):
    ran = run(ASKING.format(quiet=quiet, request=("write", str(tmp_path / "file"))), tmp_path)
    assert (tmp_path / "file").read_text() == "done"
    assert ran.stdout == f"imported\n{out}None\n"
    assert ran.stderr == err


def test_nobody_is_told_of_semaphores_of_a_process_that_was_stopped(tmp_path):
    ran = run(ASKING.format(quiet=False, request=("keep_a_semaphore",)), tmp_path)
    assert (ran.stdout, ran.stderr) == ("imported\nNone\n", "")


def test_a_module_of_a_users_is_not_taken_for_one_of_the_standard_library(tmp_path, monkeypatch):
    (tmp_path / "socket.py").write_text("raise SystemExit('wrong module')")
    monkeypatch.chdir(tmp_path)
    with started() as child:
        assert answer(child, "echo", 1) == Finished(1)
