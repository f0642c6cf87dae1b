"""``diffexport run`` on a model that declares no inputs."""

BENDS = """
import torch
from torch.autograd import Function

class Bend(Function):
    @staticmethod
    def forward(ctx, x, alpha, dtype):
        return torch.where(x > 0, x, x * alpha).to(dtype)

class Twisted(Function):
    @staticmethod
    def forward(ctx, x, alpha):
        return x * alpha

    @staticmethod
    def symbolic(g, x, alpha):
        # Another shape and dtype: what differs in value only is arbitrated, which takes its time.
        return g.op("Shape", x)

class Stubborn(Function):
    @staticmethod
    def forward(ctx, x):
        raise ValueError("not in this life")

def bend(x, alpha=0.25):
    return Bend.apply(x, alpha, torch.float16)

def twisted(x):
    return Twisted.apply(x, 3.0)
"""

CHEAP = ("--modes", "torchscript", "--examples", "4", "--jobs", "0")


def test_what_was_inferred_is_shown_and_used(cli, project):
    (project / "bends.py").write_text(BENDS)
    ran = cli("run", "bends.py:Bend", *CHEAP, "--no-save", code=0)
    assert "Bend.apply(x: float32[...], just(0.25), just(torch.float16))" in ran.out
    pasted = "--input 'float32[...]' --input 'just(0.25)' --input 'just(torch.float16)'"
    assert pasted in ran.out
    given = ("--input", "float32[2]", "--input", "just(0.5)", "--input", "just(torch.float64)")
    assert "inferred" not in cli("run", "bends.py:Bend", *CHEAP, "--no-save", *given, code=0).out


def test_a_finding_with_inferred_inputs_can_be_reproduced_and_replayed(cli, project):
    (project / "bends.py").write_text(BENDS)
    ran = cli("run", "bends.py:Twisted", *CHEAP, code=1)
    assert "--input 'just(3.0)'" in ran.out
    assert "STILL DIVERGES" in cli("replay", code=1).out


def test_what_cannot_be_inferred_is_said(cli, project):
    (project / "bends.py").write_text(BENDS)
    ran = cli("run", "bends.py:Stubborn", *CHEAP, code=2)
    assert "no inputs could be inferred (rejected): Stubborn(x): none of " in ran.out
    assert "ValueError: not in this life" in ran.out
    assert "--input 'float32[...]'" in ran.out
    assert ran.out.rstrip().endswith("NOT TESTED")
