"""pytorch#167063: FakeQuantize module cannot be exported by the dynamo exporter."""

import torch
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        fq = FakeQuantize(
            observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8
        )
        fq(torch.tensor([-1.0, 2.0]))
        fq.disable_observer()
        self.fq = fq

    def forward(self, x):
        return self.fq(x)
