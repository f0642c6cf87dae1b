"""What the operators of torch want of their arguments, by name, as far as it tells what a parameter is."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from diffexport.infer.evidence.kinds import ArgumentKind


def _names(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


#: Types of Python whose attributes tell nothing of a tensor.
PLAIN = (str, list, dict, tuple, int, float, type, set)
#: Attributes that tell a tensor from anything else.
TENSOR_ATTRIBUTES = frozenset(
    name
    for name in dir(torch.Tensor)
    if not name.startswith("__") and not any(hasattr(kind, name) for kind in PLAIN)
) | {"real", "imag"}
#: Methods of a tensor that take a dimension first.
DIM_FIRST = _names(
    "sum mean amax amin argmax argmin softmax log_softmax logsumexp cumsum cumprod cumsum_ size unsqueeze squeeze sort",
    "argsort unbind any all prod std var median index_select gather scatter scatter_ scatter_add scatter_add_ select",
    "narrow flip flatten transpose norm",
)
#: The dtype that an argument of these is of, with its place among those of the function; a method's is one less.
DTYPE_TAKERS: Mapping[str, tuple[int, str]] = {
    **dict.fromkeys(
        _names("masked_fill masked_fill_ masked_scatter masked_scatter_ masked_select"), (1, "bool")
    ),
    "where": (0, "bool"),
    **dict.fromkeys(
        _names(
            "gather scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ index_select",
            "index_add index_add_ index_copy index_copy_ index_fill index_fill_",
        ),
        (2, "int64"),
    ),
    **dict.fromkeys(
        _names("take take_along_dim cross_entropy nll_loss repeat_interleave pack_padded_sequence"),
        (1, "int64"),
    ),
    **dict.fromkeys(_names("embedding embedding_bag one_hot bincount"), (0, "int64")),
}
#: Modules whose first argument is of a dtype.
MODULE_TAKERS: Mapping[str, str] = {"Embedding": "int64", "EmbeddingBag": "int64"}
#: Functions whose argument counts what is valid of each sequence.
LENGTH_TAKERS = _names("pack_padded_sequence")
#: What takes a shape.
SHAPE_TAKERS = _names(
    "view reshape expand zeros ones empty full rand randn broadcast_to new_zeros new_ones Size broadcast_shapes"
)
#: Ranks of the first and the second argument of operators that want certain ones.
RANKS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    **{f"conv{n}d": ((n + 2,), (n + 2,)) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": ((n + 2,), (n + 2,)) for n in (1, 2, 3)},
    **{f"{kind}_pool{n}d": ((n + 2,), ()) for kind in ("max", "avg", "adaptive_avg") for n in (1, 2, 3)},
    "mm": ((2,), (2,)),
    "bmm": ((3,), (3,)),
    "addmm": ((), (2,)),
    "t": ((2,), ()),
    "mv": ((2,), (1,)),
    "interpolate": ((4,), ()),
    "unfold": ((4,), ()),
    "pixel_shuffle": ((4,), ()),
    "grid_sample": ((4,), (4,)),
    "dot": ((1,), (1,)),
    "outer": ((1,), (1,)),
    "embedding": ((), (2,)),
}
#: Attributes and methods that only make sense from two dimensions on.
MATRICES = _names("mT mH triu tril bmm cholesky inverse logdet det slogdet")
#: Functions whose second argument is a tensor, too.
SECOND_TENSORS = _names(
    "matmul mm bmm linear mul add sub div where maximum minimum mse_loss cross_entropy nll_loss l1_loss kl_div addmm",
    "binary_cross_entropy binary_cross_entropy_with_logits baddbmm einsum cdist outer dot mv embedding",
)
#: Functions that take a sequence of tensors.
SEQUENCE_TAKERS = _names("cat stack broadcast_tensors concat block_diag")
#: Functions that take numbers.
NUMBER_TAKERS = _names("tensor arange linspace full_like as_tensor manual_seed Generator finfo")
#: What a keyword of this name is.
KEYWORDS: Mapping[str, ArgumentKind] = {
    **dict.fromkeys(("dim", "axis", "k", "num_classes"), ArgumentKind.INT),
    **dict.fromkeys(("dims", "size"), ArgumentKind.SHAPE),
    **dict.fromkeys(("keepdim", "keepdims", "inplace", "training"), ArgumentKind.BOOL),
    **dict.fromkeys(("min", "max", "eps"), ArgumentKind.FLOAT),
    **dict.fromkeys(("weight", "bias"), ArgumentKind.TENSOR),
    **dict.fromkeys(("reduction", "mode"), ArgumentKind.STR),
    "dtype": ArgumentKind.DTYPE,
    "device": ArgumentKind.DEVICE,
}
#: What an instance of a type of this name is.
TYPES: Mapping[str, ArgumentKind] = {
    **dict.fromkeys(("Tensor", "Parameter"), ArgumentKind.TENSOR),
    **dict.fromkeys(("tuple", "list"), ArgumentKind.TENSORS),
    "int": ArgumentKind.INT,
    "float": ArgumentKind.FLOAT,
    "bool": ArgumentKind.BOOL,
    "str": ArgumentKind.STR,
    "Module": ArgumentKind.MODULE,
    "Callable": ArgumentKind.CALLABLE,
}
#: What has a method of this name, and is no tensor.
CONTAINERS: Mapping[str, str] = {
    **dict.fromkeys(("append", "extend", "pop", "insert"), "[]"),
    **dict.fromkeys(("items", "keys", "get", "update", "setdefault"), "{}"),
    **dict.fromkeys(("appendleft", "popleft"), "collections.deque()"),
}
#: Calls whose results depend on torch's random state.
RANDOM = _names(
    "rand randn randint randperm rand_like randn_like randint_like bernoulli bernoulli_ multinomial normal normal_",
    "uniform_ dropout alpha_dropout random_ exponential_ poisson sample rsample gumbel_softmax",
)
#: Calls that need a process group.
DISTRIBUTED = _names(
    "all_reduce all_gather all_gather_into_tensor reduce_scatter reduce_scatter_tensor all_to_all all_to_all_single",
    "broadcast get_world_size get_rank isend irecv send recv barrier _all_gather_base _reduce_scatter_base",
)
