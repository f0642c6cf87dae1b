import logging
import os
import subprocess
import sys
import textwrap
import time
import warnings

import pytest

from diffexport.chatter import KEPT, captured

say = print


def test_python_and_native_output_and_warnings_end_up_in_one_text(capfd):
    with captured() as chatter:
        say("from print")
        say("from stderr", file=sys.stderr)
        os.write(1, b"native one\n")
        os.write(2, b"native two \xff\n")
        warnings.warn("careful", UserWarning, stacklevel=1)
    lines = chatter.text.splitlines()
    assert sorted(lines) == sorted(
        ["from print", "from stderr", "native one", "native two \ufffd", "UserWarning: careful"]
    )
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def logger():
    logger = logging.getLogger("diffexport-test-chatter")
    yield logger
    logger.handlers.clear()
    logger.propagate = True


@pytest.mark.parametrize("propagate", [True, False])
def test_a_logging_handler_that_holds_on_to_the_old_stderr_is_captured(capfd, logger, propagate):
    with open(2, "w", closefd=False, buffering=1) as stream:
        handler = logging.StreamHandler(stream)
        logger.addHandler(handler)
        logger.propagate = propagate
        with captured() as chatter:
            logger.warning("logged")
            logger.info("too quiet")
        assert set(chatter.text.splitlines()) == {"logged"}
        assert capfd.readouterr() == ("", "")
        assert logger.handlers == [handler]
        logger.warning("logged again")
    assert capfd.readouterr() == ("", "logged again\n")


def test_handlers_of_the_root_hear_nothing_during_a_capture_and_everything_after(caplog, logger):
    before = list(logging.getLogger().handlers)
    with captured() as chatter:
        logger.warning("inside")
    assert chatter.text == "inside"
    assert logging.getLogger().handlers == before
    logger.warning("after")
    assert caplog.messages == ["after"]


def test_output_goes_where_it_went_before_and_after(capfd):
    before = os.fstat(1).st_ino, os.fstat(2).st_ino, sys.stdout, sys.stderr, list(warnings.filters)
    say("before")
    with captured() as chatter:
        say("inside")
        os.write(1, b"inside natively\n")
    say("after")
    os.write(2, b"after natively\n")
    assert (os.fstat(1).st_ino, os.fstat(2).st_ino, sys.stdout, sys.stderr, list(warnings.filters)) == before
    assert capfd.readouterr() == ("before\nafter\n", "after natively\n")
    assert chatter.text == "inside\ninside natively"


def test_warnings_are_errors_again_after_the_block():
    with captured():
        warnings.warn("swallowed", DeprecationWarning, stacklevel=1)
    with pytest.raises(DeprecationWarning, match="loud"):
        warnings.warn("loud", DeprecationWarning, stacklevel=1)


def test_an_exception_passes_and_what_was_said_is_kept(capfd):
    heard = []

    def fail():
        with captured() as chatter:
            heard.append(chatter)
            say("last words")
            os.write(2, b"native last words\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert heard[0].text == "last words\nnative last words"
    say("restored")
    assert capfd.readouterr().out == "restored\n"


def test_nested_captures(capfd):
    with captured() as outer:
        say("outer before")
        os.write(1, b"native before\n")
        with captured() as inner:
            say("inner")
            os.write(1, b"native inner\n")
        say("outer after")
        os.write(1, b"native after\n")
    assert inner.text == "inner\nnative inner"
    for said in ("outer before", "outer after", "native before", "native after"):
        assert said in outer.text
    say("restored")
    assert capfd.readouterr().out == "restored\n"


def test_each_capture_has_its_own_text():
    texts = []
    for number in range(50):
        with captured() as chatter:
            os.write(2, b"number %d" % number)
        texts.append(chatter.text)
    assert texts == [f"number {number}" for number in range(50)]
    with captured() as silent:
        pass
    assert silent.text == ""


def test_descriptors_are_not_leaked():
    with captured():
        pass
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with captured():
            os.write(1, b"x")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("old.write('said\\n')", id="the-old-stdout-object"),
        pytest.param("ctypes.CDLL(None).puts(b'said')", id="C-stdio"),
    ],
)
def test_what_is_still_buffered_at_the_end_of_the_block_is_captured(statement):
    # Standard output is a pipe here, and so buffered in blocks.
    code = textwrap.dedent(f"""
        import ctypes, sys
        from diffexport.chatter import captured
        old = sys.stdout
        with captured() as chatter:
            {statement}
        sys.stderr.write(chatter.text)
    """)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "said")


def test_of_what_is_long_the_beginning_and_the_end_are_kept():
    with captured() as chatter:
        for _ in range(200):
            say("p" * (1 << 16))
            os.write(1, b"n" * (1 << 16))
            warnings.warn("w" * (1 << 16), UserWarning, stacklevel=1)
        say("the last print")
        os.write(1, b"the last of all")
    assert len(chatter.text) < 8 * KEPT
    assert chatter.text.count("characters more") >= 3
    assert "the last print" in chatter.text
    assert "the last of all" in chatter.text


def test_native_output_fills_no_disk_while_it_goes_on():
    with captured() as outer:
        os.write(1, b"the first of all ")
        with captured() as inner:
            written, longest = 0, 0
            until = time.monotonic() + 30
            # As long as it takes for the file to be emptied once.
            while longest <= written and time.monotonic() < until:
                written = os.fstat(1).st_size
                longest = max(longest, written)
                if written < longest:
                    break
                os.write(1, b"x" * (1 << 16))
                time.sleep(0.001)
            os.write(1, b" the last of all")
    assert written < longest
    assert outer.text.startswith("the first of all x")
    assert inner.text.startswith("xxx")
    for chatter in (outer, inner):
        assert chatter.text.endswith(" the last of all")
        assert len(chatter.text) < 3 * KEPT


def test_a_closed_descriptor_is_closed_after_it():
    code = textwrap.dedent("""
        import os
        from diffexport.chatter import captured
        os.close(1)
        with captured() as chatter:
            os.write(1, b"said")
        os.write(2, chatter.text.encode())
        try:
            os.write(1, b"lost")
        except OSError:
            os.write(2, b" and closed")
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "said and closed"
