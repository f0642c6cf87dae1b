"""What a terminal shows while it waits, and findings as they are."""

import io

from rich.console import Console

from diffexport.findings.reports.live import Live, versions_in_words


def live(*, terminal):
    out = io.StringIO()
    return Live(Console(file=out, force_terminal=terminal, color_system=None, width=100)), out


def test_a_terminal_has_a_bar_that_goes_away():
    shown, out = live(terminal=True)
    shown.start("export", 8)
    assert shown.has_bar
    shown.advance(3, doing="clamp [dynamo]")
    shown.stop()
    # What is in brackets is no markup.
    assert "clamp [dynamo]" in out.getvalue()
    assert "3/8" in out.getvalue()
    # Transient: what was drawn last is erased.
    assert out.getvalue().endswith("\x1b[2K")


def test_where_there_is_no_terminal_or_nothing_to_do_there_is_no_bar():
    for terminal, total in ((False, 8), (True, 0)):
        shown, out = live(terminal=terminal)
        shown.start("export", total)
        assert not shown.has_bar
        shown.advance(1, doing="clamp")
        shown.stop()
        assert out.getvalue() == ""


def test_a_finding_has_a_number_and_is_shown_as_it_is():
    shown, out = live(terminal=False)
    shown.finding(2, ["value of output[0]", "input [bold] float32[2]"])
    assert out.getvalue() == "\n2. value of output[0]\ninput [bold] float32[2]\n"


def test_versions_of_what_matters_most():
    versions = {"numpy": "2.3", "onnxruntime": "1.31.1", "torch": "2.13.0"}
    assert versions_in_words(versions) == "torch 2.13.0, onnxruntime 1.31.1"


def test_names_are_no_emoji(capsys):
    Live().say("models.py:M: does not export")
    assert capsys.readouterr().out == "models.py:M: does not export\n"
