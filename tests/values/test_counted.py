import pytest

from diffexport.values import counted


@pytest.mark.parametrize(
    ("number", "what", "text"),
    [
        (0, "check", "0 checks"),
        (1, "check", "1 check"),
        (1, "known entry", "1 known entry"),
        (2, "known entry", "2 known entries"),
        (2, "array", "2 arrays"),
        (3, "match", "3 matches"),
        (2, "class", "2 classes"),
        (1200, "(mode, runtime) pair", "1,200 (mode, runtime) pairs"),
    ],
)
def test_things_are_counted_as_people_write_it(number, what, text):
    assert counted(number, what) == text
