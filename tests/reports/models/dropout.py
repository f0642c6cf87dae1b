"""Dropout in a model that nobody put into eval mode."""

import torch


class D(torch.nn.Module):
    def __init__(s):
        super().__init__()
        s.d = torch.nn.Dropout(0.5)
        s.l = torch.nn.Linear(4, 4)

    def forward(s, x):
        return s.d(s.l(x))
