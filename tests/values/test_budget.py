"""Durations as people write them."""

import pytest

from diffexport.errors import UsageError
from diffexport.values import in_words, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2min", 120),
        ("1.5h", 5400),
        ("1m 5s", 65),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-5s", "0", "0.5s", "5x", "5m 1h", "5m 5m", "nan", "9" * 9 + "h", "1e3"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError):
        parse_duration(text)


def test_times_in_words():
    assert [in_words(s) for s in (4.6, 99, 180, 200, 7500)] == [
        "5 s",
        "99 s",
        "3 min",
        "3 min 20 s",
        "2 h 05 min",
    ]
