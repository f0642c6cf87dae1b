"""One operator, fed image-sized and 4096 x 4096 tensors."""

import torch


class S(torch.nn.Module):
    def forward(self, x):
        return torch.sigmoid(x) * 2
