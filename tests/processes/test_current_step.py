"""What a process is doing, as another sees it, and limits on the steps of one's own process."""

import math
import os
import subprocess
import sys
import threading
import time

import pytest

from diffexport.processes.current_step import STEPS as STEPS_OF_PROCESS
from diffexport.processes.current_step import ProcessStep, StepBoard, Steps
from diffexport.processes.step_watch import StepTooLong, limited_steps
from diffexport.values import StepLimits


@pytest.fixture
def boards():
    """Two boards over the same memory, as parent and child have them."""
    written, descriptor = StepBoard.create()
    read = StepBoard(descriptor)
    os.close(descriptor)
    yield written, read
    written.close()
    read.close()


def test_nothing_is_done_at_first(boards):
    assert boards[1].read() == ProcessStep()
    assert not boards[1].read().is_late


def test_a_step_is_seen_by_others(boards):
    step = ProcessStep("run", "clamp", "torchscript,opset=17", "ort-all", 12.5)
    boards[0].write(step)
    assert boards[1].read() == step


def test_a_shorter_text_leaves_nothing_of_a_longer_one(boards):
    boards[0].write(ProcessStep("export", "a" * 300, "dynamo"))
    boards[0].write(ProcessStep("run", "b"))
    assert boards[1].read() == ProcessStep("run", "b")


def test_a_text_that_does_not_fit_is_cut(boards):
    boards[0].write(ProcessStep("run", "a" * 10_000, "dynamo"))
    seen = boards[1].read()
    assert seen.name == "run"
    assert set(seen.case) == {"a"}


WRITER = """
import sys, time
from diffexport.processes.current_step import ProcessStep, StepBoard
board = StepBoard(int(sys.argv[1]))
end = time.monotonic() + 1.5
while (now := time.monotonic()) < end:
    board.write(ProcessStep("run", "case", "mode", "ort", now + 100))
    board.extend(now + 100)
"""


def test_what_is_read_while_it_is_written_is_never_late():
    board, descriptor = StepBoard.create()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(descriptor)], pass_fds=(descriptor,))
    reads = late = 0
    while writer.poll() is None:
        reads += 1
        late += board.read().is_late
    os.close(descriptor)
    board.close()
    assert writer.returncode == 0
    assert reads > 1000
    assert late == 0


def test_what_is_left_half_written_is_never_late(boards):
    boards[0].write(ProcessStep("run", deadline=1.0))
    boards[0]._memory[:8] = (3).to_bytes(8, sys.byteorder)
    assert not boards[1].read().is_late


@pytest.fixture
def steps(boards):
    made = Steps()
    made.limits = StepLimits(export_seconds=100, check_seconds=10, import_seconds=50)
    made.show_on(boards[0])
    return made


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("import", 50),
        ("build", 100),
        ("export", 100),
        ("load", 100),
        ("draw", 10),
        ("eager", 10),
        ("run", 10),
    ],
)
def test_each_step_has_its_limit(steps, boards, name, seconds):
    before = time.monotonic()
    steps.begin(name)
    assert before + seconds <= boards[1].read().deadline <= time.monotonic() + seconds


def test_case_and_mode_stay_until_others_are_given(steps, boards):
    steps.begin("draw", case="clamp", mode="torchscript")
    steps.begin("run", runtime="ort-all")
    seen = boards[1].read()
    assert (seen.name, seen.case, seen.mode, seen.runtime) == ("run", "clamp", "torchscript", "ort-all")
    steps.begin("compare")
    assert boards[1].read().runtime == ""
    steps.end()
    assert boards[1].read() == ProcessStep()


def test_each_sample_has_the_whole_limit(steps, boards):
    steps.begin("eager")
    first = boards[1].read().deadline
    time.sleep(0.02)
    steps.again()
    assert boards[1].read().deadline >= first + 0.02


def test_a_step_is_late_after_its_deadline():
    assert ProcessStep("run", deadline=time.monotonic() - 1).is_late
    assert not ProcessStep("run", deadline=time.monotonic() + 10).is_late
    assert not ProcessStep("run", deadline=math.inf).is_late


LIMITS = StepLimits(export_seconds=30, check_seconds=0.3)


def run_without_end():
    with limited_steps(LIMITS):
        STEPS_OF_PROCESS.begin("eager", case="clamp")
        while True:
            time.sleep(0.01)


def test_what_takes_too_long_is_interrupted():
    with pytest.raises(StepTooLong) as raised:
        run_without_end()
    assert raised.value.step.name == "eager"
    assert not STEPS_OF_PROCESS.are_shown


def test_short_steps_are_not_interrupted():
    """The limit leaves room for a machine that stands still for a second."""
    with limited_steps(StepLimits(export_seconds=30, check_seconds=1.5)):
        for _ in range(8):
            STEPS_OF_PROCESS.begin("eager")
            time.sleep(0.25)
        STEPS_OF_PROCESS.begin("export")
        time.sleep(1.8)
        STEPS_OF_PROCESS.end()
        time.sleep(1.8)


def test_an_inner_block_limits_nothing_of_its_own():
    with limited_steps(StepLimits(check_seconds=30)), limited_steps(LIMITS):
        STEPS_OF_PROCESS.begin("eager")
        time.sleep(0.6)
    assert not STEPS_OF_PROCESS.are_shown


def test_another_thread_is_not_limited():
    ended = []

    def work():
        with limited_steps(LIMITS):
            STEPS_OF_PROCESS.begin("eager")
            time.sleep(0.6)
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]
