"""How tests ask the oracle about a function, its inputs, and what an export of it might have given."""

import copy

import numpy as np
import torch

from diffexport.oracle import RoundingCheck
from diffexport.pipeline.eager import Prepared, outputs_of
from diffexport.pipeline.rerun import rerun


class Applied(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def f32(*values):
    return torch.tensor(values, dtype=torch.float32)


def arbiter(function, *inputs, seed=0):
    module = function if isinstance(function, torch.nn.Module) else Applied(function)
    eager = outputs_of(copy.deepcopy(module)(*(tensor.clone() for tensor in inputs))).outputs
    prepared = Prepared(None, module)
    return RoundingCheck(eager, rerun(prepared, False, inputs), seed), eager


def judged(function, inputs, got):
    """What is left of the divergence from ``got``, an array or a function of eager's output."""
    decider, eager = arbiter(function, *inputs)
    outputs = got(*eager) if callable(got) else got
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return decider.judge([np.asarray(o, e.dtype) for o, e in zip(outputs, eager, strict=True)])


def excuses(function, inputs, got):
    judgement = judged(function, inputs, got)
    assert judgement.arbitrated, "within the tight tolerance: nothing to arbitrate"
    assert judgement.excused == (judgement.found == [])
    assert not judgement.unrefereed
    return judgement.excused
