"""float64 extremes: the minimiser overflows on the largest finite number."""

import torch


class Fn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.nan_to_num(x)

    @staticmethod
    def backward(ctx, g):
        return g


class Model(torch.nn.Module):
    def forward(self, x):
        return Fn.apply(x)
