"""Regression files that somebody made to break things: one line each, and the good ones beside them are replayed."""

from __future__ import annotations

import copy
import io
import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from diffexport.subjects import catalogue

#: Each replay happens in a process of its own.
pytestmark = pytest.mark.slow

GOOD = json.loads(
    next(catalogue.regressions_folder().glob("clamp--torchscript--ort-disabled--*")).read_text()
)
#: The same on a model of the project, which agrees.
FINE = {**GOOD, "target": "fine.py:Fine"}
SUFFIX = ".diffexport.json"


def with_input(**changes):
    return {**GOOD, "inputs": [{**GOOD["inputs"][0], "values": None, **changes}]}


def npy(shape, content=b"", descr="<f4"):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


def side(name, shape):
    return with_input(file=name, shape=list(shape), strides=[1])


def named(text):
    return {**GOOD, "inputs": [{"type": "named", "value": text}]}


def edited(before, after):
    text = json.dumps(GOOD)
    assert before in text
    return text.replace(before, after, 1)


#: What is in a file, and what is said of it.
FILES = {
    "integer": (edited('"seed": 0', f'"seed": {"9" * 5000}'), "has an integer of 5,000 digits"),
    "dimensions": (with_input(shape=[1] * 65, strides=[1] * 65), "a tensor of 65 dimensions"),
    "exponent": (with_input(values=["0x1p+99999999"]), "too large to represent"),
    "float": ({**GOOD, "inputs": [{"type": "float", "value": "0x1p+99999999"}]}, "larger than any float"),
    "constant": (edited('"seed": 0', '"seed": NaN'), "has NaN, which is not JSON"),
    "twice": (edited('"seed": 0', '"seed": 0, "seed": 1'), "has the key 'seed' twice"),
    "surrogate": (edited('"message": "', '"message": "\\ud800'), "half of a surrogate pair"),
    "nested": ("[" * 100_000, "nested too deeply"),
    "text-of-long-place": ({**GOOD, "where": f"output[{'9' * 5000}]"}, "cannot be understood"),
    "expanded": (with_input(shape=[1 << 20] * 2, strides=[0, 0]), "take more than 268,435,456 bytes"),
    "offsets": (
        {**GOOD, "inputs": [{**GOOD["inputs"][0], "offset": 1 << 20}] * 99},
        "take more than 268,435",
    ),
    "npz": (side("npz.npy", [300]), "is no .npy file"),
    "claims-much": (side("claims.npy", [10**12]), "take more than 268,435,456 bytes"),
    "claims-more": (side("claims.npy", [300]), "claims 4,000,000,000,000 bytes of values and has 0"),
    "objects": (side("objects.npy", [1]), "holds object, which is no dtype"),
    "pipe-beside": (side("pipe.npy", [300]), "is a named pipe (FIFO), not a file"),
    "sparse-beside": (side("sparse.npy", [300]), "has 10,000,000,000,000 bytes"),
    "link-away": (side("link.npy", [300]), "is a link to another folder"),
    "null-beside": (side("x\0.npy", [300]), "must lie beside the regression file"),
    "null-target": ({**GOOD, "target": "a\0b:c"}, "importing a"),
    "escape-target": ({**GOOD, "target": "no\x1b[2Jwhere:x"}, "No module named"),
    "outside": ({**GOOD, "target": "../fine.py:Fine"}, "--allow-outside lets it be run"),
    "absolute": ({**GOOD, "target": "/etc/models.py:x"}, "--allow-outside lets it be run"),
    "linked": ({**GOOD, "target": "linked.py:Fine"}, "--allow-outside lets it be run"),
    "abort": ({**GOOD, "target": "os:abort"}, "os is a part of Python"),
    "pause": ({**GOOD, "target": "signal:pause"}, "signal is a part of Python"),
    "fork": ({**GOOD, "target": "os:fork"}, "os is a part of Python"),
    "abort-by-the-way": ({**GOOD, "target": "fine.py:os.abort"}, "which is not called"),
    "function-of-another": ({**GOOD, "target": "fine.py:getoutput"}, "is a function of subprocess"),
    "builtin": ({**GOOD, "target": "fine.py:getcwd"}, "which is not called"),
    "of-torch": ({**GOOD, "target": "torch:initial_seed"}, "which makes no models"),
    "of-diffexport": ({**GOOD, "target": "diffexport.faces.cli:main"}, "which makes no models"),
    "installed": ({**GOOD, "target": "numpy:show_config"}, "does not know torch"),
    "named": (named("os.abort"), "'os.abort' is neither of torch nor of the own modules"),
    "named-through-torch": (named("torch.os.abort"), "leads out of torch, to os"),
    "named-large": (
        named("torch.zeros(1000000000000)"),
        "would make a tensor of 3,725 GiB, and 0.25 is the most",
    ),
    "named-code": (named("__import__('os').abort()"), "is neither of torch nor of the own modules"),
    "spec": ({**GOOD, "specs": ["just(os.abort)"]}, "'os.abort' is neither of torch nor"),
    "exit": ({**GOOD, "target": "exits.py:x"}, "SystemExit: 3"),
    "interrupt": (
        {**GOOD, "target": "interrupts.py:x"},
        "importing interrupts.py raises KeyboardInterrupt",
    ),
    "ends": ({**GOOD, "target": "ends.py:x"}, "importing ends.py:x: the process died (exit code 0)"),
    "aborts": ({**GOOD, "target": "aborts.py:x"}, "the process died (signal SIGABRT)"),
    "hangs": ({**GOOD, "target": "hangs.py:x"}, "importing hangs.py:x: it still runs after 8 s"),
    "base": ({**GOOD, "target": "base.py:x"}, "importing base.py raises Odd: odd"),
}
MODULES = {
    "fine": "import os, torch\nfrom os import getcwd\nfrom subprocess import getoutput\n"
    "class Fine(torch.nn.Module):\n    def forward(self, x):\n        return torch.relu(x)\n",
    "exits": "raise SystemExit(3)",
    "interrupts": "raise KeyboardInterrupt",
    "ends": "import os\nos._exit(0)",
    "aborts": "import os\nos.abort()",
    "hangs": "import time\ntime.sleep(1000)",
    "base": "class Odd(BaseException):\n    pass\nraise Odd('odd')",
    "patches": "import os, torch\ntorch.relu = None\nos.chdir('/')\nclass Net(torch.nn.Module):\n"
    "    def forward(self, x):\n        return x\n",
}


