"""Stored findings are whole or not there: whenever a process is killed, and however many write and read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffexport import Call, Kind, Mode, Stage
from diffexport.errors import RegressionFileError
from diffexport.findings.regressions import Regression, folder_lock, load, save, store
from diffexport.findings.regressions.listing import SUFFIX
from diffexport.findings.regressions.sweeping import sweep
from diffexport.values.place import Place


def regression(size: int, fill: float = 0.0) -> Regression:
    """Return a regression whose inputs and outputs are in side files: numbers that no filling says."""
    array = np.float32(fill) + np.arange(size, dtype=np.float32)
    return Regression(
        "model",
        "models.py:model",
        Mode("torchscript"),
        "ort-disabled",
        Stage.COMPARE,
        Kind.VALUE,
        Place.output(0),
        "finite→finite",
        "differs",
        (array,),
        (array + 1,),
        (array + 2,),
        (array + 3,),
    )


def side_files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.npy")}


def referred(folder: Path) -> set[str]:
    names = set()
    for path in folder.glob(f"*{SUFFIX}"):
        document = json.loads(path.read_text())
        for role in ("inputs", "export_inputs", "eager", "got"):
            names |= {argument["file"] for argument in document[role] if "file" in argument}
    return names


def test_side_files_are_named_by_their_content_and_the_replaced_ones_go(tmp_path: Path):
    path, written = save(regression(400), tmp_path)
    assert written
    before = side_files(tmp_path)
    assert len(before) == 4
    assert all(name.startswith(path.name.removesuffix(SUFFIX)) for name in before)
    assert save(regression(300), tmp_path) == (path, True)
    assert len(side_files(tmp_path)) == 4
    assert not side_files(tmp_path) & before
    assert load(path).inputs[0].size == 300
    assert save(regression(500), tmp_path) == (path, False)
    assert {path.name for path in tmp_path.iterdir()} == side_files(tmp_path) | {path.name}


def test_a_changed_side_file_is_seen(tmp_path: Path):
    path, _ = save(regression(400), tmp_path)
    side = next(tmp_path.glob("*.input0.*.npy"))
    data = bytearray(side.read_bytes())
    data[-1] ^= 1
    side.write_bytes(data)
    with pytest.raises(RegressionFileError, match="was changed"):
        load(path)
    # One that cannot be read is replaced, whatever the size.
    assert save(regression(600), tmp_path)[1]
    assert load(path).inputs[0].size == 600


def test_files_of_earlier_versions_are_read_and_swept_once_replaced(tmp_path: Path):
    path, _ = save(regression(400), tmp_path)
    text = path.read_text()
    for name in side_files(tmp_path):
        stem, role, _, suffix = name.rsplit(".", 3)
        old = f"{stem}.{role}.{suffix}"
        (tmp_path / name).rename(tmp_path / old)
        text = text.replace(name, old)
    path.write_text(text)
    assert {len(name.split(".")) for name in side_files(tmp_path)} == {3}
    assert load(path).eager[0][0] == 2
    assert save(regression(400), tmp_path) == (path, False)
    assert save(regression(300), tmp_path) == (path, True)
    assert side_files(tmp_path) == referred(tmp_path)


def test_only_what_diffexport_wrote_and_nobody_refers_to_is_swept(tmp_path: Path):
    path, _ = save(regression(400), tmp_path)
    stem = path.name.removesuffix(SUFFIX)
    kept = [
        "weights.npy",
        f"{stem}.npy",
        "model--value--0123abcd.input0.txt",
        "x.input0.npy",
        ".report.json.01.diffexport-tmp",
    ]
    swept = [
        "gone--value--0123abcd.input0.npy",
        f"{stem}.got0.{'0' * 16}.npy",
        f".{path.name[:40]}.0123456789ab.diffexport-tmp",
    ]
    renamed = "renamed--value--0123abcd.input0.npy"
    for name in (*kept, *swept, renamed):
        (tmp_path / name).write_bytes(b"x")
    # A file that does not even parse keeps what it mentions.
    (tmp_path / f"by-hand{SUFFIX}").write_text(f'{{"file": "{renamed}"')
    before = side_files(tmp_path)
    sweep(tmp_path, locked=True)
    left = {one.name for one in tmp_path.iterdir()}
    assert left >= {*kept, renamed, path.name}
    assert not left & set(swept)
    assert before - side_files(tmp_path) == {name for name in swept if name.endswith(".npy")}


def test_without_a_lock_only_what_is_old_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    orphan = tmp_path / "gone--value--0123abcd.input0.npy"
    orphan.write_bytes(b"x")
    monkeypatch.setattr(folder_lock, "_lock", lambda _: False)
    save(regression(400), tmp_path)
    assert orphan.exists()
    os.utime(orphan, (time.time() - 7200,) * 2)
    save(regression(300), tmp_path)
    assert not orphan.exists()


def test_a_finding_whose_side_files_somebody_removes_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write, taken = store.atomic.write_text, []

    def sweeper(path: Path, text: str) -> None:
        write(path, text)
        if not taken:
            taken.append(next(tmp_path.glob("*.npy")))
            taken[0].unlink()

    monkeypatch.setattr(store.atomic, "write_text", sweeper)
    path, _ = save(regression(400), tmp_path)
    assert taken
    assert load(path).inputs[0].size == 400


def test_what_is_no_file_is_not_replaced(tmp_path: Path):
    path = store.path_for(regression(400), tmp_path)
    os.mkfifo(path)
    with pytest.raises(RegressionFileError, match="is in the way"):
        save(regression(400), tmp_path)


def test_a_text_that_no_file_can_hold_is_refused(tmp_path: Path):
    with pytest.raises(RegressionFileError, match="half of a surrogate pair"):
        save(replace(regression(400), inputs=("\ud800",)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_process_that_was_stopped_with_the_lock_does_not_stop_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(folder_lock, "_PATIENCE", 0.1)
    with folder_lock.locked(tmp_path) as alone:
        assert alone
        with folder_lock.locked(tmp_path) as second:
            assert not second
        path, _ = save(regression(400), tmp_path)
    assert load(path).inputs[0].size == 400


def test_a_reader_that_meets_a_replacement_reads_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from diffexport.findings.regressions import format as file_format

    path, _ = save(regression(400), tmp_path)
    parse, seen = file_format.loads, []

    def slowly(text: str, *args: object, **kwargs: object) -> Regression:
        if not seen:
            seen.append(text)
            save(regression(300), tmp_path)
        return parse(text, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(file_format, "loads", slowly)
        got = file_format.load(path)
    assert seen
    assert got.inputs[0].size == 300


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import regression
from diffexport.findings.regressions import save
folder, gate, number = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
(gate / f"ready{{number}}").touch()
while not (gate / "go").exists():
    time.sleep(0.005)
for size in range(900, 860, -1):
    save(regression(2 * size - number, size), folder)
"""


