"""pytorch#194381: scalar minus integer tensor, dynamo exporter (regression in 2.13)."""

import torch


class KeepWhere(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, mask):
        return x * (1.0 - mask)

    @staticmethod
    def backward(ctx, g):
        return g, None


class Model(torch.nn.Module):
    def forward(self, x, mask):
        return KeepWhere.apply(x, mask)
