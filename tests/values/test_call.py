"""Calls, and the walk through nested containers."""

from __future__ import annotations

import pickle
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from diffexport import Call
from diffexport.arrays.arguments import clone, export_arguments, feeds_of, named_leaves
from diffexport.arrays.inputs import as_call, as_plain
from diffexport.errors import UsageError
from diffexport.strategies import ordinary_like
from diffexport.values.call import leaves, mapped, paths

Pair = namedtuple("Pair", "first second")


@dataclass
class Box:
    inside: object
    beside: object = None


def test_a_tuple_means_positional_arguments():
    call = Call.of((1, 2))
    assert (call.args, call.kwargs) == ((1, 2), {})
    assert call.plain() == (1, 2)
    with_keywords = Call([1], {"k": 2})
    assert with_keywords.args == (1,)
    assert Call.of(with_keywords) is with_keywords
    assert with_keywords.plain() is with_keywords


@pytest.mark.parametrize("inputs", [torch.ones(2), np.ones(2), "text", {"k": 1}])
def test_what_is_no_sequence_of_arguments_is_refused(inputs):
    with pytest.raises(UsageError, match="must be a tuple of positional arguments; write "):
        Call.of(inputs)


def test_leaves_come_in_the_order_of_exporters():
    call = Call((Pair(1, [2, (3,)]), {"z": 4, "a": 5}), {"y": Box(6, 7), "b": None})
    assert list(leaves(call)) == [1, 2, 3, 4, 5, 6, 7, None]
    assert [path for path, _ in paths({"z": 4, "a": [5]})] == [("z",), ("a", 0)]


def test_mapping_keeps_the_types_of_containers():
    value = (Pair(1, 2), OrderedDict(b=3), defaultdict(int, c=4), Box(5), [6], torch.Size((7,)))
    got = mapped(value, lambda leaf: leaf if leaf is None else leaf * 10)
    assert got == (Pair(10, 20), {"b": 30}, {"c": 40}, Box(50), [60], (70,))
    assert [type(item) for item in got] == [type(item) for item in value]
    assert value[1] == {"b": 3}


def test_the_same_tensor_twice_stays_one():
    array, other = np.ones(2, np.float32), np.ones(2, np.float32)
    call = as_call(Call((array, [array]), {"k": other}))
    assert call.args[0] is call.args[1][0]
    assert call.args[0] is not call.kwargs["k"]
    for copied in (
        clone(call),
        ordinary_like(call),
        Call.of(as_plain(call)),
        pickle.loads(pickle.dumps(call)),
    ):
        assert copied.args[0] is copied.args[1][0]
        assert copied.args[0] is not call.args[0]
        assert copied.args[0] is not copied.kwargs["k"]


def test_gradient_and_offset_are_kept():
    inside = torch.arange(8.0)[3:5]
    gradient = torch.ones(2, 3).t().contiguous().t().requires_grad_()
    (one, other) = clone((inside, gradient))
    assert (one.storage_offset(), one.tolist()) == (3, [3.0, 4.0])
    assert other.requires_grad
    assert other.is_leaf
    assert other.stride() == gradient.stride()
    kept = as_plain((inside, gradient, torch.ones(2)))
    assert [type(value) for value in kept] == [torch.Tensor, torch.Tensor, np.ndarray]
    assert (kept[0].storage_offset(), kept[1].requires_grad) == (3, True)
    assert [t.requires_grad for t in ordinary_like(as_call((inside, gradient))).args] == [False, True]


class Model(torch.nn.Module):
    def forward(self, a, b=None, scale=2.0, k=None):
        raise NotImplementedError


def test_torchscript_inputs_stand_in_the_order_of_the_signature():
    one, two, three = (torch.full((1,), float(n)) for n in range(3))
    named = named_leaves(Model(), Call((one,), {"k": two, "b": {"p": three, "n": None}}))
    assert list(named) == ["x0", "x2", "constant2", "x1"]
    assert [leaf for _, leaf in named.values()] == [one, three, 2.0, two]
    # A default is an input of the exported model like any other number.
    assert list(named_leaves(Model(), (one,))) == ["x0", "constant1"]
    assert list(named_leaves(None, (one, "text", True))) == ["x0", "constant1"]


def test_what_is_fed_is_found_by_its_place():
    one, two, three = (torch.full((1,), float(n)) for n in range(3))
    example = Call((one,), {"k": two, "b": three})
    fed = feeds_of(Model(), example, Call((one,), {"b": two, "k": three, "scale": 5.0}))
    assert fed == {"x0": one, "x1": three, "x2": two, "constant2": 2.0}
    assert "x1" not in feeds_of(Model(), example, Call((one,), {"b": two}))


def test_a_last_dict_is_not_taken_for_keywords():
    assert export_arguments(Call(({"a": 1},))) == (({"a": 1}, {}), None)
    assert export_arguments(Call((1,))) == ((1,), None)
    assert export_arguments(Call(({"a": 1},), {"k": 2})) == (({"a": 1},), {"k": 2})
