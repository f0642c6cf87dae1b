"""Every number that the order of candidates depends on.

A *weight* speaks for a kind of argument; the kind with the largest sum is the likeliest. A *cost* says how much less
likely something is than the likeliest; costs add up, and candidates are called in the order of their cost. Both are in
the manner of a logarithm, and were set by hand.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from diffexport.infer.evidence.kinds import ArgumentKind

_TENSOR, _TENSORS, _SHAPE = ArgumentKind.TENSOR, ArgumentKind.TENSORS, ArgumentKind.SHAPE
_INT, _FLOAT, _BOOL, _STR = ArgumentKind.INT, ArgumentKind.FLOAT, ArgumentKind.BOOL, ArgumentKind.STR

#: Weight of each kind before anything is known, for the first argument and for others.
PRIOR: Mapping[ArgumentKind, tuple[float, float]] = {
    ArgumentKind.TENSOR: (3.0, 1.3),
    ArgumentKind.INT: (0.0, 0.7),
    ArgumentKind.FLOAT: (0.0, 0.8),
    ArgumentKind.BOOL: (-1.0, 0.1),
    ArgumentKind.NONE: (-2.0, 0.0),
    ArgumentKind.STR: (-2.0, -1.5),
    ArgumentKind.SHAPE: (-1.0, -1.0),
    ArgumentKind.DTYPE: (-2.0, -1.5),
    ArgumentKind.DEVICE: (-3.0, -2.0),
    ArgumentKind.CALLABLE: (-0.5, -0.8),
    ArgumentKind.MODULE: (-0.8, -1.2),
    ArgumentKind.TENSORS: (-0.5, -1.0),
}


class Use(enum.Enum):
    """What source does with a parameter: in words, and the weights of the kinds that this speaks for."""

    LOOPED_OVER = "it is looped over", {_TENSORS: 2.0, _TENSOR: 0.3}
    SPREAD = "it is spread with a star", {_TENSORS: 1.0, _SHAPE: 1.0}
    TENSOR_ATTRIBUTE = "it has an attribute that only tensors have", {_TENSOR: 1.5}
    MODULE_ATTRIBUTE = "it has an attribute that modules have", {ArgumentKind.MODULE: 3.0}
    CALLED = "it is called", {ArgumentKind.CALLABLE: 4.0, ArgumentKind.MODULE: 3.0}
    SAVED = "it is saved for backward, or marked as dirty", {_TENSOR: 2.5}
    RANGED = "range() is made of it", {_INT: 3.0}
    TO_INT = "int() is called with it", {_INT: 0.7}
    TO_FLOAT = "float() is called with it", {_FLOAT: 0.7}
    TO_BOOL = "bool() is called with it", {_BOOL: 0.7}
    COUNTED = "len(), zip() or list() is called with it", {_TENSORS: 1.2, _SHAPE: 0.5, _TENSOR: 0.3}
    IN_MATH = "a function of math is called with it", {_FLOAT: 2.0, _INT: 1.0}
    DIMENSION = "it is where an operator takes a dimension", {_INT: 1.5}
    COUNT = "topk, chunk or split takes it", {_INT: 1.5}
    ONLY_SHAPE = "it is all that a method that takes a shape is given", {_SHAPE: 1.5}
    ONE_SIZE = "it is one of the sizes that a method that takes a shape is given", {_INT: 1.5}
    SHAPE_OR_SIZE = "it is all that a function that takes a shape is given", {_SHAPE: 1.5, _INT: 0.5}
    FIRST_SIZE = "it is the first size that a function that takes a shape is given", {_INT: 1.0, _SHAPE: 0.5}
    CONVERSION = (
        "it is what .to() or .type() converts to",
        {ArgumentKind.DTYPE: 1.0, ArgumentKind.DEVICE: 0.7},
    )
    MASK = "it is the mask of masked_fill", {_TENSOR: 1.0}
    INDEX = "it is where an operator takes an index", {_TENSOR: 1.5}
    NUMBER = "it is where torch takes a number", {_INT: 0.5, _FLOAT: 0.5}
    SEQUENCE = "it is where an operator takes several tensors", {_TENSORS: 2.0}
    FIRST_OPERAND = "it is the first argument of an operator", {_TENSOR: 2.0}
    SECOND_OPERAND = "it is the second argument of an operator of two tensors", {_TENSOR: 1.5}
    CONVOLVED_WITH = "it is the second argument of a convolution", {_TENSOR: 2.0}
    LIMIT = "clamp takes it", {_FLOAT: 1.0}
    SLICED = "it is subscripted with slices", {_TENSOR: 2.0}
    SUBSCRIPTED = "it is subscripted", {_TENSOR: 0.4, _TENSORS: 0.8}
    ITEM = "it is subscripted with a number", {_TENSOR: 0.4, _TENSORS: 1.2}
    SUBSCRIPT = "something is subscripted with it", {_INT: 0.5, _TENSOR: 0.5}
    MATRIX_OPERAND = "it is an operand of @", {_TENSOR: 3.0}
    DIVISOR = "it is on the right of //, %, << or >>", {_INT: 0.6}
    EXPONENT = "a constant is raised to its power", {_INT: 1.2}
    UNPACKED = "it is unpacked", {_TENSORS: 5.5}
    SHAPE_UNPACKED = "its shape is unpacked", {_TENSOR: 1.0}
    COMPARED_WITH_NONE = "it is compared with None", {ArgumentKind.NONE: 0.5}
    COMPARED_WITH_TEXT = "it is compared with a text", {_STR: 2.5}
    COMPARED_WITH_INTEGER = "it is compared with an integer", {_INT: 1.0}
    COMPARED_WITH_BOOLEAN = "it is compared with True or False", {_BOOL: 1.5}
    CONDITION = "it is a condition by itself", {_BOOL: 1.5, _TENSOR: -0.5}

    def __init__(self, meaning: str, weights: Mapping[ArgumentKind, float]) -> None:
        self.meaning, self.weights = meaning, weights


#: Weight of the kind that a keyword's name is known to take, and of the kind that a type check asks for.
KEYWORD, TYPE_CHECK = 1.5, 1.0
#: Share of its weights that the evidence in a called function has, for the parameter that is passed on to it.
PASSED_ON = 0.7


@dataclass(frozen=True)
class NameWeights:
    """Weight of the kind that a word in the parameter's name speaks for."""

    tensor: float = 1.5
    dimension: float = 2.5
    count: float = 1.2
    number: float = 1.1
    switch: float = 1.8
    #: Words that mean a function, and words that may.
    function: float = 4.0
    operation: float = 2.0
    module: float = 2.0
    shape: float = 2.0
    dtype: float = 4.0
    device: float = 4.0
    #: Words for one of several ways, given as a text.
    way: float = 1.0
    #: Words for what is mostly None.
    absent: float = 1.5
    tensors: float = 2.0
    #: The first word of several (``num_bits``, ``is_causal``).
    prefix: float = 3.0


