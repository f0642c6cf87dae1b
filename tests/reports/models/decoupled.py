"""pytorch#74801: in-place decode of a list of feature maps."""

import torch


class Model(torch.nn.Module):
    def forward(self, maps: list[torch.Tensor]):
        done = []
        for stride, m in zip((8, 16), maps, strict=False):
            m = m.clone()
            m[:, 2:4] = torch.exp(m[:, 2:4]) * stride
            done.append(m.flatten(2))
        return torch.cat(done, 2)