def write(folder: Path, name: str, content: object) -> Path:
    path = folder / f"{name}{SUFFIX}"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def fill(project: Path) -> Path:
    """Write the files, and what they refer to."""
    kept = project / "kept"
    kept.mkdir()
    for name, text in MODULES.items():
        (project / f"{name}.py").write_text(text)
    for name, (content, _) in FILES.items():
        write(kept, name, content)
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(300))
    (kept / "npz.npy").write_bytes(buffer.getvalue())
    (kept / "claims.npy").write_bytes(npy((10**12,)))
    (kept / "objects.npy").write_bytes(npy((1,), b"\0" * 8, "|O"))
    os.mkfifo(kept / "pipe.npy")
    os.truncate(os.open(kept / "sparse.npy", os.O_CREAT | os.O_WRONLY), 10**13)
    (project / "far.npy").write_bytes(npy((300,), b"\0" * 1200))
    (kept / "link.npy").symlink_to(project / "far.npy")
    (project / "linked.py").symlink_to("/etc/hostname")
    return kept


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    (project / "pyproject.toml").write_text("")
    return fill(project)


@pytest.fixture(scope="module")
def replayed(kept):
    """Replay all of them in one go, as ``diffexport replay`` does, and what is no file at all."""
    from diffexport.explore import Replayer, StoredRules
    from diffexport.values import DEFAULT_REGRESSION_SIZE, StepLimits

    before = os.getcwd()
    os.chdir(kept.parent)
    try:
        os.mkfifo(kept / f"pipe{SUFFIX}")
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(f"kept/socket{SUFFIX}")
        (kept / f"device{SUFFIX}").symlink_to("/dev/zero")
        (kept / f"loop{SUFFIX}").symlink_to(f"loop{SUFFIX}")
        (kept / f"folder{SUFFIX}").mkdir()
        os.truncate(os.open(kept / f"sparse{SUFFIX}", os.O_CREAT | os.O_WRONLY), 10**13)
        write(kept, "a-good", GOOD)
        write(kept, "m-fine", FINE)
        write(kept, "o-patches", {**GOOD, "target": "patches.py:Net"})
        write(kept, "z-fine", FINE)
        rules = StoredRules(kept.parent, DEFAULT_REGRESSION_SIZE)
        with Replayer((), rules, StepLimits(import_seconds=8)) as replayer:
            return {
                path.name.removesuffix(SUFFIX): replayer.judge(Path("kept", path.name))
                for path in sorted(kept.glob(f"*{SUFFIX}"))
            }
    finally:
        os.chdir(before)


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_an_error_that_says_what_is_wrong(replayed, name):
    judged = replayed[name]
    assert judged.is_error, judged
    assert FILES[name][1] in judged.message
    assert "Traceback" not in judged.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pipe", "it is a named pipe (FIFO), not a file"),
        ("socket", "it is a socket, not a file"),
        ("device", "it is a device, not a file"),
        ("loop", "Too many levels of symbolic links"),
        ("folder", "it is a folder, not a file"),
        ("sparse", "has 10,000,000,000,000 bytes; at most 33,554,432 are read"),
    ],
)
def test_what_is_no_file_is_an_error(replayed, name, message):
    assert replayed[name].is_error
    assert message in replayed[name].message


