"""A residual network of 11.7 M parameters, a two-layer LSTM with nested outputs, one encoder layer."""

import torch
import torch.nn as nn


def block(i, o, s):
    return nn.Sequential(
        nn.Conv2d(i, o, 3, s, 1, bias=False),
        nn.BatchNorm2d(o),
        nn.ReLU(),
        nn.Conv2d(o, o, 3, 1, 1, bias=False),
        nn.BatchNorm2d(o),
    )


class Res(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.layers = nn.ModuleList()
        self.skips = nn.ModuleList()
        for i, o, s in [
            (64, 64, 1),
            (64, 64, 1),
            (64, 128, 2),
            (128, 128, 1),
            (128, 256, 2),
            (256, 256, 1),
            (256, 512, 2),
            (512, 512, 1),
        ]:
            self.layers.append(block(i, o, s))
            self.skips.append(nn.Conv2d(i, o, 1, s) if (i, s) != (o, 1) else nn.Identity())
        self.fc = nn.Linear(512, 1000)
        self.eval()

    def forward(self, x):
        x = self.stem(x)
        for layer, skip in zip(self.layers, self.skips, strict=True):
            x = torch.relu(layer(x) + skip(x))
        return self.fc(x.mean((2, 3)))


class LSTM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.l = torch.nn.LSTM(8, 16, 2, batch_first=True)

    def forward(self, x):
        y, (h, c) = self.l(x)
        return {"y": y, "state": (h, c)}


class Attn(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.e = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.eval()

    def forward(self, x):
        return self.e(x)
