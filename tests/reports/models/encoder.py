"""pytorch#122321: TransformerEncoder, other batch and length than the example."""

import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(4, nhead=2, dim_feedforward=4, activation="gelu")
        self.net = torch.nn.TransformerEncoder(layer, num_layers=1, enable_nested_tensor=False)
        self.eval()

    def forward(self, x):
        return self.net(x)
