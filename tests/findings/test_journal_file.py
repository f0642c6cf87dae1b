"""A journal on disk: what is appended is there, what is torn is not read, and it belongs to one process at a time."""

import errno
import json
import os
import subprocess
import sys
import time

import pytest

from diffexport.findings.journal import journal_file
from diffexport.findings.journal.journal_file import JournalError, JournalFile

ASKED = {"modes": ["torchscript"], "seed": 1}


def opened(folder, *, resume=True, asked=ASKED, name="model.py:Model"):
    return JournalFile.open(folder, "run", name, asked, resume=resume)


@pytest.fixture
def kept(tmp_path):
    """The folder of a journal with three records, which was left."""
    journal = opened(tmp_path)
    for number in range(3):
        assert journal.append({"number": number}, durably=number == 1)
    journal.close()
    return tmp_path


def numbers(journal):
    return [record["number"] for record in journal.records]


def test_what_was_appended_is_there_for_the_next_run_of_the_same(kept):
    journal = opened(kept)
    assert numbers(journal) == [0, 1, 2]
    journal.append({"number": 3})
    journal.close()
    assert numbers(opened(kept)) == [0, 1, 2, 3]


def test_a_run_of_something_else_has_another_file(kept):
    other = opened(kept, asked={**ASKED, "seed": 2})
    assert other.records == []
    assert other.has_relatives(kept, "run", "model.py:Model")
    assert not other.has_relatives(kept, "run", "another.py:Model")


@pytest.mark.parametrize("torn", [1, 5, 12])
def test_a_line_that_is_torn_is_not_read_and_the_next_one_does_not_stick_to_it(kept, torn):
    (path,) = kept.glob("*.jsonl")
    os.truncate(path, path.stat().st_size - torn)
    journal = opened(kept)
    assert numbers(journal) == [0, 1]
    journal.append({"number": 9})
    journal.close()
    assert numbers(opened(kept)) == [0, 1, 9]


def test_a_line_that_is_garbage_is_not_read_and_those_behind_it_are(kept):
    (path,) = kept.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1], b"\xff\x00{\n", b"[1]\n", lines[3]]))
    assert numbers(opened(kept)) == [0, 2]


@pytest.mark.parametrize(
    "head", [b"", b"\x80\x81\n", b'{"diffexport": "journal", "version": 99, "asked": {}}\n', b"[" * 100_000]
)
def test_a_file_that_is_no_journal_of_this_version_counts_for_nothing(kept, head):
    (path,) = kept.glob("*.jsonl")
    path.write_bytes(head + (b'{"number": 1}\n' if head else b""))
    journal = opened(kept)
    assert journal.records == []
    assert bool(journal.damage) == bool(head)
    journal.append({"number": 5})
    journal.close()
    assert numbers(opened(kept)) == [5]


def test_without_resuming_the_old_one_is_dropped_when_there_is_something_new_and_not_before(kept):
    journal = opened(kept, resume=False)
    assert numbers(journal) == [0, 1, 2]
    journal.close()
    journal = opened(kept, resume=False)
    journal.append({"number": 7})
    journal.close()
    assert numbers(opened(kept)) == [7]


def test_one_that_is_complete_or_empty_is_removed(kept):
    opened(kept).close(remove=True)
    opened(kept).close()
    assert list(kept.glob("*.jsonl")) == []


def test_two_runs_of_the_same_do_not_mix(kept):
    first, second = opened(kept), opened(kept)
    assert first.path != second.path
    assert (first.others, second.others) == (0, 1)
    second.append({"number": 10})
    first.append({"number": 11})
    second.close()
    first.close()
    assert sorted(path.read_text().count('"number"') for path in kept.glob("*.jsonl")) == [1, 4]


HOLDING = """
import os, sys, time
from pathlib import Path
from diffexport.findings.journal.journal_file import JournalFile
journal = JournalFile.open(Path(sys.argv[1]), "run", "model.py:Model", {asked}, resume=True)
journal.append({{"number": 20}})
if os.fork() == 0:
    # A copy of the process that lives on does not hold the lock.
    os.close(1)
    time.sleep(60)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_another_process_keeps_it_until_it_ends(kept):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING.format(asked=ASKED), kept],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline()
        second = opened(kept)
        assert (second.others, second.records) == (1, [])
        second.close()
        process.kill()
        process.wait()
        journal = opened(kept)
        assert (journal.others, numbers(journal)) == (0, [0, 1, 2, 20])
        journal.close()
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()


def test_a_full_disk_ends_the_journal_and_leaves_whole_lines(kept, monkeypatch):
    journal, write = opened(kept), os.pwrite

    def filling(descriptor, data, offset):
        if len(data) < 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: len(data) - 5], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", filling)
        assert not journal.append({"number": "long enough to be cut"})
    assert "No space left" in journal.problem
    assert not journal.append({"number": 4})
    journal.close()
    (path,) = kept.glob("*.jsonl")
    assert path.read_bytes().endswith(b'{"number": 2}\n')


def test_where_none_can_be_kept_it_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"no journal can be kept in .*file"):
        opened(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    name = f"run-model.py-model-{journal_file.fingerprint(ASKED)}.jsonl"
    (tmp_path / "folder" / name).mkdir()
    with pytest.raises(JournalError, match="no journal can be kept"):
        opened(tmp_path / "folder")


def test_what_was_left_long_ago_is_removed(kept, monkeypatch):
    (path,) = kept.glob("*.jsonl")
    os.utime(path, (time.time() - 30 * 86400,) * 2)
    monkeypatch.setattr(journal_file, "_swept", set())
    opened(kept, asked={"seed": 5}).close()
    assert not path.exists()


def test_a_folder_of_its_own_is_kept_out_of_version_control(tmp_path):
    opened(tmp_path / ".diffexport" / "pytest")
    assert (tmp_path / ".diffexport" / ".gitignore").read_text() == "*\n"


def test_texts_that_cannot_be_encoded_do_no_harm(tmp_path):
    journal = opened(tmp_path, asked={"target": "a\udcff.py"}, name="a\udcff.py:M")
    journal.append({"text": "\ud800 ü"})
    journal.close()
    assert opened(tmp_path, asked={"target": "a\udcff.py"}, name="a\udcff.py:M").records == [
        {"text": "\ud800 ü"}
    ]
    (path,) = tmp_path.glob("*.jsonl")
    assert json.loads(path.read_bytes().splitlines()[1]) == {"text": "\ud800 ü"}