NAME = NameWeights()


@dataclass(frozen=True)
class StatedWeights:
    """Weight of the kind that is stated outside the code that runs."""

    annotation: float = 3.0
    documentation: float = 1.5
    #: The kind of the default.
    default: float = 2.0
    #: A call site gives something made of tensors.
    site_tensor: float = 2.0


STATED = StatedWeights()


@dataclass(frozen=True)
class ChoiceCosts:
    """Cost of the values of one argument."""

    #: What costs more than this is left out.
    most: float = 7.0
    #: Each further value that call sites give; and everything else, where they give some.
    site_step: float = 0.2
    after_sites: float = 1.0
    #: Everything behind a default.
    after_default: float = 0.8
    #: Each further value that an annotation names; and everything behind them.
    annotation_step: float = 0.4
    after_annotation: float = 1.0
    #: The first container, and each further one.
    container: float = 0.3
    container_step: float = 0.3
    #: An instance of a class that the source checks for.
    checked_class: float = 0.5
    #: Each further value of one kind.
    value_step: float = 0.35
    #: Sequences of two tensors, of one and of three.
    two_tensors: float = 0.0
    one_tensor: float = 0.6
    three_tensors: float = 0.8
    #: Of another number than the source takes; and the largest number that is taken from there.
    other_count: float = 0.4
    most_tensors: int = 8


CHOICE = ChoiceCosts()


@dataclass(frozen=True)
class TensorCosts:
    """Cost of a tensor by dtype and domain; ``…_hinted`` where name or use speak for it."""

    floats: float = 0.0
    #: Floats where indices, or complex numbers, are hinted at.
    floats_not_indices: float = 1.0
    floats_not_complex: float = 0.6
    #: Indices, of the first argument and of others.
    indices: float = 2.0
    indices_hinted_first: float = 0.8
    indices_hinted: float = 0.0
    #: A mask of bool, of integers and of floats, where name or use speak for one; of bool where nothing does.
    mask: float = 2.6
    mask_hinted: float = -0.1
    mask_of_integers: float = 0.1
    mask_of_floats: float = 0.3
    #: What something is subscripted with and no name speaks of: an index, or a mask.
    subscript_mask: float = 0.3
    #: Lengths of sequences.
    lengths: float = -0.1
    #: Between 0 and 1.
    unit: float = 1.4
    unit_hinted: float = -0.1
    positive: float = 1.6
    positive_hinted: float = -0.1
    complex: float = 3.2
    complex_hinted: float = 0.0
    double: float = 3.4
    small_indices: float = 3.8


