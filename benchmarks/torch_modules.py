"""Modules of ``torch.nn`` with inputs for them, for ``false_alarms.py``.

An input is written as its kind and shape: ``x 3 4`` numbers, ``p`` probabilities, ``pos`` positive numbers, ``log``
logarithms of probabilities, ``sign`` 1 or -1, ``int<7`` indices below 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-40, 1e-20, 1e19, 1e27, 3e38, -3e38, np.inf, -np.inf, np.nan]


@dataclass(frozen=True)
class Entry:
    """A module.

    Attributes:
        name, group: of the module, and what kind of a module it is.
        build: makes it.
        inputs: one text for each argument.
        rows: ``each`` if each row of the first dimension is computed for itself, ``all`` if the result is one of all
            rows in any order, ``none`` if neither is so.
    """

    name: str
    group: str
    build: Callable[[], nn.Module]
    inputs: tuple[str, ...]
    rows: str = "each"


class First(nn.Module):
    """Returns the first result, or as many as wanted, of another module, given the same arguments."""

    def __init__(self, module: nn.Module, copies: int = 1) -> None:
        super().__init__()
        self.module, self.copies = module, copies

    def forward(self, *args: torch.Tensor) -> Any:
        result = self.module(*args * self.copies)
        return result[0] if isinstance(result, tuple) else result


class Packed(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, [4, 3, 1], batch_first=True)
        return pad_packed_sequence(self.module(packed)[0], batch_first=True)[0]


class Called(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        return self.function(*args)


def _activations() -> Iterator[Entry]:
    for kind in (
        *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU),
        *(nn.LogSigmoid, nn.Mish, nn.PReLU, nn.RReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus),
        *(nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink),
    ):
        yield Entry(kind.__name__, "activations", kind, ("x 3 4",))
    yield Entry("GELU-tanh", "activations", lambda: nn.GELU("tanh"), ("x 3 4",))
    yield Entry("GLU", "activations", nn.GLU, ("x 3 4",))
    for kind in (nn.Softmax, nn.LogSoftmax, nn.Softmin):
        yield Entry(kind.__name__, "activations", lambda kind=kind: kind(-1), ("x 3 5",))


def _norms() -> Iterator[Entry]:
    made: dict[str, tuple[Callable[[], nn.Module], str]] = {
        "LayerNorm": (lambda: nn.LayerNorm(6), "x 3 6"),
        "RMSNorm": (lambda: nn.RMSNorm(6), "x 3 6"),
        "GroupNorm": (lambda: nn.GroupNorm(2, 4), "x 3 4 5"),
        "BatchNorm1d": (lambda: nn.BatchNorm1d(4), "x 3 4"),
        "BatchNorm2d": (lambda: nn.BatchNorm2d(4), "x 3 4 2 2"),
        "InstanceNorm1d": (lambda: nn.InstanceNorm1d(4), "x 3 4 5"),
        "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4), "x 3 4 2 3"),
        "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), "x 3 4 3"),
        "CosineSimilarity": (lambda: First(nn.CosineSimilarity(), 2), "x 3 4"),
        "Normalize": (lambda: Called(lambda x: F.normalize(x, dim=-1)), "x 3 4"),
    }
    for name, (build, given) in made.items():
        yield Entry(name, "norms", build, (given,))


def _pools_and_convolutions() -> Iterator[Entry]:
    pools: dict[str, tuple[Callable[[], nn.Module], str]] = {
        "AvgPool1d": (lambda: nn.AvgPool1d(2), "x 3 2 6"),
        "AvgPool2d": (lambda: nn.AvgPool2d(2, padding=1), "x 2 2 4 4"),
        "AvgPool3d": (lambda: nn.AvgPool3d(2), "x 2 2 2 4 4"),
        "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(2), "x 2 2 5 3"),
        "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d(2), "x 2 2 5 3"),
        "MaxPool2d": (lambda: nn.MaxPool2d(2), "x 2 2 4 4"),
        "LPPool1d": (lambda: nn.LPPool1d(2, 2), "x 3 2 6"),
        "LPPool2d": (lambda: nn.LPPool2d(2, 2), "x 2 2 4 4"),
        "Upsample-bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), "x 2 2 3 3"),
        "Upsample-bicubic": (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), "x 2 2 3 3"),
        "PixelShuffle": (lambda: nn.PixelShuffle(2), "x 2 4 3 3"),
    }
    for name, (build, given) in pools.items():
        yield Entry(name, "pooling", build, (given,))
    convolutions: dict[str, tuple[Callable[[], nn.Module], str]] = {
        "Conv1d": (lambda: nn.Conv1d(3, 4, 3), "x 2 3 6"),
        "Conv2d": (lambda: nn.Conv2d(3, 4, 3, padding=1), "x 2 3 4 4"),
        "Conv2d-depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), "x 2 4 4 4"),
        "Conv2d-dilated": (lambda: nn.Conv2d(2, 3, 2, dilation=2), "x 2 2 4 4"),
        "Conv3d": (lambda: nn.Conv3d(2, 3, 2), "x 2 2 3 3 3"),
        "ConvTranspose1d": (lambda: nn.ConvTranspose1d(3, 4, 3), "x 2 3 4"),
        "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 2, 2, stride=2), "x 2 3 3 3"),
        "Linear": (lambda: nn.Linear(6, 4), "x 3 6"),
        "Bilinear": (lambda: First(nn.Bilinear(4, 4, 3), 2), "x 3 4"),
        "Unfold": (lambda: nn.Unfold(2), "x 2 2 3 3"),
    }
    for name, (build, given) in convolutions.items():
        yield Entry(name, "convolutions", build, (given,))


def _recurrent() -> Iterator[Entry]:
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        name = kind.__name__
        yield Entry(name, "recurrent", lambda kind=kind: First(kind(3, 4, batch_first=True)), ("x 2 4 3",))
        yield Entry(
            f"{name}-two-ways",
            "recurrent",
            lambda kind=kind: First(kind(3, 4, num_layers=2, bidirectional=True, batch_first=True)),
            ("x 2 3 3",),
        )
        yield Entry(
            f"{name}-packed",
            "recurrent",
            lambda kind=kind: Packed(kind(3, 4, batch_first=True)),
            ("x 3 4 3",),
            "none",
        )
    for kind in (nn.RNNCell, nn.LSTMCell, nn.GRUCell):
        yield Entry(kind.__name__, "recurrent", lambda kind=kind: First(kind(3, 4)), ("x 3 3",))


def _attention() -> Iterator[Entry]:
    options: dict[str, Any] = {"nhead": 2, "dim_feedforward": 8, "batch_first": True}
    yield Entry(
        "MultiheadAttention",
        "attention",
        lambda: First(nn.MultiheadAttention(4, 2, batch_first=True), 3),
        ("x 2 3 4",),
    )
    yield Entry(
        "scaled_dot_product_attention",
        "attention",
        lambda: Called(lambda x: F.scaled_dot_product_attention(x, x, x)),
        ("x 2 2 3 4",),
    )
    yield Entry(
        "causal-attention",
        "attention",
        lambda: Called(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
        ("x 2 2 3 4",),
    )
    yield Entry(
        "TransformerEncoderLayer",
        "attention",
        lambda: nn.TransformerEncoderLayer(4, **options),
        ("x 2 3 4",),
    )
    yield Entry(
        "TransformerDecoderLayer",
        "attention",
        lambda: First(nn.TransformerDecoderLayer(4, **options), 2),
        ("x 2 3 4",),
    )
    yield Entry("Embedding", "embeddings", lambda: nn.Embedding(7, 4), ("int<7 3 4",))
    for mode in ("sum", "mean", "max"):
        yield Entry(
            f"EmbeddingBag-{mode}",
            "embeddings",
            lambda mode=mode: nn.EmbeddingBag(7, 4, mode=mode),
            ("int<7 3 5",),
        )


def _losses() -> Iterator[Entry]:
    made: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
        "MSELoss": (nn.MSELoss, ("x 3 4", "x 3 4")),
        "L1Loss": (nn.L1Loss, ("x 3 4", "x 3 4")),
        "SmoothL1Loss": (nn.SmoothL1Loss, ("x 3 4", "x 3 4")),
        "HuberLoss": (nn.HuberLoss, ("x 3 4", "x 3 4")),
        "CrossEntropyLoss": (nn.CrossEntropyLoss, ("x 3 5", "int<5 3")),
        "NLLLoss": (nn.NLLLoss, ("log 3 5", "int<5 3")),
        "KLDivLoss": (lambda: nn.KLDivLoss(reduction="batchmean"), ("log 3 4", "p 3 4")),
        "BCELoss": (nn.BCELoss, ("p 3 4", "p 3 4")),
        "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss, ("x 3 4", "p 3 4")),
        "PoissonNLLLoss": (nn.PoissonNLLLoss, ("x 3 4", "pos 3 4")),
        "GaussianNLLLoss": (nn.GaussianNLLLoss, ("x 3 4", "x 3 4", "pos 3 4")),
        "CosineEmbeddingLoss": (nn.CosineEmbeddingLoss, ("x 3 4", "x 3 4", "sign 3")),
        "MarginRankingLoss": (nn.MarginRankingLoss, ("x 3", "x 3", "sign 3")),
        "HingeEmbeddingLoss": (nn.HingeEmbeddingLoss, ("x 3 4", "sign 3 4")),
        "SoftMarginLoss": (nn.SoftMarginLoss, ("x 3 4", "sign 3 4")),
        "MultiMarginLoss": (nn.MultiMarginLoss, ("x 3 4", "int<4 3")),
        "TripletMarginLoss": (nn.TripletMarginLoss, ("x 3 4", "x 3 4", "x 3 4")),
        "MultiLabelSoftMarginLoss": (nn.MultiLabelSoftMarginLoss, ("x 3 4", "p 3 4")),
        "PairwiseDistance": (nn.PairwiseDistance, ("x 3 4", "x 3 4")),
    }
    for name, (build, given) in made.items():
        yield Entry(name, "losses", build, given, "each" if name == "PairwiseDistance" else "all")


def entries() -> list[Entry]:
    """Return every module; each is built in eval mode with the seed 0."""
    return [
        *_activations(),
        *_norms(),
        *_pools_and_convolutions(),
        *_recurrent(),
        *_attention(),
        *_losses(),
    ]


def drawn(text: str, random: np.random.Generator, extreme: bool) -> torch.Tensor:
    """Return an input of a kind; of ``x``, some extreme values are among the numbers if wanted."""
    kind, *sizes = text.split()
    shape = tuple(int(size) for size in sizes)
    if kind.startswith("int<"):
        return torch.from_numpy(random.integers(0, int(kind[4:]), shape))
    if kind == "sign":
        return torch.from_numpy(random.choice(np.array([1.0, -1.0], np.float32), shape))
    numbers = random.standard_normal(shape) * random.choice([0.01, 1.0, 1.0, 10.0, 100.0])
    if kind == "p":
        numbers = random.uniform(0, 1, shape)
    elif kind == "pos":
        numbers = np.abs(numbers) + 1e-3
    elif kind == "log":
        numbers = np.log(random.dirichlet(np.ones(shape[-1]), shape[:-1]))
    elif extreme:
        numbers = np.where(random.uniform(size=shape) < 0.15, random.choice(SPECIAL, shape), numbers)
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.asarray(numbers, np.float32))
