"""The digest of every regression in the repository, as it was when the file was stored: names in use depend on it."""

from pathlib import Path

import pytest

from diffexport.findings.regressions import load
from diffexport.findings.regressions.format import SUFFIX, dumps

FOLDERS = (Path(__file__).parents[1] / "regressions", Path(__file__).parents[1] / "libraries" / "regressions")
FILES = sorted(file for folder in FOLDERS for file in folder.rglob(f"*{SUFFIX}"))


def test_there_are_regressions():
    assert len(FILES) >= 46


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(SUFFIX))
def test_digest_and_text_of_a_stored_regression_stay(file):
    regression = load(file)
    stem = file.name.removesuffix(SUFFIX)
    assert regression.identity.digest == stem.rpartition("--")[2]
    assert dumps(regression, stem)[0].encode() == file.read_bytes()