TENSOR = TensorCosts()


@dataclass(frozen=True)
class ShapeCosts:
    """Cost of the shape of one tensor."""

    #: A rank that the source does not name where it names some, and one below the least it can do with.
    other_rank: float = 2.0
    too_low: float = 2.5
    #: Factor for a rank that the source names, and for the least that it can do with from 3 dimensions on.
    named_factor: float = 0.1
    least_factor: float = 0.2
    #: Shapes with all axes equal, on top of the matrix' cost or by itself; images; two that suit blocks and batches.
    square_on_top: float = 1.5
    large_square: float = 2.4
    images: float = 2.6
    blocks: float = 3.0
    batches: float = 3.4
    #: Relations that the name of a tensor speaks for: the first, each further one, and all others then.
    named: float = 0.1
    named_step: float = 0.15
    not_named: float = 0.5
    #: A later tensor with a shape of its own; and with a rank that the source does not name where it names some.
    unrelated: float = 2.0
    unrelated_other_rank: float = 1.5


SHAPE = ShapeCosts()

#: Cost of each rank of the first tensor, before anything is known.
RANK: Mapping[int, float] = {2: 0.0, 1: 0.5, 4: 0.6, 3: 0.55, 0: 2.0, 5: 2.2}

#: Cost of each relation of a later tensor's shape to the first one's; see
#: [RELATIVE][diffexport.infer.evidence.size_relations.RELATIVE].
RELATION: Mapping[str, float] = {
    "same": 0.0,
    "last": 0.9,
    "channel": 1.3,
    "scalar": 1.2,
    "one": 1.3,
    "linear weight": 1.0,
    "matrix on the right": 1.2,
    "batched on the right": 1.6,
    "batched transposed": 1.7,
    "convolution weight": 1.2,
    "transposed convolution weight": 1.9,
    "out features": 1.4,
    "one for each row": 1.1,
    "row with one column": 1.5,
    "one step": 1.5,
    "batch": 1.3,
    "square": 2.0,
    "pooled": 2.0,
    "vector": 1.9,
    "matrix": 2.1,
    "transposed": 1.8,
    "doubled rows": 2.6,
}


@dataclass(frozen=True)
class NumberCosts:
    """Cost of a call with so many arguments."""

    #: Of a forward that takes any number: two more than are named, one more and three more; none of them.
    two_more: float = 0.4
    one_more: float = 0.5
    three_more: float = 1.0
    none_more: float = 2.0
    #: Each argument that has a default and is given.
    optional: float = 0.6
    #: Factor for a number that a call site has.
    site_factor: float = 0.5


NUMBER = NumberCosts()


@dataclass(frozen=True)
class RepairCosts:
    """Cost of what an error message suggests, on top of the candidate that raised it."""

    #: Another size, for all dimensions of that size together, or for one of them.
    size_everywhere: float = 0.05
    size: float = 0.1
    #: Another rank: for each place of an argument more, for each dimension less; of all tensors together.
    rank: float = 0.25
    rank_place: float = 0.1
    rank_dimension: float = -0.03
    rank_everywhere: float = 0.3
    #: A number in place of a tensor, or a tensor of one element; the shape of the first tensor.
    scalar: float = 0.6
    one_element: float = 0.7
    same_shape: float = 0.3
    #: Sizes rounded up to a multiple, of one tensor or of all.
    multiple: float = 0.2
    multiple_everywhere: float = 0.1
    #: A constant definite matrix, and for each further size.
    definite: float = 0.2
    definite_step: float = 0.2
    dtype: float = 0.4
    #: On top, where the message names another argument.
    not_named: float = 0.6
    #: Values between 0 and 1, or small integers.
    smaller: float = 0.8
    #: Another kind; and the share of what that costs more than the one it replaces.
    kind: float = 0.5
    kind_share: float = 0.3
    #: Another value of an argument that the message names, also one that was left to its default.
    named: float = 0.2
    #: On top, where a tensor is to become something else.
    named_tensor: float = 0.6
    named_share: float = 0.3
    named_further: float = 0.2


REPAIR = RepairCosts()


@dataclass(frozen=True)
class SearchCosts:
    """What moves candidates forward and back in the queue, and where to stop."""

    #: An option this much worse than the best of its argument is not tried.
    worst_option: float = 6.5
    #: How much dearer a candidate may be than one that runs but shows little: whose numbers are not finite, or which
    #: gives back its inputs, as a quantizer of 32 bits may.
    dearer: float = 2.0
    #: How much sooner the repairs of a candidate are tried that got to the end of the forward, or raised something new.
    progress: float = 1.5
    news: float = 0.5
    #: How much later what is like a candidate that ended the process is tried.
    deadly: float = 3.0


SEARCH = SearchCosts()
