import os

import pytest

from diffexport.atomic import write_bytes, write_text


def fail(*args, **kwargs):
    raise OSError(28, "No space left on device")


def test_writes_a_new_file_and_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "c.bin"
    write_bytes(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(path.parent) == ["c.bin"]


def test_replaces_the_content_and_is_readable_by_others(tmp_path):
    path = tmp_path / "f.json"
    path.write_text("old content, longer than the new")
    write_text(path, "neu → ü\n")
    assert path.read_bytes() == b"neu \xe2\x86\x92 \xc3\xbc\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["f.json"]


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_failing_write_keeps_the_old_content_and_leaves_nothing_behind(tmp_path, monkeypatch, step, old):
    path = tmp_path / "f.bin"
    if old is not None:
        path.write_bytes(old)
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space left"):
            write_bytes(path, b"new")
    assert os.listdir(tmp_path) == ([] if old is None else ["f.bin"])
    assert old is None or path.read_bytes() == old


def test_an_interrupt_leaves_nothing_behind_either(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_bytes(tmp_path / "f.bin", b"new")
    assert os.listdir(tmp_path) == []


def test_the_data_is_on_disk_before_the_name_is(tmp_path, monkeypatch):
    path = tmp_path / "f.bin"
    path.write_bytes(b"old")
    events = []
    fsync, replace = os.fsync, os.replace

    def watch_fsync(descriptor):
        events.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def watch_replace(source, target):
        events.append(("replace", path.read_bytes()))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", watch_fsync)
        patch.setattr(os, "replace", watch_replace)
        write_bytes(path, b"12345")
    assert events[:2] == [("fsync", 5), ("replace", b"old")]
    assert path.read_bytes() == b"12345"


def test_text_that_cannot_be_encoded_touches_nothing(tmp_path):
    path = tmp_path / "f.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f.txt"]
