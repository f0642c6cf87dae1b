"""What the names of parameters speak for."""

from __future__ import annotations

from collections.abc import Mapping

from diffexport.infer.evidence.kinds import ArgumentKind
from diffexport.infer.evidence.weights import NAME


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


#: Words, the kind that they speak for, and how strongly.
SPOKEN_FOR: tuple[tuple[frozenset[str], ArgumentKind, float], ...] = (
    (
        _words(
            "x y z input inputs inp tensor weight weights bias mask grad score scores score logit logits",
            "target targets label labels index indices idx ids q k v query key value keys values feature",
            "features feat image images img spikes spk mem hidden state embedding embeddings data src source",
            "masks lengths lens seqlens positions tokens",
            "running mean var mu sigma zero point points scales matrix mat coords xyz a b bernoulli probs",
            "prob logp u w wt theta zeropoint params",
        ),
        ArgumentKind.TENSOR,
        NAME.tensor,
    ),
    (_words("dim dims axis"), ArgumentKind.INT, NAME.dimension),
    (
        _words(
            "n num k bit bits iters iter iterations niter steps groups group stride padding dilation kernel",
            "size width height order degree heads classes channels length count level levels depth seed",
            "capacity block chunks nbits window radius blocks T ndim layer",
        ),
        ArgumentKind.INT,
        NAME.count,
    ),
    (
        _words(
            "eps epsilon alpha beta gamma slope lambda lambd lamb scale temp temperature tau threshold thresh",
            "vth lr momentum rate decay p factor sigma ratio coef coefficient strength leak delta min max",
            "lower upper low high bound value tol budget width margin dropout prob step",
        ),
        ArgumentKind.FLOAT,
        NAME.number,
    ),
    (
        _words(
            "is use return ensure training train inplace detach keepdim keepdims flag affine enable enabled",
            "has do with requires symmetric per layerwise preserve causal signed narrow normalize reverse",
            "transpose sorted",
        ),
        ArgumentKind.BOOL,
        NAME.switch,
    ),
    (_words("fn func function callback closure forward"), ArgumentKind.CALLABLE, NAME.function),
    (_words("run op act activation f surrogate"), ArgumentKind.CALLABLE, NAME.operation),
    (_words("module layer net network model mod block"), ArgumentKind.MODULE, NAME.module),
    (_words("shape sizes shapes"), ArgumentKind.SHAPE, NAME.shape),
    (_words("dtype"), ArgumentKind.DTYPE, NAME.dtype),
    (_words("device"), ArgumentKind.DEVICE, NAME.device),
    (
        _words("mode reduction name method kind type algo backend tag format padding"),
        ArgumentKind.STR,
        NAME.way,
    ),
    (_words("pg process generator out"), ArgumentKind.NONE, NAME.absent),
    (_words("tensors xs args params parameters list outputs"), ArgumentKind.TENSORS, NAME.tensors),
)

#: What the first word of a name of several speaks for.
PREFIXES: Mapping[str, ArgumentKind] = {
    **dict.fromkeys(("num", "n", "nb", "number"), ArgumentKind.INT),
    **dict.fromkeys(
        ("is", "use", "has", "keep", "return", "do", "preserve", "with", "enable", "should"),
        ArgumentKind.BOOL,
    ),
}

INDEX = _words(
    "index indices idx ids label labels target targets perm permutation argmax lengths lens batch",
    "tokens idxs inds position positions",
)
MASK = _words("mask masks keep drop valid visible")
LENGTH = _words("lengths lens seqlens")
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
