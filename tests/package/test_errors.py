"""Texts of somebody else's errors are fit to be kept: of any length, of any characters, or none at all."""

import pytest

from diffexport.errors import LONGEST_LINE, LONGEST_TEXT, error_line, error_text, shortened


class Mute(Exception):
    def __str__(self):
        raise KeyboardInterrupt


def test_a_long_text_is_cut():
    text = error_text(ValueError("x" * 100_000_000))
    assert text == "x" * LONGEST_TEXT + f"… ({100_000_000 - LONGEST_TEXT} characters more)"
    line = error_line(ValueError("y" * 5_000 + "\nmore"))
    assert line == "y" * LONGEST_LINE + "… (4000 characters more)"


def test_a_text_that_raises():
    assert error_text(Mute()) == "(its text raises KeyboardInterrupt)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("\x1b[2Jcleared\x07", r"\x1b[2Jcleared\x07"),
        ("\x1b[96mcoloured\x1b[0m", "\x1b[96mcoloured\x1b[0m"),
        ("lone \ud800 surrogate", r"lone \ud800 surrogate"),
        ("ünïcode → 日本", "ünïcode → 日本"),
        ("\x00\x85", r"\x00\x85"),
    ],
)
def test_characters(text, shown):
    assert shortened(text) == shown
    shortened(text).encode()


def test_the_first_line():
    assert error_line(ValueError("\n  first\nsecond")) == "first"
    assert error_line(ValueError()) == ""
