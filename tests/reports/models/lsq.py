"""pytorch#77455, nncf#1797: fake quantisation with a learnt scale inside a Function."""

import torch


class Quantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        return torch.fake_quantize_per_tensor_affine(x, scale, torch.zeros(1, dtype=torch.int32), 0, 127)

    @staticmethod
    def backward(ctx, g):
        return g, None


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([0.1]))

    def forward(self, x):
        return Quantise.apply(x, self.scale)
