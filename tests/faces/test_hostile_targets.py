"""Whatever importing a target does is one line, and the other targets are tested all the same."""

import json
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

GOOD = """
    import torch

    class Model(torch.nn.Module):
        def forward(self, x):
            return x + 1
"""
#: For each file: what it does when it is imported, and what is said of that; nothing where it can be tested.
HOSTILE = {
    "aborts": ("os.abort()", "importing aborts.py ends the process (signal SIGABRT)"),
    "segfaults": (
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "importing segfaults.py ends the process (signal SIGSEGV)",
    ),
    "leaves": ("os._exit(0)", "importing leaves.py ends the process (exit code 0)"),
    "exits": ("sys.exit(3)", "importing exits.py raises SystemExit: 3"),
    "raises": ("raise type('Odd', (BaseException,), {})('o' * 10**8)", "importing raises.py raises Odd: ooo"),
    "interrupts": ("raise KeyboardInterrupt", "importing interrupts.py raises KeyboardInterrupt"),
    "hangs": ("time.sleep(1000)", "importing hangs.py does not end within 20 s (--import-timeout)"),
    # 120 where the interpreter cannot write out what it was to print.
    "closes": ("os.closerange(0, 1000)", "importing closes.py ends the process (exit code 1"),
    "detaches": (
        "if os.fork(): os._exit(0)",
        "importing detaches.py ends the process (exit code 0)",
    ),
    "eats": (
        "x = [bytearray(1 << 30) for _ in range(99)]",
        "importing eats.py raises MemoryError: memory ran out; the process may have more with --memory",
    ),
    "forks": ("os.fork()", ""),
    "talks": ("print('p' * 10**7); os.write(1, b'n' * 10**7); os.write(2, b'n' * 10**7)", ""),
}


@pytest.fixture
def files(project):
    (project / "good.py").write_text(textwrap.dedent(GOOD))
    for name, (statement, _) in HOSTILE.items():
        source = f"import os, signal, sys, time\n{statement}\n{textwrap.dedent(GOOD)}"
        (project / f"{name}.py").write_text(source)
    before = set(sys.modules)
    yield project
    imported = [name for name in sys.modules.keys() - before if name.startswith("diffexport_target_")]
    assert not imported, "user code is imported in children only"


CHEAP = ("--modes", "torchscript", "--runtime", "ort-disabled", "--examples", "2", "--input", "float32[N]")


def test_run(cli, files):
    targets = [f"{name}.py:Model" for name in HOSTILE]
    options = (
        "--jobs",
        "1",
        "--no-save",
        "--import-timeout",
        "20",
        "--memory",
        "2GiB",
        "--json",
        "report.json",
    )
    ran = cli("run", *targets, "good.py:Model", *CHEAP, *options, code=2)
    report = json.loads((files / "report.json").read_text())
    errors = {error["case"]: error["message"] for error in report["errors"]}
    for name, (_, said) in HOSTILE.items():
        if said:
            assert f"target '{name}.py:Model': {said}" in errors.pop(f"{name}.py:Model")
    assert not errors
    # The good one, and those that do no harm.
    assert [row["verdict"] for row in report["results"]] == ["agrees"] * 3
    assert max(map(len, ran.out.splitlines())) < 2_000


def test_mutate(cli, files):
    ran = cli(
        "mutate", "aborts.py:Model", "good.py:Model", *CHEAP, "--only", "constant-half", "--jobs", "1", code=2
    )
    assert "importing aborts.py ends the process (signal SIGABRT)" in ran.out


def test_compare(cli, files):
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("x", "y")]
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", ends[:1], ends[1:], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, files / "model.onnx")
    options = ("--runtime", "ort-disabled", "--examples", "2", "--input-name", "x=x")
    ran = cli("compare", "model.onnx", "aborts.py:Model", *options, code=2)
    assert "importing aborts.py ends the process (signal SIGABRT)" in ran.out
    assert "all as expected" in cli("compare", "model.onnx", "good.py:Model", *options, code=0).out


def test_a_wrong_name_stops_the_run_before_anything_is_run(cli, files):
    ran = cli("run", "good.py:Modle", "good.py:Model", *CHEAP, "--jobs", "1", code=2)
    assert "unknown attribute 'Modle' in target 'good.py:Modle'; did you mean 'Model'?" in ran.err
    assert not ran.out


NAMED = """
    import enum
    import torch
    from diffexport import make_case
    from hypothesis import strategies as st

    class Scale(enum.Enum):
        ONE = 1
        TWO = 2

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            return x * scale.value

        @staticmethod
        def symbolic(g, x, scale):
            return g.op("Shape", x)

    class Model(torch.nn.Module):
        def forward(self, x, scale):
            return Scaled.apply(x, scale)

    case = make_case("named", Model, inputs=["float32[2]", st.sampled_from(Scale)])
"""


def test_a_finding_with_an_argument_of_a_users_type_is_kept(cli, project):
    (project / "named_by_user.py").write_text(textwrap.dedent(NAMED))
    options = ("--modes", "torchscript", "--runtime", "ort-disabled", "--examples", "2", "--jobs", "1")
    ran = cli("run", "named_by_user:case", *options, "--json", "report.json", code=1)
    assert "named_by_user" not in sys.modules
    assert "<Scale.ONE: 1>" in ran.out
    (divergence, *_) = json.loads((project / "report.json").read_text())["divergences"]
    assert divergence["inputs"][1] == {"type": "Scale", "value": "<Scale.ONE: 1>"}
    assert not divergence["save_error"]
    assert "named_by_user.Scale.ONE" in (project / divergence["regression"]).read_text()


LOUD = """
    import os
    import torch

    class Model(torch.nn.Module):
        def forward(self, x):
            print("p" * 10**6)
            os.write(2, b"n" * 10**6)
            raise ValueError("m" * 10**7 + "\\x1b[2J")
"""


@pytest.mark.parametrize("jobs", [0, 1])
def test_what_a_model_says_has_a_length(cli, project, jobs):
    (project / f"loud{jobs}.py").write_text(textwrap.dedent(LOUD))
    ran = cli("run", f"loud{jobs}.py:Model", *CHEAP, "--jobs", jobs, "--no-save", code=2)
    assert len(ran.said) < 10_000
    assert "characters more)" in ran.out
