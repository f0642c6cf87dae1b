"""What the names of parameters speak for."""

from __future__ import annotations

from collections.abc import Mapping

#: What an argument may be.
KINDS = (
    "tensor",
    "int",
    "float",
    "bool",
    "none",
    "str",
    "shape",
    "dtype",
    "device",
    "callable",
    "module",
    "tensors",
)

#: How likely each kind is before anything is known, for the first argument and for others.
PRIOR: Mapping[str, tuple[float, float]] = {
    "tensor": (3.0, 1.3),
    "int": (0.0, 0.7),
    "float": (0.0, 0.8),
    "bool": (-1.0, 0.1),
    "none": (-2.0, 0.0),
    "str": (-2.0, -1.5),
    "shape": (-1.0, -1.0),
    "dtype": (-2.0, -1.5),
    "device": (-3.0, -2.0),
    "callable": (-0.5, -0.8),
    "module": (-0.8, -1.2),
    "tensors": (-0.5, -1.0),
}


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


#: Words, the kind that they speak for, and how strongly.
SPOKEN_FOR: tuple[tuple[frozenset[str], str, float], ...] = (
    (
        _words(
            "x y z input inputs inp tensor weight weights bias mask grad score scores score logit logits",
            "target targets label labels index indices idx ids q k v query key value keys values feature",
            "features feat image images img spikes spk mem hidden state embedding embeddings data src source",
            "running mean var mu sigma zero point points scales matrix mat coords xyz a b bernoulli probs",
            "prob logp u w wt theta zeropoint params",
        ),
        "tensor",
        1.5,
    ),
    (_words("dim dims axis"), "int", 2.5),
    (
        _words(
            "n num k bit bits iters iter iterations niter steps groups group stride padding dilation kernel",
            "size width height order degree heads classes channels length count level levels depth seed",
            "capacity block chunks nbits window radius blocks T ndim layer",
        ),
        "int",
        1.2,
    ),
    (
        _words(
            "eps epsilon alpha beta gamma slope lambda lambd lamb scale temp temperature tau threshold thresh",
            "vth lr momentum rate decay p factor sigma ratio coef coefficient strength leak delta min max",
            "lower upper low high bound value tol budget width margin dropout prob step",
        ),
        "float",
        1.1,
    ),
    (
        _words(
            "is use return ensure training train inplace detach keepdim keepdims flag affine enable enabled",
            "has do with requires symmetric per layerwise preserve causal signed narrow normalize reverse",
            "transpose sorted",
        ),
        "bool",
        1.8,
    ),
    (_words("fn func function callback closure forward"), "callable", 4.0),
    (_words("run op act activation f surrogate"), "callable", 2.0),
    (_words("module layer net network model mod block"), "module", 2.0),
    (_words("shape sizes shapes"), "shape", 2.0),
    (_words("dtype"), "dtype", 4.0),
    (_words("device"), "device", 4.0),
    (_words("mode reduction name method kind type algo backend tag format padding"), "str", 1.0),
    (_words("pg process generator out"), "none", 1.5),
    (_words("tensors xs args params parameters list outputs"), "tensors", 1.0),
)

#: What the first word of a name of several speaks for.
PREFIXES: Mapping[str, str] = {
    **dict.fromkeys(("num", "n", "nb", "number"), "int"),
    **dict.fromkeys(
        ("is", "use", "has", "keep", "return", "do", "preserve", "with", "enable", "should"), "bool"
    ),
}

INDEX = _words(
    "index indices idx ids label labels target targets perm permutation argmax lengths lens batch",
    "tokens",
)
MASK = _words("mask masks keep drop valid")
POSITIVE = _words(
    "scale scales std var variance sigma temperature positive rate step alpha norm delta threshold"
)
UNIT = _words("prob probs probability probabilities p")
DIMENSION = _words("dim axis dims")

#: Ordinary values of numbers of some names.
FLOATS: Mapping[str, float] = {
    **dict.fromkeys(("eps", "epsilon"), 1e-5),
    "tol": 1e-4,
    **dict.fromkeys(("slope", "momentum", "lr"), 0.1),
    **dict.fromkeys(("threshold", "thresh", "p", "dropout", "decay", "leak", "ratio"), 0.5),
    **dict.fromkeys(("min", "low", "lower"), -1.0),
}
INTS: Mapping[str, int] = {
    **dict.fromkeys(("bit", "bits", "nbits", "steps", "classes", "levels"), 4),
    **dict.fromkeys(("stride", "dilation", "groups"), 1),
    "padding": 0,
    **dict.fromkeys(("k", "heads"), 2),
    **dict.fromkeys(("iters", "iter"), 8),
    "kernel": 3,
}