def writers(folder: Path, gate: Path, numbers: range) -> list[subprocess.Popen[bytes]]:
    """Start processes that store smaller and smaller findings once all of them are ready."""
    gate.mkdir()
    program = WRITER.format(tests=str(Path(__file__).parent))
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(folder), str(gate), str(number)])
        for number in numbers
    ]
    while not all((gate / f"ready{number}").exists() for number in numbers):
        assert all(process.poll() is None for process in started)
        time.sleep(0.01)
    (gate / "go").touch()
    return started


def assert_whole(path: Path) -> int:
    """Read a finding; it is of one writing."""
    got = load(path)
    (array,) = Call.of(got.inputs).args
    for given, more in ((got.export_inputs, 1), (got.eager, 2), (got.got, 3)):
        (other,) = Call.of(given).args
        assert np.array_equal(other, array + more)
    return int(array.size)


@pytest.mark.slow
def test_two_writers_and_a_reader_never_see_half_a_finding(tmp_path: Path):
    folder = tmp_path / "kept"
    path, _ = save(regression(5000), folder)
    both = writers(folder, tmp_path / "gate", range(2))
    try:
        sizes = [assert_whole(path)]
        while any(process.poll() is None for process in both):
            sizes.append(assert_whole(path))
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert [process.returncode for process in both] == [0, 0]
    assert len(set(sizes)) > 10
    assert sizes == sorted(sizes, reverse=True)
    save(replace(regression(257), message="last"), folder)
    assert side_files(folder) == referred(folder)


@pytest.mark.slow
def test_whenever_a_writer_is_killed_the_finding_is_whole(tmp_path: Path):
    folder = tmp_path / "kept"
    path, _ = save(regression(5000), folder)
    sizes = [5000]
    for number in range(4):
        (process,) = writers(folder, tmp_path / f"gate{number}", range(number, number + 1))
        time.sleep(0.1 + 0.23 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sizes.append(assert_whole(path))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 5000
    save(regression(257), folder)
    assert side_files(folder) == referred(folder)
    assert not list(folder.glob(".*"))
