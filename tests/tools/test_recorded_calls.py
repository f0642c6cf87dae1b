"""From calls as they are written down to what inputs are like."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from diffexport.tools.record.argument_describer import Describer
from diffexport.tools.record.call_recorder import Recorder
from diffexport.tools.record.generalised_calls import targets_of

HERE = Path(__file__).resolve()


@dataclass
class Options:
    scale: float = 1.0


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, options, x, ids, mask, steps, name):
        return x * options.scale


class Plain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return x + y


def generalised(tmp_path, owner, calls):
    """Write the calls down as the recorder does, and return what one target of them is like."""
    recorder = Recorder(str(tmp_path), [], Describer)
    recorder._torch = torch
    for args in calls:
        recorder.note("function", owner, args, {})
    recorder.write()
    documents = [
        json.loads(line) for file in tmp_path.glob("*.jsonl") for line in file.read_text().splitlines()
    ]
    (target,) = targets_of([documents], HERE.parent)
    return target


def test_what_varies_is_free_and_what_is_equal_shares_a_name(tmp_path):
    calls = [(torch.randn(rows, 4), torch.randn(rows, 4)) for rows in (2, 3, 5)]
    target = generalised(tmp_path, Plain, calls)
    assert target.calls == 3
    assert target.target.endswith(":Plain")
    assert target.inputs == ("float32[N>=1, 4]", "float32[N>=1, 4]")


def test_ranges_are_those_that_say_something(tmp_path):
    calls = [
        (torch.rand(8, 8), torch.randint(0, 9, (rows,), generator=torch.Generator().manual_seed(rows)))
        for rows in (30, 40, 50)
    ]
    image, ids = generalised(tmp_path, Plain, calls).inputs
    assert image == "float32[8, 8] in 0..1"
    assert ids.startswith("int64[")
    low, _, high = ids.rpartition(" in ")[2].partition("..")
    assert 0 <= int(low) <= int(high) <= 8


def test_values_that_are_no_tensors_are_kept_as_texts(tmp_path):
    calls = [
        (Options(2.0), torch.randn(n, 3), torch.arange(n), torch.ones(n, dtype=torch.bool), n, "mean")
        for n in (2, 4)
    ]
    target = generalised(tmp_path, Scaled, calls)
    assert target.problem == ""
    options, x, ids, mask, steps, name = target.inputs
    assert "Options" in options
    assert "2.0" in options
    assert x.startswith("float32[")
    assert ids.startswith("int64[")
    assert mask.startswith("bool[")
    assert "2" in steps
    assert "4" in steps
    assert name == "just('mean')"


def test_what_cannot_be_had_again_says_why(tmp_path):
    def local():
        return None

    target = generalised(tmp_path, Plain, [(torch.randn(2), local)])
    assert target.inputs == ()
    assert "it cannot be called again" in target.problem


def test_other_ways_of_calling_are_kept_besides(tmp_path):
    calls = [(torch.randn(3), torch.randn(3))] * 3 + [(torch.randn(3), None)]
    target = generalised(tmp_path, Plain, calls)
    assert len(target.also) == 1
    assert target.also[0][1] == "none()"


def test_numbers_that_have_no_literal_are_described(tmp_path):
    describer = Describer(torch, Plain)
    for value in (math.nan, math.inf, 1 + 2j, (1, [2.5, "x"], {"a": None}), torch.float16, slice(1, 2), True):
        described = describer.describe(value, looks=True)
        assert "text" in described or "lost" in described
    assert describer.describe(torch.float16, looks=True)["text"].endswith("float16")
    strided = describer.describe(torch.randn(4, 3).t(), looks=True)
    assert (strided["shape"], strided["strides"]) == ([3, 4], [1, 3])
    assert "layout" in describer.describe(torch.eye(2).to_sparse(), looks=True)["lost"]
