"""An export that is cut off in the middle leaves nothing behind for the next one."""

import pytest
import torch

from diffexport import Mode
from diffexport.backends.exporters import export
from diffexport.pytorch import Snapshot


class Interrupting(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x + 1

    @staticmethod
    def symbolic(g, x):
        raise KeyboardInterrupt


class Model(torch.nn.Module):
    def forward(self, x):
        return Interrupting.apply(x)


def test_what_it_has_registered_is_gone():
    model, inputs = Model(), (torch.zeros(2),)
    before = Snapshot.take(model, inputs)
    try:
        with pytest.raises(KeyboardInterrupt):
            export(model, inputs, Mode("torchscript"))
        assert [change for change in before.changes(model, inputs) if "Interrupting" in str(change)] == []
    finally:
        before.restore_globals()
