"""What the child processes of these tests do; imported by them, and by the tests."""

import ctypes
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

kept = []


def prepare(parent, *arguments):
    """Do the first part of a request, a name, with the rest of it."""

    def handle(request):
        name, *rest = request
        parent.announce(name)
        return globals()[name](parent, *rest)

    return handle


def arguments(parent, *given):
    return lambda _: given


def echo(parent, value):
    return value


def where(parent):
    return {
        "main": getattr(sys.modules["__main__"], "__file__", ""),
        "argv": sys.argv,
        "path": sys.path,
        "folder": os.getcwd(),
        "session": os.getsid(0),
        "stdin": sys.stdin.read(),
    }


def say(parent, *values):
    for value in values:
        parent.send(value)


def fail(parent):
    raise ValueError("no such thing")


def interrupt(parent):
    raise KeyboardInterrupt


def leave(parent, code):
    os._exit(code)


def exit_politely(parent, code):
    sys.exit(code)


def crash(parent):
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(parent):
    time.sleep(600)


def hang_natively(parent):
    """Wait where no other thread may do anything."""
    ctypes.PyDLL(None).sleep(600)


def interrupted(parent):
    """Be interrupted as by Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return "still here"


def fork(parent):
    """Fork off a copy that answers as if nothing had been, and end after it."""
    copy = os.fork()
    if copy:
        os.waitpid(copy, 0)
        return "original"
    return "copy"


def leave_a_copy(parent):
    """End, with a copy still there that has the connection open."""
    if os.fork():
        os._exit(7)
    time.sleep(600)


def start_another(parent):
    """Start a process that does not end, and return its number."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


def allocate(parent, size):
    return len(bytearray(size))


def strided(parent, array):
    return array, array.strides


class OnlyHere:
    """Loads in its child alone."""

    def __reduce__(self):
        return only_in, (os.getpid(),)


def only_in(pid):
    """Raise in every process but one."""
    assert pid == os.getpid(), "not of this process"


def send_only_here(parent):
    return OnlyHere()


def send_nothing_that_can_be_sent(parent):
    return lambda: None


def close_everything(parent):
    os.closerange(3, 256)
    time.sleep(600)


def keep_a_semaphore(parent):
    kept.append(multiprocessing.get_context("spawn").Lock())


def write(parent, file):
    sys.stdout.write("printed\n")
    sys.stdout.flush()
    os.write(2, b"written")
    pathlib.Path(file).write_text("done")
