"""A symbolic that leaves out an optional input with None: torch.onnx.export dies with SIGSEGV."""

import torch


class Fn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.clamp(x, max=1.0)

    @staticmethod
    def backward(ctx, g):
        return g

    @staticmethod
    def symbolic(g, x):
        return g.op("Clip", x, None, g.op("Constant", value_t=torch.tensor(1.0)))


class Model(torch.nn.Module):
    def forward(self, x):
        return Fn.apply(x)
