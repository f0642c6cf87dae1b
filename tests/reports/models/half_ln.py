"""pytorch#190338: fp16 LayerNorm."""

import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(4).half()

    def forward(self, x):
        return self.norm(x)
