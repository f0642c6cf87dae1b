"""A child process ends with a parent that was killed, also while it is busy and reads from nobody."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import entries
import pytest
from test_child_process import ends, is_there

PARENT = """
import time
import entries
from diffexport.processes import Announced, ChildProcess, Finished, Policy, Ready

child = ChildProcess.start(entries.prepare, policy=Policy(own_session={own_session}))
for name in ("start_another", "hang"):
    child.send((name,))
    while (received := child.receive()) == Ready() or isinstance(received, Announced) and name != "hang":
        pass
    if isinstance(received, Finished):
        print(child.pid, received.answer, flush=True)
print("busy", flush=True)
time.sleep(120)
"""


@pytest.mark.parametrize("own_session", [False, True])
def test_a_busy_child_ends_with_its_parent(tmp_path, own_session):
    (tmp_path / "parent.py").write_text(PARENT.format(own_session=own_session))
    paths = [str(Path(entries.__file__).parent), *sys.path]
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    child, other = map(int, parent.stdout.readline().split())
    try:
        assert parent.stdout.readline() == "busy\n"
        assert is_there(child)
        parent.kill()
        parent.wait()
        assert ends(child)
        # What it started ends with its session; without one, it is nobody's.
        assert not own_session or ends(other)
    finally:
        parent.stdout.close()
        parent.kill()
        for pid in (child, other):
            if is_there(pid):
                os.kill(pid, signal.SIGKILL)
