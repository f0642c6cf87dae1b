"""Recurrent networks over sequences of different lengths, and a mixture of experts; random weights, seeded."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def seeded(make, seed=0):
    """Return what a function makes, in eval mode; the random state is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


class PackedLstm(nn.Module):
    """An LSTM that skips what lies behind the length of each sequence, by torch's packed sequences."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        found, (hidden, _) = self.lstm(packed)
        padded, _ = pad_packed_sequence(found, batch_first=True, total_length=x.shape[1])
        return self.head(padded), hidden


def packed_lstm():
    return seeded(PackedLstm)


class MaskedGru(nn.Module):
    """A GRU that runs over the padding, and takes the state at the end of each sequence."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x, lengths):
        found, _ = self.gru(x)
        places = torch.arange(x.shape[1])
        inside = places[None, :] < lengths[:, None]
        last = found.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, found.shape[2]))[:, 0]
        mean = (found * inside[:, :, None]).sum(1) / lengths[:, None]
        return self.head(last), self.head(mean)


def masked_gru():
    return seeded(MaskedGru)


class MixtureOfExperts(nn.Module):
    """Each token is answered by the best two of four experts, weighed by a softmax over these two."""

    EXPERTS, BEST = 4, 2

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(8, self.EXPERTS, bias=False)
        self.into = nn.Parameter(torch.randn(self.EXPERTS, 8, 16) / 4)
        self.out = nn.Parameter(torch.randn(self.EXPERTS, 16, 8) / 4)

    def forward(self, x):
        best, chosen = self.router(x).topk(self.BEST, dim=-1)
        weights = torch.zeros_like(self.router(x)).scatter(-1, chosen, best.softmax(-1))
        hidden = nn.functional.gelu(torch.einsum("btd,edh->bteh", x, self.into))
        answers = torch.einsum("bteh,ehd->bted", hidden, self.out)
        return x + (answers * weights[..., None]).sum(2), chosen


def mixture_of_experts():
    return seeded(MixtureOfExperts)
