"""Call sites: what the code around a Function gives for its arguments."""

import textwrap

import pytest

from diffexport.infer.evidence.call_sites import Sites
from diffexport.infer.evidence.library import Library


class Bend:
    """Stands for the Function of that name in the files that are searched."""


def sites(tmp_path, **files):
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    found = Sites(Library([tmp_path]), seconds=20).of(Bend)
    return [tuple(one and (one.text or "tensor") for one in site.arguments) for site in found]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("Bend.apply(x, 0.5, -1, 'mean', None, (1, 2))", ("0.5", "-1", "'mean'", "None", "(1, 2)")),
        ("def bend(x, alpha=0.25): return Bend.apply(x, alpha)", ("0.25",)),
        ("def bend(x):\n    k = 2 ** 3 - 1\n    return Bend.apply(x, k)", ("7",)),
        ("LEVELS = 16\ndef bend(x): return Bend.apply(x, LEVELS)", ("16",)),
        ("f = Bend.apply\ny = f(x, 3)", ("3",)),
        ("import lib\ndef bend(x): return lib.Bend.apply(x, True)", ("True",)),
        (
            "def outer(slope=25):\n    def inner(x):\n        return Bend.apply(x, slope)\n    return inner",
            ("25",),
        ),
        ("bend = lambda x: Bend.apply(x, 4)", ("4",)),
        ("def bend(x, w):\n    return Bend.apply(x, w.contiguous())", ("tensor",)),
        ("def bend(x, w: 'Tensor'):\n    return Bend.apply(x, w)", ("tensor",)),
        ("def bend(x, k=None):\n    return Bend.apply(x, k or 5)", ("5",)),
        ("def bend(x, k):\n    return Bend.apply(x, k)\ndef use(x): return bend(x, 9)", ("9",)),
        ("def bend(x, k):\n    return Bend.apply(x, k)\ndef use(x): return bend(x, k=9)", ("9",)),
    ],
)
def test_values(tmp_path, code, expected):
    assert sites(tmp_path, module=code)[0][1:] == expected


def test_attributes_of_an_instance(tmp_path):
    found = sites(
        tmp_path,
        layer="""
        class Layer(Module):
            scale = 2
            def __init__(self, alpha=0.75, beta=None, gamma=1):
                self.alpha = alpha
                self.weight = nn.Parameter(torch.zeros(3))
                self.register_buffer("seen", torch.zeros(1))
                self.gamma = gamma * 2
            def forward(self, x):
                return Bend.apply(x, self.alpha, self.weight, self.seen, self.scale, self.gamma)
        """,
    )
    assert found[0][1:] == ("0.75", "tensor", "tensor", "2", "2")


def test_wrappers_in_other_files_are_followed(tmp_path):
    found = sites(
        tmp_path,
        inner="def bend(x, power):\n    return Bend.apply(x, power)",
        middle="from inner import bend\ndef soft(x, p):\n    return bend(x, p)",
        outer="from middle import soft\ny = soft(x, 1.5)",
    )
    assert found == [(None, "1.5")]


def test_what_cannot_be_told(tmp_path):
    assert sites(tmp_path, module="def bend(x, k): return Bend.apply(x, k, compute(), *rest)") == []
    assert sites(tmp_path, module="def bend(x, k): return Bend.apply(x, k, compute())") == [
        (None, None, None)
    ]


def test_endless_assignments_end(tmp_path):
    assert (
        sites(tmp_path, module="def bend(x):\n    a = b\n    b = a\n    return Bend.apply(x, a)")[0][1]
        is None
    )


def test_files_that_do_not_parse_are_passed_over(tmp_path):
    assert sites(tmp_path, broken="Bend.apply(", good="Bend.apply(x, 1)") == [(None, "1")]
