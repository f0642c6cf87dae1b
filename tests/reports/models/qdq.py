"""Per-channel int8 quantiser, straight-through; its symbolic emits QuantizeLinear and DequantizeLinear."""

import torch


class Quant(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        s = scale.view(1, -1, *([1] * (x.dim() - 2)))
        return torch.clamp(torch.round(x / s), -128, 127) * s

    @staticmethod
    def backward(ctx, g):
        return g, None

    @staticmethod
    def symbolic(g, x, scale):
        zero = g.op("Constant", value_t=torch.zeros(4, dtype=torch.int8))
        q = g.op("QuantizeLinear", x, scale, zero, axis_i=1)
        return g.op("DequantizeLinear", q, scale, zero, axis_i=1)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.scale = torch.nn.Parameter(torch.tensor([0.1, 0.2, 0.05, 1.0]))

    def forward(self, x):
        return Quant.apply(torch.relu(self.conv(x)), self.scale)
