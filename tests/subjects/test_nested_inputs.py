"""Arguments that are lists, tuples and dicts of tensors: as texts, in cases, exported, shrunk, stored and replayed."""

import numpy as np
import pytest
import torch
from hypothesis import find
from hypothesis import strategies as st
from torch.autograd import Function

import diffexport
from diffexport.errors import UsageError
from diffexport.findings.regressions import load, replay
from diffexport.strategies import canonical, samples, split
from diffexport.subjects.cases import make_case
from diffexport.values import Call


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def symbolic(g, x):
        return g.op("Mul", x, g.op("Constant", value_t=torch.tensor(3.0)))


class Levels(torch.nn.Module):
    def forward(self, maps, extra=None):
        done = [m.flatten(1) for m in maps]
        return {"all": torch.cat(done, 1), "more": [Wrong.apply(extra["a"]), extra["b"]]}


TEXTS = ("[float32[B, N], float32[B, 2, M]]", "extra={'a': float32[K], 'b': int64[K] in 0..9}")


@pytest.mark.parametrize(
    ("text", "canonical_text"),
    [
        ("[float32[N,3],float32[N]  in 0..1]", "[float32[N, 3], float32[N] in 0..1]"),
        ("(float32[N],)", "(float32[N],)"),
        (
            "{\"a:b\": float32[N], 'c': [bool[N], floats(0, 1)]}",
            "{'a:b': float32[N], 'c': [bool[N], floats(0, 1)]}",
        ),
        ("x=[float32[N, 1]]", "x=[float32[N, 1]]"),
    ],
)
def test_text_is_read_and_written(text, canonical_text):
    assert canonical([text]) == (canonical_text,)
    assert canonical([canonical_text]) == (canonical_text,)


@pytest.mark.parametrize(
    "text",
    [
        "[float32[N]",
        "[float32[N]]]",
        "[]",
        "[float32[N],,float32[N]]",
        "{a: float32[N]}",
        "[float32[N)]",
        "{'a'}",
    ],
)
def test_what_is_no_structure_is_said(text):
    with pytest.raises(UsageError):
        canonical([text])


def test_too_deep_a_text_is_said():
    with pytest.raises(UsageError, match="do not fit together"):
        canonical(["[" * 5000 + "float32[N]" + "]" * 5000])


def test_a_case_makes_calls_of_its_form():
    case = make_case("levels", Levels, inputs=TEXTS)
    assert [str(spec) for spec in case.specs] == [
        "float32[B, N]",
        "float32[B, 2, M]",
        "float32[K]",
        "int64[K] in 0..9",
    ]
    call = case.call_of((1, 2, 3, 4))
    assert call.args == ([1, 2],)
    assert call.kwargs == {"extra": {"a": 3, "b": 4}}
    assert case.values_of(call) == (1, 2, 3, 4)
    assert case.input_texts == TEXTS
    assert not case.speaks_of(Call(([1],), {"extra": {"a": 3, "b": 4}}))
    other = make_case("levels", Levels, inputs=Call((["float32[B, N]"],), {"extra": ("int8[]", "int8[]")}))
    assert other.call_of((1, 2, 3)).kwargs == {"extra": (2, 3)}


def test_the_texts_of_a_call_have_one_form():
    given = split(TEXTS)
    assert len(given.entries) == 4
    assert given.form.names == ("", "extra")


def test_a_nested_call_is_checked_shrunk_and_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = {"modes": "torchscript,dynamic=true", "runtimes": "ort-disabled", "examples": 4, "ordinary": True}
    result = diffexport.check(
        Levels, inputs=TEXTS, target=f"{__file__}:Levels", no_empty=True, save=tmp_path, **how
    )
    (finding,) = result.findings
    # The output has a name, and the input is as small as its specs let it be.
    assert "output[1] (more[0])[0]: eager 2, exported model 3" in finding.divergence.message
    (maps,) = finding.inputs.args
    assert [array.shape for array in maps] == [(1, 1), (1, 2, 1)]
    assert finding.inputs.kwargs["extra"]["a"].tolist() == [1]
    ((_, path),) = result.saved
    stored = load(path)
    assert stored.specs[1] == "extra={'a': float32[K>=1], 'b': int64[K>=1] in 0..9}"
    replayed = replay(stored).divergence
    assert replayed is not None
    assert replayed.key == finding.divergence.key


def test_arguments_without_any_spec_are_drawn():
    assert find(samples([st.integers(0, 9)]), lambda _: True) == (0,)


def test_values_stay_arrays():
    case = make_case("levels", Levels, inputs=TEXTS)
    call = case.call_of([np.zeros(1)] * 4)
    assert all(isinstance(value, np.ndarray) for value in case.values_of(call))
