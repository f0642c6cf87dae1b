"""Masks, indices, lengths, lists of tensors, and inputs with and without a batch are inferred as what they are."""

import pytest
import torch
from torch import nn

from diffexport.explore.export_examples import plain_shapes
from diffexport.infer.session import infer
from diffexport.values import TensorSpec


def module(forward, **layers):
    kind = type("Roles", (nn.Module,), {"forward": forward})
    made = kind()
    for name, layer in layers.items():
        setattr(made, name, layer)
    return made


class KeepWhere(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, mask):
        return x * (1.0 - mask)


def keep(self, x, mask):
    return KeepWhere.apply(x, mask)


def times(self, x, mask):
    return x * mask


def hide(self, x, where):
    return x.masked_fill(where, 0.0)


def negate(self, a, b):
    return torch.where(~b, a, -a)


def take(self, x, index):
    return torch.gather(x, 1, index)


def chosen(self, x, i):
    return x[i]


def packed(self, x, lengths):
    rows = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(rows, batch_first=True)[0]


def looked_up(self, x, words):
    return x + self.table(words)


@pytest.mark.parametrize(
    ("model", "inputs", "others"),
    [
        # A bool cannot be subtracted from 1.
        (module(keep), ("float32[...B]", "int64[...B] mask"), (("float32[...B]", "float32[...B]"),)),
        (
            module(times),
            ("float32[...B]", "bool[...B] mask"),
            (("float32[...B]", "int64[...B] mask"), ("float32[...B]", "float32[...B]")),
        ),
        (module(hide), ("float32[...B]", "bool[...B] mask"), ()),
        (module(negate), ("float32[..., N]", "bool[N] mask"), ()),
        (module(take), ("float32[>=3, T>=1]", "int64[0..3, *] in 0..T-1"), ()),
        (module(packed), ("float32[...<=2, >=3, T>=1]", "int64[1..3] in 1..T"), ()),
        (
            module(looked_up, table=nn.Embedding(40, 4)),
            ("float32[...<=1, N, 4]", "int64[..., N] in 0..39"),
            (),
        ),
    ],
    ids=lambda value: "" if not isinstance(value, nn.Module) else value.forward.__name__,
)
def test_what_a_tensor_is_for_says_its_dtype(model, inputs, others):
    found = infer(model, seconds=8)
    assert (found.inputs, found.alternatives) == (inputs, others), found


def test_what_something_is_subscripted_with_is_an_index_or_a_mask():
    found = infer(module(chosen), seconds=8)
    assert found.inputs[1] == "int64[...] in 0..T-1"
    assert any(text.startswith("bool") for _, text in found.alternatives)


def joined(self, maps: list[torch.Tensor]):
    return torch.cat([each.flatten(2) for each in maps], 2)


def looped(self, xs):
    total = 0
    for each in xs:
        total = total + each
    return total


def first_two(self, xs):
    return xs[0] - xs[1]


def spread(self, *xs):
    return torch.cat(xs, 1)


def beside(self, x, ys: tuple[torch.Tensor, ...]):
    return x + torch.cat(ys).sum()


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        (joined, ("[float32[...B<=2, N, M, *], float32[...B<=2, N, M, *]]",)),
        (looped, ("[float32[...B], float32[...B]]",)),
        (first_two, ("[float32[...B], float32[...B]]",)),
        (spread, ("float32[N, *]", "float32[N, *]")),
        (beside, ("float32[...]", "(float32[*, N], float32[*, N])")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_lists_of_tensors_are_widened_too(forward, inputs):
    found = infer(module(forward), seconds=8)
    assert found.ran, found
    assert found.inputs == inputs, found


def three(self, features):
    a, b, c = features
    return torch.cat([a, b, c], 1)


def test_what_is_unpacked_has_as_many_tensors():
    assert infer(module(three), seconds=8).inputs == ("[float32[N, *], float32[N, *], float32[N, *]]",)


def optional(self, x, mask=None, value=2.0):
    return x if mask is None else x.masked_fill(mask, value)


def without(self, x, factor=None):
    return x * (2 if factor is None else int(factor))


def test_a_tensor_that_may_be_left_out_is_tested_as_well():
    found = infer(module(optional), seconds=8)
    assert (found.inputs, found.alternatives) == (("float32[...]",), (("float32[...B]", "bool[...B] mask"),))
    assert infer(module(without), seconds=8).inputs == ("float32[...]",)


def test_an_import_that_is_interrupted_is_begun_anew(tmp_path, monkeypatch):
    package = tmp_path / "slowly_imported"
    package.mkdir()
    (package / "__init__.py").write_text("from . import part\nimport time\ntime.sleep(DELAY.pop())\n")
    (package / "part.py").write_text("value = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    delays = [0, 5]
    monkeypatch.setattr("builtins.DELAY", delays, raising=False)

    def forward(self, x):
        import slowly_imported

        return x + slowly_imported.part.value

    found = infer(module(forward), seconds=8, per_call=0.5)
    assert (found.ran, delays) == (True, []), found


@pytest.mark.parametrize(
    ("model", "text", "usual"),
    [
        (nn.Conv2d(3, 4, 3), "float32[...<=1, 3, >=3, >=3]", 4),
        (nn.TransformerEncoderLayer(4, 2, 4), "float32[...<=1, *, 4]", 3),
        (nn.Linear(3, 4), "float32[..., 3]", 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_batch_may_be_there_or_not(model, text, usual):
    found = infer(model, seconds=8)
    assert found.inputs == (text,), found
    (shape,) = plain_shapes([TensorSpec.parse(text)])
    assert len(shape) == usual
