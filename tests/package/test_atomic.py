import errno
import json
import os
import stat
import threading
import time

import pytest

from diffexport import atomic
from diffexport.atomic import write_bytes, write_json, write_text


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


@pytest.mark.parametrize("step", ["fsync", "write", "replace"])
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


def test_a_document_with_half_a_surrogate_pair_is_written_all_the_same(tmp_path):
    write_json(tmp_path / "f.json", {"name": "a\udcffb", "ü": 1})
    text = (tmp_path / "f.json").read_bytes().decode("utf-8")
    assert json.loads(text) == {"name": "a\udcffb", "ü": 1}
    assert "ü" in text


def test_the_umask_is_the_kernels_business(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", fail)
            write_bytes(tmp_path / "f.bin", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "f.bin").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_file_that_is_there_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "f.bin"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_bytes(path, b"new")
    assert path.stat().st_mode & 0o777 == mode


def test_links_stay_and_what_they_lead_to_is_written(tmp_path):
    (tmp_path / "a").mkdir()
    target, link, other = tmp_path / "a" / "target", tmp_path / "link", tmp_path / "other"
    link.symlink_to("a/target")
    other.symlink_to(link)
    write_bytes(other, b"new")
    assert target.read_bytes() == b"new"
    inode = target.stat().st_ino
    write_bytes(other, b"newer")
    assert (target.read_bytes(), target.stat().st_ino == inode) == (b"newer", False)
    assert link.is_symlink()
    assert other.is_symlink()
    assert not target.is_symlink()


def test_links_that_lead_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        write_bytes(tmp_path / "a", b"new")


def test_a_device_stays_a_device(tmp_path):
    """By a link in a folder of its own: whatever the code does, it cannot replace the real one."""
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert os.stat(os.devnull).st_rdev == os.makedev(1, 3)
    assert os.listdir(tmp_path) == ["null"]


def test_a_full_device_is_an_error_and_stays(tmp_path):
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_bytes(link, b"new")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    path, data, read = tmp_path / "pipe", b"x" * 300_000, []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_bytes(path, data)
    reader.join(10)
    assert read == [data]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_pipe_that_nobody_reads_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_PATIENCE", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TimeoutError, match="nobody reads it"):
        write_bytes(tmp_path / "pipe", b"new")
    keep_open = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(TimeoutError, match="nobody reads it"):
        write_bytes(tmp_path / "pipe", b"x" * 300_000)
    os.close(keep_open)


def test_an_open_descriptor_is_written_behind_what_is_there(tmp_path):
    path = tmp_path / "out.txt"
    with open(path, "wb") as file:
        file.write(b"before ")
        file.flush()
        inode = os.fstat(file.fileno()).st_ino
        link = tmp_path / "link"
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        write_bytes(link, b"new ")
        write_bytes(type(path)(f"/proc/self/fd/{file.fileno()}"), b"newer ")
        file.write(b"after")
    assert path.read_bytes() == b"before new newer after"
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EROFS, errno.EBUSY])
def test_where_the_folder_cannot_be_written_the_file_is_written_in_place(tmp_path, monkeypatch, reason):
    path = tmp_path / "f.bin"
    path.write_bytes(b"old and longer than the new one")
    inode = path.stat().st_ino

    def refuse(*args, **kwargs):
        raise OSError(reason, os.strerror(reason))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        write_bytes(path, b"new")
    assert (path.read_bytes(), path.stat().st_ino) == (b"new", inode)
    assert os.listdir(tmp_path) == ["f.bin"]


def test_what_cannot_be_written_in_place_is_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "f.bin"
    path.write_bytes(b"old and longer than the new one")
    calls, write = [], os.write

    def refuse(*args):
        raise PermissionError(errno.EACCES, "no")

    def filling(descriptor, data):
        calls.append(len(data))
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        patch.setattr(atomic, "_PATIENCE", 0.1)
        patch.setattr(os, "write", filling)
        with pytest.raises(OSError, match="No space left"):
            # The first two are of the new file that could not take the place.
            write_bytes(path, b"new")
    assert path.read_bytes() == b"old and longer than the new one"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Is a directory"),
        ("x" * 300, "File name too long"),
        ("a\0b", "NUL character"),
        ("f.bin/g", "File exists|Not a directory"),
    ],
)
def test_what_cannot_be_a_file_is_an_error_that_says_so(tmp_path, name, reason):
    (tmp_path / "f.bin").write_bytes(b"old")
    with pytest.raises(OSError, match=reason):
        write_bytes(tmp_path / name, b"new")
    assert os.listdir(tmp_path) == ["f.bin"]


def test_a_name_as_long_as_can_be_is_written(tmp_path):
    write_bytes(tmp_path / ("ü" * 127), b"new")
    assert os.listdir(tmp_path) == ["ü" * 127]


def test_what_killed_processes_left_is_swept_when_it_is_old(tmp_path):
    names = (f".f.0a{atomic.UNFINISHED}", f".f.0b{atomic.UNFINISHED}", ".f.tmp")
    old, young, other = (tmp_path / name for name in names)
    for path in (old, young, other):
        path.write_bytes(b"torn")
    os.utime(old, (time.time() - 7200,) * 2)
    os.utime(other, (time.time() - 7200,) * 2)
    write_bytes(tmp_path / "f", b"new")
    assert sorted(os.listdir(tmp_path)) == sorted([young.name, other.name, "f"])
