"""A block that eager rejects from the start is left; one that it rejects in parts is not."""

import pytest
import torch

from diffexport import Mode, make_case
from diffexport.explore.drawing import Drawing
from diffexport.explore.explorer import Explorer
from diffexport.explore.sample_checks import _ENOUGH_REJECTED
from diffexport.explore.settings import Settings
from diffexport.findings.events.events import CaseFailed, ModeFinished

MODE = Mode("torchscript")


class Picky(torch.nn.Module):
    """Rejects its first ``rejects`` calls."""

    def __init__(self, rejects):
        super().__init__()
        self.rejects, self.calls = rejects, 0

    def forward(self, x):
        # The exporter traces; only what is run counts.
        if not torch.jit.is_tracing():
            self.calls += 1
            if self.calls <= self.rejects:
                raise ValueError("not yet")
        return torch.relu(x)


def explored(rejects, block):
    picky = Picky(rejects)
    # Not copied: the calls are counted on one model.
    picky.__deepcopy__ = lambda memo: picky
    case = make_case("picky", lambda: picky, inputs=["float32[3]"], traits=())
    settings = Settings(examples=3, block=block, shrink=False)
    events = list(Explorer(case, ["ort-all"], settings).explore([MODE]))
    rows = [row for event in events if isinstance(event, ModeFinished) for row in event.rows]
    return picky, sum(row.checks for row in rows), sum(row.rejected for row in rows), events


def test_a_model_that_rejects_everything_is_not_asked_for_every_sample():
    picky, checks, rejected, events = explored(10**9, 500)
    assert checks == 0
    assert any(isinstance(event, CaseFailed) for event in events)
    assert 0 < rejected <= 3 * _ENOUGH_REJECTED
    # Samples are run together, and the one that mines constants is one more for each mode.
    assert picky.calls <= 3 * (_ENOUGH_REJECTED + 64) + 3


# More than eager is asked for before anything is drawn.
@pytest.mark.parametrize("rejects", [20, _ENOUGH_REJECTED - 5])
def test_a_block_whose_first_samples_are_rejected_is_checked_to_its_end(rejects, monkeypatch):
    # Inputs that put a number on the way exactly somewhere are searched with eager, which rejects them at first.
    monkeypatch.setattr(Drawing, "exact_samples", lambda *_: ())
    _, everything, none, _ = explored(0, 300)
    assert none == 0
    _, checks, rejected, _ = explored(rejects, 300)
    assert 0 < rejected <= rejects
    assert checks + rejected == everything > 300
