"""Models with autograd Functions where people have them; random weights, seeded."""

import math

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


def seeded(make, seed=0):
    """Return what a function makes, in eval mode; the random state is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


class FakeQuantise(torch.autograd.Function):
    """Round to 8 bits; the gradient goes straight through where nothing is clipped."""

    @staticmethod
    def forward(ctx, x, scale):
        levels = torch.round(x / scale)
        ctx.save_for_backward((levels >= -128) & (levels <= 127))
        return levels.clamp(-128, 127) * scale

    @staticmethod
    def backward(ctx, gradient):
        (inside,) = ctx.saved_tensors
        return gradient * inside, None


class QuantisedConvolution(nn.Module):
    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.register_buffer("step", torch.tensor(0.0625))

    def forward(self, x):
        weight = self.convolution.weight
        scale = weight.detach().abs().amax((1, 2, 3), keepdim=True) / 127
        weight = FakeQuantise.apply(weight, scale)
        x = FakeQuantise.apply(x, self.step)
        return functional.conv2d(x, weight, self.convolution.bias, self.convolution.stride, 1)


class QuantisedNet(nn.Module):
    """Quantisation-aware training: weights and activations of a residual net are rounded."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (
            QuantisedConvolution(3, 8, stride=2),
            QuantisedConvolution(8, 8),
            QuantisedConvolution(8, 8),
        )
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        x = functional.relu(self.first(image))
        x = functional.relu(x + self.third(functional.relu(self.second(x))))
        return self.head(x.mean((2, 3)))


def quantised_net():
    return seeded(QuantisedNet)


