"""pytorch#183546 / #157220: antialiased interpolate."""

import torch
import torch.nn.functional as F


class Model(torch.nn.Module):
    def forward(self, x):
        return F.interpolate(x, size=(3, 5), mode="bilinear", align_corners=False, antialias=True)
