"""Networks over images in plain torch, with random weights, seeded."""

import torch
from torch import nn
from torch.nn import functional


def seeded(make, seed=0):
    """Return what a function makes, in eval mode; the random state is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make().eval()
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                # As after training: not the mean 0 and the variance 1 of the start.
                part.running_mean.normal_(0, 0.2)
                part.running_var.uniform_(0.5, 2)
        return model


def convolution(inputs, outputs, size=3, stride=1, groups=1, activation=None):
    layers = [
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation]))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(
            convolution(inputs, outputs, stride=stride, activation=nn.ReLU()), convolution(outputs, outputs)
        )
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = convolution(inputs, outputs, size=1, stride=stride)

    def forward(self, x):
        return functional.relu(self.body(x) + self.shortcut(x))


class ResidualNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            convolution(3, 8, size=7, stride=2, activation=nn.ReLU()), nn.MaxPool2d(3, 2, padding=1)
        )
        self.stages = nn.Sequential(ResidualBlock(8, 8, 1), ResidualBlock(8, 16, 2), ResidualBlock(16, 32, 2))
        self.head = nn.Linear(32, 10)

    def forward(self, image):
        return self.head(functional.adaptive_avg_pool2d(self.stages(self.stem(image)), 1).flatten(1))


def residual_net():
    return seeded(ResidualNet)


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.less, self.more = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        scale = self.more(functional.relu(self.less(functional.adaptive_avg_pool2d(x, 1))))
        return x * functional.hardsigmoid(scale)


class InvertedResidual(nn.Module):
    def __init__(self, inputs, expanded, outputs, stride, activation):
        super().__init__()
        self.body = nn.Sequential(
            convolution(inputs, expanded, size=1, activation=activation()),
            convolution(expanded, expanded, stride=stride, groups=expanded, activation=activation()),
            SqueezeExcite(expanded),
            convolution(expanded, outputs, size=1),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


class MobileNet(nn.Module):
    """The blocks of MobileNetV3."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            convolution(3, 8, stride=2, activation=nn.Hardswish()),
            InvertedResidual(8, 16, 8, 1, nn.ReLU),
            InvertedResidual(8, 32, 16, 2, nn.Hardswish),
            InvertedResidual(16, 32, 16, 1, nn.Hardswish),
        )
        self.head = nn.Sequential(nn.Linear(16, 32), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(32, 10))

    def forward(self, image):
        return self.head(self.features(image).mean((2, 3)))


def mobilenet_v3():
    return seeded(MobileNet)


class UNet(nn.Module):
    """What comes from below is resized to the size of what it is joined with, so that any size can be given."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (
            convolution(3, 8, activation=nn.ReLU()),
            convolution(8, 16, activation=nn.ReLU()),
        )
        self.bottom = convolution(16, 16, activation=nn.ReLU())
        self.joined = convolution(32, 8, activation=nn.ReLU())
        self.last = convolution(16, 8, activation=nn.ReLU())
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, image):
        first = self.first(image)
        second = self.second(functional.max_pool2d(first, 2, ceil_mode=True))
        bottom = self.bottom(functional.max_pool2d(second, 2, ceil_mode=True))
        up = functional.interpolate(bottom, size=second.shape[-2:], mode="bilinear", align_corners=False)
        up = self.joined(torch.cat([up, second], 1))
        up = functional.interpolate(up, size=first.shape[-2:], mode="nearest")
        return self.head(self.last(torch.cat([up, first], 1)))


def unet():
    return seeded(UNet)


class Detector(nn.Module):
    """A detection head: the best anchors of one image, and greedy non-maximum suppression among them.

    The suppression is written in torch, as one decision after the other over a fixed number of boxes: torch has no
    operator for it.
    """

    BEST, OVERLAP = 8, 0.5

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            convolution(3, 8, stride=2, activation=nn.ReLU()),
            convolution(8, 8, stride=2, activation=nn.ReLU()),
        )
        self.scores, self.boxes = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 4, 1)

    def forward(self, image):
        features = self.features(image[None])
        scores = self.scores(features).flatten(2)[0].sigmoid()
        center_and_size = self.boxes(features).flatten(2)[0].T
        scores, classes = scores.max(0)
        scores, order = scores.topk(self.BEST)
        boxes = center_and_size[order]
        half = functional.softplus(boxes[:, 2:]) / 2
        corners = torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], 1)
        keep = self.kept(corners)
        return corners, torch.where(keep, scores, torch.zeros_like(scores)), classes[order], keep

    def kept(self, corners):
        area = (corners[:, 2:] - corners[:, :2]).prod(1)
        least = torch.minimum(corners[:, None, 2:], corners[None, :, 2:])
        most = torch.maximum(corners[:, None, :2], corners[None, :, :2])
        shared = (least - most).clamp(min=0).prod(2)
        overlaps = shared / (area[:, None] + area[None, :] - shared) > self.OVERLAP
        keep = torch.ones(self.BEST, dtype=torch.bool)
        for box in range(1, self.BEST):
            is_suppressed = (overlaps[box, :box] & keep[:box]).any()
            keep = keep & ~(is_suppressed & (torch.arange(self.BEST) == box))
        return keep


def detector():
    return seeded(Detector)


class DiffusionBlock(nn.Module):
    """A residual block with the embedding of a time step, and attention over all places, as in denoising networks."""

    HEADS = 2

    def __init__(self, channels=16):
        super().__init__()
        self.channels = channels
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(channels, 32), nn.SiLU(), nn.Linear(32, 2 * channels))
        self.norms = nn.ModuleList(nn.GroupNorm(4, channels) for _ in range(3))
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.head = nn.Conv2d(channels, 3, 3, padding=1)

    def embedded(self, step):
        half = self.channels // 2
        rates = torch.exp(-torch.arange(half) * (6.0 / half))
        angles = step[:, None] * rates[None]
        return self.time(torch.cat([angles.sin(), angles.cos()], 1))

    def forward(self, image, step):
        x = self.stem(image)
        scale, shift = self.embedded(step)[:, :, None, None].chunk(2, 1)
        y = self.first(functional.silu(self.norms[0](x)))
        y = self.second(functional.silu(self.norms[1](y) * (1 + scale) + shift))
        x = x + y
        places = self.query_key_value(self.norms[2](x)).flatten(2).transpose(1, 2)
        heads = [part.unflatten(2, (self.HEADS, -1)).transpose(1, 2) for part in places.chunk(3, 2)]
        attended = functional.scaled_dot_product_attention(*heads)
        x = x + attended.transpose(2, 3).reshape(x.shape)
        return self.head(functional.silu(x))


def diffusion_block():
    return seeded(DiffusionBlock)