def test_the_good_ones_are_replayed_and_a_model_that_patches_torch_spoils_none(replayed):
    assert str(replayed["a-good"].status) == "STILL DIVERGES"
    assert [str(replayed[name].status) for name in ("m-fine", "o-patches", "z-fine")].count("ERROR") == 0
    assert replayed["m-fine"].status == replayed["z-fine"].status


def test_one_line_each_and_exit_2(cli, project):
    kept = fill(project)
    for path in kept.glob(f"*{SUFFIX}"):
        if path.name.removesuffix(SUFFIX) not in ("integer", "aborts", "escape-target", "outside"):
            path.unlink()
    (kept / f"new\nline{SUFFIX}").write_text("{")
    write(kept, "fine", {**copy.deepcopy(FINE), "target": "fine.py:Fine"})
    ran = cli("replay", "kept")
    lines = ran.out.splitlines()
    assert ran.code == (2 if "1 FIXED" in lines[-1] else 1)
    assert lines[-1].startswith("5 ERROR, 1 ")
    assert sum(line.startswith("ERROR ") for line in lines) == 5
    assert all(line.startswith(("ERROR ", "FIXED ", "STILL DIVERGES ", " " * 16)) for line in lines[:-1])
    assert "\x1b" not in ran.out
    # With the flag it is found missing, and no longer refused.
    ran = cli("replay", f"kept/outside{SUFFIX}", "--allow-outside", code=2)
    assert "there is no file ../fine.py" in ran.out


def test_what_tensors_may_take_is_configured(cli, project):
    (project / "fine.py").write_text(MODULES["fine"])
    tensor = {"dtype": "float32", "shape": [200], "strides": [1], "values": ["0x0p+0"] * 200}
    write(project, "x", {**FINE, "inputs": [tensor]})
    ran = cli("replay", f"x{SUFFIX}", "--regression-size", "500", code=2)
    assert "take more than 500 bytes" in ran.out
    (project / "pyproject.toml").write_text('[tool.diffexport]\nregression_size = "600"\n')
    assert "take more than 600 bytes" in cli("show", f"x{SUFFIX}", code=2).err
    assert "--regression-size: 'much' is no size" in cli("show", "x", "--regression-size", "much", code=2).err


def test_nothing_but_what_is_left_out_is_nothing_replayed(cli, project):
    (project / "tested.py").write_text(
        "import diffexport, torch\n@diffexport.test(inputs=['float32[N]'])\n"
        "def test_it(width):\n    return torch.nn.ReLU()\n"
    )
    write(project, "x", {**GOOD, "target": "tested.py:test_it"})
    ran = cli("replay", f"x{SUFFIX}", code=2)
    assert ran.out.splitlines()[-1] == "nothing was replayed: 1 LEFT OUT"
