"""pytorch#98727: a recurrent cell that keeps its state in an attribute."""

import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.w = torch.nn.Linear(2, 3)
        self.u = torch.nn.Linear(3, 3)
        self.h = torch.zeros(1, 3)

    def forward(self, x):
        self.h = torch.tanh(self.w(x) + self.u(self.h))
        return self.h
