"""Inference in a child process: what is probed may crash, hang, leave, fork and print."""

import json
import textwrap

import pytest

from diffexport.infer.session import Inference, Session, cache, infer_target

pytestmark = pytest.mark.slow

MODELS = """
import ctypes, os, signal, sys, time
import torch
from torch.autograd import Function

#: Processes are started, and some are waited for until they are late.

print("imported")

def _function(forward):
    return type(forward.__name__, (Function,), {"forward": staticmethod(forward)})

def twice(ctx, x):
    print("called")
    os.write(2, b"called")
    return 2 * x

def picky(ctx, x, scale):
    if isinstance(scale, float):
        os._exit(7)
    return x * scale

def deadly(ctx, x):
    os.kill(os.getpid(), signal.SIGSEGV)

def forking(ctx, x):
    if os.fork() == 0:
        return x
    os.wait()
    return x + 1

def deaf(ctx, x):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(60)

def greedy(ctx, x):
    return torch.zeros(1 << 36) + x

Twice, Picky, Deadly, Forking, Deaf, Greedy = map(_function, (twice, picky, deadly, forking, deaf, greedy))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probed")
    (folder / "models.py").write_text(textwrap.dedent(MODELS))
    (folder / "leaving.py").write_text("import sys; sys.exit('bye')")
    (folder / "wanting.py").write_text("import no_such_package_at_all")
    (folder / "vanishing.py").write_text("import os; os._exit(0)")
    return folder


@pytest.fixture(scope="module")
def session(project):
    with Session(folder=project, cached=False, deaths=2) as session:
        yield session


def test_answers_come_whatever_is_printed_and_forked(session):
    assert session.infer("models.py:Twice").inputs == ("float32[...]",)
    assert session.infer("models.py:Forking").status == "inferred"
    assert session.infer("models.py:Greedy", seconds=1).status == "rejected"
    assert session.infer("leaving.py:Model").status == "import-error"
    assert "SystemExit: bye" in session.infer("leaving.py:Model").message
    assert "no_such_package_at_all" in session.infer("wanting.py:Model").message
    assert session.infer("models.py:Thrice").status == "no-model"
    assert "Twice" in session.infer("models.py:Thrice").message
    assert session.infer("models.py:os").status == "no-model"
    assert session.infer("missing.py:Model").status == "no-model"


def test_a_candidate_that_ends_the_process_is_left_out(session):
    found = session.infer("models.py:Picky")
    assert found.status == "inferred", found
    assert found.inputs[0] == "float32[...]"
    assert any("exit code 7" in note for note in found.notes)


def test_what_always_ends_the_process(session):
    found = session.infer("models.py:Deadly")
    assert found.status == "crash"
    assert "SIGSEGV" in found.message
    assert "--input" in found.message


def test_what_cannot_be_interrupted(session):
    found = session.infer("models.py:Deaf", seconds=0.5)
    assert found.status == "timeout"


def test_an_import_that_ends_the_process(session):
    assert session.infer("vanishing.py:Model").status == "import-error"
    # It is not imported once more.
    assert session.infer("vanishing.py:Other").target == "vanishing.py:Other"


def test_results_are_kept(project, monkeypatch):
    monkeypatch.chdir(project)
    first = infer_target("models.py:Twice")
    (entry,) = (project / ".diffexport" / "inferred").iterdir()
    assert json.loads(entry.read_text())["inputs"] == ["float32[...]"]
    # Taken from there: the entry, not the model, says what it is.
    entry.write_text(json.dumps({**first.document(), "call": "from the file"}))
    assert infer_target("models.py:Twice").call == "from the file"
    entry.write_text("{")
    assert cache.load(entry) is None
    models = project / "models.py"
    models.write_text(models.read_text() + "\n# changed\n")
    assert cache.key("models.py:Twice", ()) != entry


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"status": "no such status"},
        {"status": "inferred", "inputs": "float32"},
        {"status": "inferred", "tried": "x"},
    ],
)
def test_a_damaged_document(document):
    with pytest.raises(ValueError, match=r"inference|must be"):
        Inference.from_document(document)
