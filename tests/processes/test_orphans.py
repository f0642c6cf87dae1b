"""A child process ends with a parent that was killed, also while it is busy and reads from nobody."""

import os
import signal
import subprocess
import sys
import time

import pytest

PARENT = """
import multiprocessing, os, sys, time

def busy(pipe):
    from diffexport.orphans import end_with_parent
    end_with_parent()
    pipe.send(os.getpid())
    time.sleep(120)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=busy, args=(theirs,)).start()
    print(ours.recv(), flush=True)
    time.sleep(120)
"""


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_a_busy_child_ends_with_its_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        child = int(parent.stdout.readline())
        assert is_there(child)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        until = time.monotonic() + 20
        while is_there(child) and time.monotonic() < until:
            time.sleep(0.05)
        assert not is_there(child)
    finally:
        parent.stdout.close()
        for pid in (parent.pid, -parent.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