class Spike(torch.autograd.Function):
    """1 at or above the threshold, 0 below; the gradient is that of a fast sigmoid."""

    @staticmethod
    def forward(ctx, membrane):
        ctx.save_for_backward(membrane)
        return (membrane >= 0).to(membrane.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (membrane,) = ctx.saved_tensors
        return gradient / (1 + 25 * membrane.abs()) ** 2


class SpikingNet(nn.Module):
    """Leaky integrate-and-fire neurons over five steps of time, with surrogate spikes."""

    STEPS, DECAY = 5, 0.875

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(6, 12), nn.Linear(12, 4)

    def forward(self, x):
        hidden, membrane, count = torch.zeros(x.shape[0], 12), torch.zeros(x.shape[0], 4), 0.0
        for _ in range(self.STEPS):
            hidden = self.DECAY * hidden + self.into(x)
            spikes = Spike.apply(hidden - 1.0)
            hidden = hidden * (1 - spikes)
            membrane = self.DECAY * membrane + self.out(spikes)
            spikes = Spike.apply(membrane - 1.0)
            membrane = membrane - spikes
            count = count + spikes
        return count, membrane


def spiking_net():
    return seeded(SpikingNet)


class MemoryEfficientSwish(torch.autograd.Function):
    """x sigmoid(x), of which only x is kept for the gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        sigmoid = torch.sigmoid(x)
        return gradient * sigmoid * (1 + x * (1 - sigmoid))


class FusedBiasGelu(torch.autograd.Function):
    """Bias and tanh-GELU in one, as Megatron fuses them."""

    @staticmethod
    def forward(ctx, x, bias):
        ctx.save_for_backward(x, bias)
        y = x + bias
        return y * 0.5 * (1.0 + torch.tanh(0.79788456 * y * (1 + 0.044715 * y * y)))

    @staticmethod
    def backward(ctx, gradient):
        x, bias = ctx.saved_tensors
        y = x + bias
        tanh = torch.tanh(0.79788456 * y * (1 + 0.044715 * y * y))
        slope = 0.5 * y * ((1 - tanh * tanh) * (0.79788456 + 0.1070322243 * y * y)) + 0.5 * (1 + tanh)
        return gradient * slope, (gradient * slope).flatten(0, -2).sum(0)


class FusedActivations(nn.Module):
    """A block of EfficientNet and a feed-forward layer, with fused activations."""

    def __init__(self):
        super().__init__()
        self.expand, self.depthwise = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.squeeze, self.excite = nn.Conv2d(12, 3, 1), nn.Conv2d(3, 12, 1)
        self.into, self.out = nn.Linear(12, 24, bias=False), nn.Linear(24, 5)
        self.bias = nn.Parameter(torch.randn(24) / 4)

    def forward(self, image):
        x = MemoryEfficientSwish.apply(self.depthwise(MemoryEfficientSwish.apply(self.expand(image))))
        scale = self.excite(MemoryEfficientSwish.apply(self.squeeze(x.mean((2, 3), keepdim=True))))
        x = (x * torch.sigmoid(scale)).mean((2, 3))
        return self.out(FusedBiasGelu.apply(self.into(x), self.bias))


def fused_activations():
    return seeded(FusedActivations)


class ReverseGradient(torch.autograd.Function):
    """The input as it is; its gradient is turned round."""

    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient, None


class DomainAdversarial(nn.Module):
    """A classifier, and a domain classifier whose gradient is reversed before the features."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.LayerNorm(16))
        self.classes, self.domain = nn.Linear(16, 4), nn.Linear(16, 2)

    def forward(self, x):
        features = self.features(x)
        return self.classes(features), self.domain(ReverseGradient.apply(features, 0.5)).log_softmax(-1)


def domain_adversarial():
    return seeded(DomainAdversarial)


class EncoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.first, self.second = nn.LayerNorm(16), nn.LayerNorm(16)
        self.feed = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x):
        y = self.first(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.feed(self.second(x))


class CheckpointedEncoder(nn.Module):
    """Two layers that are computed again in the backward pass: the reentrant checkpoint is an autograd Function."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(2))

    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=True)
        return x


def checkpointed_encoder():
    return seeded(CheckpointedEncoder)


class FlashAttention(torch.autograd.Function):
    """Attention over blocks of keys with a running maximum and sum, and the plain formula as ``symbolic``."""

    BLOCK = 4

    @staticmethod
    def forward(ctx, query, key, value):
        scale = 1 / math.sqrt(query.shape[-1])
        most = torch.full_like(query[..., :1], -torch.inf)
        total, found = torch.zeros_like(most), torch.zeros_like(query)
        for keys, values in zip(
            key.split(FlashAttention.BLOCK, -2), value.split(FlashAttention.BLOCK, -2), strict=True
        ):
            scores = query @ keys.transpose(-2, -1) * scale
            new_most = torch.maximum(most, scores.amax(-1, keepdim=True))
            weights, factor = torch.exp(scores - new_most), torch.exp(most - new_most)
            total = total * factor + weights.sum(-1, keepdim=True)
            found = found * factor + weights @ values
            most = new_most
        ctx.save_for_backward(query, key, value)
        return found / total

    @staticmethod
    def backward(ctx, gradient):
        query, key, value = (tensor.detach().requires_grad_() for tensor in ctx.saved_tensors)
        with torch.enable_grad():
            found = functional.scaled_dot_product_attention(query, key, value)
        return torch.autograd.grad(found, (query, key, value), gradient)

    @staticmethod
    def symbolic(g, query, key, value):
        scale = g.op("Constant", value_t=torch.tensor(1 / math.sqrt(8.0)))
        scores = g.op("Mul", g.op("MatMul", query, g.op("Transpose", key, perm_i=[0, 1, 3, 2])), scale)
        return g.op("MatMul", g.op("Softmax", scores, axis_i=-1), value)


class FlashEncoder(nn.Module):
    HEADS = 2

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x):
        heads = [
            part.unflatten(-1, (self.HEADS, 8)).transpose(1, 2) for part in self.into(x).chunk(3, dim=-1)
        ]
        return x + self.out(FlashAttention.apply(*heads).transpose(1, 2).flatten(2))


def flash_encoder():
    return seeded(FlashEncoder)


class Nearest(torch.autograd.Function):
    """The nearest vectors of a codebook; the gradient goes straight through to the input."""

    @staticmethod
    def forward(ctx, x, codebook):
        chosen = (x[:, None] - codebook).square().sum(-1).argmin(-1)
        ctx.mark_non_differentiable(chosen)
        return codebook[chosen], chosen

    @staticmethod
    def backward(ctx, gradient, _):
        return gradient, None


class VectorQuantised(nn.Module):
    """An autoencoder whose code is one of eight vectors."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(4, 6)
        self.codebook = nn.Parameter(torch.randn(8, 4))

    def forward(self, x):
        code, chosen = Nearest.apply(self.encoder(x), self.codebook)
        return self.decoder(code), chosen


def vector_quantised():
    return seeded(VectorQuantised)


class Binarise(torch.autograd.Function):
    """+1 or -1; the gradient goes through between -1 and 1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class BinaryNet(nn.Module):
    """Binary weights and activations, as in XNOR-Net: each weight is scaled by the mean of its row."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 4)

    def forward(self, x):
        for layer in (self.first, self.second):
            weight = Binarise.apply(layer.weight) * layer.weight.abs().mean(1, keepdim=True)
            x = functional.linear(Binarise.apply(x), weight, layer.bias)
        return x


def binary_net():
    return seeded(BinaryNet)


class BestExperts(torch.autograd.Function):
    """A mask of the best entries of each row; the gradient is that of the softmax."""

    @staticmethod
    def forward(ctx, logits, number):
        ctx.save_for_backward(logits)
        chosen = logits.topk(number, dim=-1).indices
        return torch.zeros_like(logits).scatter(-1, chosen, 1.0)

    @staticmethod
    def backward(ctx, gradient):
        (logits,) = ctx.saved_tensors
        weights = logits.softmax(-1)
        return weights * (gradient - (gradient * weights).sum(-1, keepdim=True)), None


class RoutedExperts(nn.Module):
    """A mixture of experts whose hard choice of two has a gradient."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(6, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 6)) for _ in range(4)
        )

    def forward(self, x):
        logits = self.router(x)
        weights = BestExperts.apply(logits, 2) * logits.softmax(-1)
        answers = torch.stack([expert(x) for expert in self.experts], -1)
        return x + (answers * weights[..., None, :]).sum(-1)


def routed_experts():
    return seeded(RoutedExperts)
