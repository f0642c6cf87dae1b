"""``diffexport show`` reads the model's source as text: nothing of a stored file is imported or called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from diffexport.errors import DiffexportError
from diffexport.findings.regressions import loads
from diffexport.findings.scripts import unexecuted_script
from diffexport.subjects import catalogue

GOOD = json.loads(
    next(catalogue.regressions_folder().glob("clamp--torchscript--ort-disabled--*")).read_text()
)
#: Whoever runs a line of it leaves a file behind.
MARK = "from pathlib import Path\nPath('executed').touch()\n"
MODELS = """
import torch
import diffexport
from torch import nn

class Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, low=0):
        return x.clamp(min=low)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        Path('executed').touch()
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(x).clamp(min=0)

class Outer:
    class Inner(Net):
        pass

def make():
    Path('executed').touch()
    return Net()

alias = Net
instance = make()
case = diffexport.make_case("named", Net, inputs=["float32[N, 3]"])
hidden = diffexport.make_case("named", lambda: Net(), inputs=["float32[...]"])
"""
TEST = """
import diffexport
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return x.clamp(min=0)

test_net = diffexport.test(Net, inputs=["float32[...]"])

@diffexport.test(inputs=["float32[...]"])
def test_made():
    return Net()
"""


@pytest.fixture
def script(project):
    (project / "written.py").write_text(MARK + MODELS)
    (project / "tested.py").write_text(MARK + TEST)
    package = project / "written_package"
    package.mkdir()
    (package / "__init__.py").write_text(MARK + "from .inner import Net, make\n")
    (package / "inner.py").write_text(MARK + MODELS)

    def make(target: str, **changes: object) -> str:
        document = {**GOOD, "target": target, **changes}
        text = unexecuted_script(loads(json.dumps(document), Path("x.json")), project)
        compile(text, "script", "exec")
        assert not (project / "executed").exists()
        assert not {"written", "written_package", "tested"} & sys.modules.keys()
        return text

    return make


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("written.py:Net", "Net()"),
        ("written:Net", "Net()"),
        ("written.py:alias", "Net()"),
        ("written.py:make", "make()"),
        ("written.py:case", "Net()"),
        ("written.py:Clamp", "Applied()"),
        ("written.py:Clamp+parameter", "Applied()"),
        ("written.py:instance", "instance if isinstance(instance, torch.nn.Module) else instance()"),
        ("written.py:Outer.Inner", "target.Outer.Inner()"),
        ("written.py:hidden", "made(target.hidden)"),
        ("written_package:Net", "Net()"),
        ("written_package:make", "make()"),
        ("written_package.inner:Net", "Net()"),
        ("tested.py:test_net", "Net()"),
        ("tested.py:test_made", "test_made()"),
        ("nowhere:Net", "made(target.Net)"),
    ],
)
def test_the_model_is_read_as_text(script, target, model):
    assert f"    model = {model}\n" in script(target)


def test_what_the_source_declares_is_in_the_script(script):
    text = script("written.py:case", mode="torchscript,dynamic=true")
    assert "dynamic_axes" in text
    text = script("written.py:Clamp", specs=["float32[...]", "just(0.25)"])
    assert "Clamp.apply(x0, 0.25)" in text
    assert "torch.manual_seed(0)" in script("written.py:Net")


def test_a_model_that_may_be_in_training_mode_is_put_into_eval_mode(script):
    # An exporter that is not told the mode takes the model as it is.
    for target in ("written.py:Net", "written.py:hidden", "written.py:make"):
        assert "    model.eval()\n" in script(target, mode="dynamo")
    assert "    model.eval()\n" not in script("written.py:Net", mode="torchscript")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["written.py:Net", "written.py:hidden", "written_package:make"])
def test_the_script_still_shows_it(script, project, target):
    text = script(target)
    (project / "script.py").write_text(text.replace(MARK, "from pathlib import Path\n"))
    ran = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, cwd=project, timeout=240, check=False
    )
    assert (ran.returncode, "DIVERGES: " in ran.stdout) == (1, True), ran.stderr


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os:abort", "os is a part of Python"),
        ("../written.py:Net", "its file lies outside of"),
        ("clmp", "unknown case"),
    ],
)
def test_what_is_no_model_is_refused(script, target, message):
    with pytest.raises(DiffexportError, match=message):
        script(target)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("written.Net", "import_module('written').Net"),
        ("written_package.inner.Net", "import_module('written_package.inner').Net"),
        ("written.Net(scale=[1, -2])", "import_module('written').Net(scale=[1, -2])"),
        ("torch.float16", "torch.float16"),
    ],
)
def test_what_has_a_name_is_written_down_without_being_looked_up(script, text, expression):
    target = f"{text.partition('.')[0].replace('torch', 'written')}:Net"
    kwargs = {"which": {"type": "named", "value": text}}
    assert expression in script(target, kwargs=kwargs, export_kwargs=kwargs)


@pytest.mark.parametrize(
    "text",
    [
        "written.make()",
        "written.Net(os.system('x'))",
        "os.system('x')",
        "__import__('os')",
        "written.__builtins__",
        "[x for x in written]",
    ],
)
def test_no_other_code_gets_into_a_script(script, text):
    kwargs = {"which": {"type": "named", "value": text}}
    with pytest.raises(DiffexportError):
        script("written.py:Net", kwargs=kwargs, export_kwargs=kwargs)


@pytest.mark.slow
def test_the_command_executes_nothing_either(cli, project):
    (project / "written.py").write_text(MARK + MODELS)
    (project / "x.diffexport.json").write_text(json.dumps({**GOOD, "target": "written.py:Net"}))
    assert "model = Net()" in cli("show", "x.diffexport.json", code=0).out
    assert not (project / "executed").exists()
