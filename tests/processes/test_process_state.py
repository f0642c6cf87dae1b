"""What code changes in its process is seen, told and put back; what cannot be put back is told as lasting."""

import builtins
import gc
import json
import locale
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from diffexport.processes import Part, StateSnapshot, process_parts


def change_environment():
    os.environ["DIFFEXPORT_TEST_VARIABLE"] = "1"


def remove_variable():
    del os.environ["PATH"]


def change_signal():
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def block_signal():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})


def set_timer():
    signal.setitimer(signal.ITIMER_VIRTUAL, 1000)


def replace_stream():
    sys.stdout = sys.__stderr__


def close_descriptor():
    os.close(1)


def replace_descriptor():
    end = os.open(os.devnull, os.O_WRONLY)
    os.dup2(end, 2)
    os.close(end)


def make_errors():
    warnings.simplefilter("error", category=BytesWarning)


def lower_limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (333, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def patch_builtin():
    builtins.open = lambda *_: None


def patch_module():
    np.add = lambda one, other: one


def patch_json():
    json.dumps = str


def forget_function():
    del np.linalg.inv


def replace_module():
    sys.modules["json"] = sys


CHANGES = {
    "the working directory": (lambda: os.chdir("/"), "changes the working directory to /"),
    "a variable": (change_environment, "changes the environment variable DIFFEXPORT_TEST_VARIABLE"),
    "no variable": (remove_variable, "removes the environment variable PATH"),
    "the umask": (lambda: os.umask(0o027), "changes the umask to 027"),
    "a handler": (change_signal, "changes the handlers of signals (SIGUSR1)"),
    "a mask": (block_signal, "changes which signals are blocked"),
    "a timer": (set_timer, "leaves a timer running"),
    "recursion": (lambda: sys.setrecursionlimit(4321), "changes the recursion limit to 4321"),
    "a stream": (replace_stream, "replaces sys.stdin, sys.stdout or sys.stderr"),
    "a closed descriptor": (close_descriptor, "closes the descriptor of standard output"),
    "another descriptor": (replace_descriptor, "replaces the descriptor of standard error"),
    "a profiler": (lambda: sys.setprofile(lambda *_: None), "sets a profile function"),
    "the collector": (gc.disable, "turns the garbage collector off"),
    "warnings": (make_errors, "makes errors of warnings"),
    "the locale": (lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"), "changes the locale to "),
    "a limit": (lower_limit, "changes the limit RLIMIT_NOFILE"),
    "numpy's errors": (lambda: np.seterr(divide="raise"), "changes numpy's handling of errors to "),
    "Python's seed": (lambda: random.seed(12345), "seeds Python's random numbers"),
    "numpy's seed": (lambda: np.random.seed(12345), "seeds numpy's random numbers"),
    "a builtin": (patch_builtin, "replaces builtins.open"),
    "a function": (patch_module, "replaces numpy.add"),
    "a function of the standard library": (patch_json, "replaces json.dumps"),
    "a function that is gone": (forget_function, "replaces numpy.linalg.inv"),
    "a module": (replace_module, "replaces sys.modules['json']"),
}


@pytest.fixture
def snapshot():
    # Whatever a broken test leaves behind is put back for the others.
    before = StateSnapshot(process_parts())
    yield before
    before.put_back()


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_told_and_put_back(snapshot, what):
    change, text = CHANGES[what]
    change()
    changes = snapshot.put_back()
    assert [one[: len(text)] for one in changes.restored] == [text]
    assert not changes.lasting
    assert snapshot.put_back() == type(changes)()


def test_nothing_is_told_of_what_ordinary_code_does(snapshot):
    random.random()
    random.sample(range(10_000), 5_000)
    np.random.standard_normal(3_000)
    warnings.simplefilter("ignore")
    sys.path.insert(0, "/somewhere")
    os.environ["TORCH_LOGS_OF_A_LIBRARY"] = "1"
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    subprocess.run(["true"], check=True)
    changes = snapshot.put_back()
    assert changes == type(changes)()
    assert "/somewhere" not in sys.path
    assert "TORCH_LOGS_OF_A_LIBRARY" not in os.environ


def test_random_numbers_go_on_where_they_were(snapshot):
    def drawn():
        return random.random(), np.random.standard_normal()

    seen = drawn()
    snapshot.put_back()
    assert drawn() == seen


def test_what_goes_on_is_lasting(snapshot):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="left behind")
    thread.start()
    child = subprocess.Popen(["sleep", "100"])
    try:
        changes = snapshot.put_back()
    finally:
        stop.set()
        thread.join()
        child.kill()
        child.wait()
    assert changes.lasting == ("leaves a thread running (left behind)", "leaves a process running (sleep)")
    assert not changes.restored
    assert snapshot.put_back() == type(changes)()


def test_what_cannot_be_put_back_is_lasting():
    value = [1]
    part = Part("the value", lambda: value[0])
    stubborn = Part("the other", lambda: value[0], lambda _: None, "does something")
    before = StateSnapshot([part, stubborn])
    value[0] = 2
    changes = before.put_back()
    assert changes.lasting == ("changes the value to 2", "does something")


def test_what_cannot_be_read_is_lasting():
    value = {"here": 1}
    before = StateSnapshot([Part("the value", lambda: value["here"], lambda _: None)])
    value.clear()
    assert before.put_back().lasting == ("breaks the value",)
