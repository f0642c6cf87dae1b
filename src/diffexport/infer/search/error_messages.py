"""What error messages say: which dimension, dtype or kind of argument to change.

Messages are read for what they mean, not for who raises them: two sizes that do not fit, a number of dimensions, a
dtype, a type that lacks something. Reading one gives [Advice][], which the search turns into the next candidates.
"""

from __future__ import annotations

import itertools
import re
import traceback
from dataclasses import dataclass, field

from diffexport.errors import error_text
from diffexport.infer.evidence import ArgumentKind
from diffexport.infer.search.inference_status import InferenceStatus


@dataclass(frozen=True)
class Advice:
    """What to change.

    Attributes:
        sizes: pairs of sizes, the first of which is to become the second, or the other way round.
        ranks: numbers of dimensions that are wanted.
        rank_step: one dimension more (1) or fewer (-1) for some tensor.
        multiple: sizes are to be multiples of this.
        dtypes: that some tensor should have.
        scalar: whether some tensor should be a number, or of one element.
        smaller: whether values, or integers, are too large.
        same_shape: whether some tensors should have the same shape.
        wants: kinds that some argument should have.
        not_kinds: kinds that some argument should not have.
        definite: whether some matrix should be positive definite, or invertible.
        words: all words of the message; one may be the name of the argument that is at fault.
    """

    sizes: tuple[tuple[int, int], ...] = ()
    ranks: tuple[int, ...] = ()
    rank_step: int = 0
    multiple: int = 0
    dtypes: tuple[str, ...] = ()
    scalar: bool = False
    smaller: bool = False
    same_shape: bool = False
    wants: tuple[ArgumentKind, ...] = ()
    not_kinds: tuple[ArgumentKind, ...] = ()
    definite: bool = False
    words: frozenset[str] = frozenset()


@dataclass
class _AdviceSoFar:
    sizes: list[tuple[int, int]] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    dtypes: list[str] = field(default_factory=list)
    wants: list[ArgumentKind] = field(default_factory=list)
    not_kinds: list[ArgumentKind] = field(default_factory=list)


_DTYPE_WORDS = {
    "long": "int64", "int64": "int64", "int": "int32", "int32": "int32", "bool": "bool", "boolean": "bool",
    "float": "float32", "float32": "float32", "double": "float64", "float64": "float64", "half": "float16",
    "bfloat16": "bfloat16", "byte": "uint8", "uint8": "uint8", "complexfloat": "complex64", "complex": "complex64",
    "integer": "int64", "integers": "int64", "integral": "int64",
}  # fmt: skip
_PYTHON_KINDS = {
    "float": ArgumentKind.FLOAT,
    "int": ArgumentKind.INT,
    "NoneType": ArgumentKind.NONE,
    "str": ArgumentKind.STR,
    "bool": ArgumentKind.BOOL,
    "Tensor": ArgumentKind.TENSOR,
    "tuple": ArgumentKind.SHAPE,
    "list": ArgumentKind.SHAPE,
    "dict": ArgumentKind.NONE,
    "function": ArgumentKind.CALLABLE,
}
_RANK = re.compile(r"\b([0-5])\s*-?\s*(?:d\b|dim|dimension)", re.IGNORECASE)
_SIZE_PAIRS = (
    r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
    r"to have (\d+) channels?, but got (\d+)",
    r"contain (\d+) elements,? not (\d+)",
    r"size mismatch,? (?:got|expected)[^\d]*(\d+)[^\d]+(\d+)",
    r"expect(?:ed|ing|s)[^\d]{0,60}?\b(\d+)\b[^\d]{0,40}\b(?:got|but got|found)\b[^\d]{0,40}(\d+)",
    r"got (\d+)[^\d]{1,40}expected[^\d]{0,20}(\d+)",
    r"\b(\d+) (?:vs\.?|!=|and|but|not|is not equal to|does not match) (\d+)\b",
    r"batch_size \((\d+)\) to match target batch_size \((\d+)\)",
    r"Sizes of tensors must match.*Expected size (\d+) but got size (\d+)",
)


def read(error: BaseException) -> Advice:
    """Return what an error says should be different."""
    text = error_text(error)
    low = text.lower()
    line = _assertion(error)
    advice = _AdviceSoFar()
    _sizes(text, advice)
    step = _ranks(text, low, line, advice)
    _dtypes(low, advice)
    _kinds(text, low, advice)
    multiple = re.search(r"(?:divisible by|multiples? of|%\s*)\D{0,12}(\d+)", f"{low} {line}")
    factor = int(multiple[1]) if multiple else 32 if re.search(r"divisible|multiple of", low) else 0
    return Advice(
        sizes=tuple(dict.fromkeys(advice.sizes)),
        ranks=tuple(dict.fromkeys(advice.ranks)),
        rank_step=step,
        multiple=factor if 1 < factor <= 1024 else 0,
        dtypes=tuple(dict.fromkeys(advice.dtypes)),
        scalar=bool(
            re.search(
                r"scalars|(?:be|expected) an? (?:python |real )?(?:scalar|number|float)|"
                r"only one element tensors|cannot be converted to scalar|value of tensor with more than one|"
                r"only integer tensors of a single element|only tensors of length 1",
                low,
            )
        ),
        smaller=bool(
            re.search(
                r"out of bounds|out of range|too large|exceed|must be (?:less|smaller|in)|alloc|overflow", low
            )
        ),
        same_shape=bool(
            re.search(
                r"same (?:shape|size)|shape mismatch|shapes? (?:do|does) not match|must match", low + line
            )
        ),
        wants=tuple(dict.fromkeys(advice.wants)),
        not_kinds=tuple(dict.fromkeys(advice.not_kinds)),
        definite=bool(re.search(r"positive.(?:semi.?)?definite|singular|not invertible|cholesky", low)),
        words=frozenset(re.findall(r"[A-Za-z_]\w*", f"{text[:400]} {line}")),
    )


def _sizes(text: str, advice: _AdviceSoFar) -> None:
    for pattern in _SIZE_PAIRS:
        advice.sizes += [(int(a), int(b)) for a, b in re.findall(pattern, text, re.IGNORECASE) if a != b]
    for a, b, c, d in re.findall(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", text):
        advice.sizes += [(int(c), int(b)), (int(b), int(c)), (int(a), int(d))]
    shapes = [
        tuple(int(n) for n in re.findall(r"\d+", inside))
        for inside in re.findall(r"[\[(]([\d, ]+)[\])]", text)
    ]
    for one, other in itertools.pairwise(shapes):
        # From the end: what is in front may be any number of batch dimensions.
        advice.sizes += [(a, b) for a, b in zip(one[::-1], other[::-1], strict=False) if a != b]


def _ranks(text: str, low: str, line: str, advice: _AdviceSoFar) -> int:
    """Add the numbers of dimensions that are wanted; return 1 for one more, -1 for one fewer, 0 for neither."""
    step = 0
    if re.search(r"dim|rank|-d\b|\dd\b", low):
        advice.ranks += [int(number) for number in _RANK.findall(text)]
    unpacked = re.search(r"not enough values to unpack \(expected (?:at least )?(\d), got (\d)\)", low)
    if unpacked:
        advice.ranks.append(int(unpacked[1]))
        step = 1
    fewer = re.search(r"too many values to unpack \(expected (\d)", low)
    if fewer:
        advice.ranks.append(int(fewer[1]))
        step = -1
    if re.search(
        r"dimension out of range|index out of range|too many indices|dimension specified as|0-d|zero-dim", low
    ):
        step = 1
    if line:
        advice.ranks += [
            int(number)
            for number in re.findall(r"(?:dim\(\)|ndim|len\([^)]*\))\s*(?:==|>=|in)\s*\(?(\d)", line)
        ]
    return step


def _dtypes(low: str, advice: _AdviceSoFar) -> None:
    if re.search(
        r"tensors used as indices must be|index.{0,20}must be.{0,20}(?:long|int)|expected .{0,20}integer", low
    ):
        advice.dtypes.append("int64")
    for word in re.findall(
        r"(?:expected|to have|expects?|one of|type|dtype|be)[^.]{0,50}?\b(?:torch\.)?(\w+)\b(?:tensor)?", low
    ):
        if word in _DTYPE_WORDS:
            advice.dtypes.append(_DTYPE_WORDS[word])
    for word in re.findall(r"scalar types?:? (?:torch\.)?(\w+)", low):
        if word in _DTYPE_WORDS:
            advice.dtypes.append(_DTYPE_WORDS[word])
    if re.search(
        r"not implemented for '(?:long|int|byte|bool|short|char)'|floating.point|can only.{0,30}float|type float",
        low,
    ):
        advice.dtypes.append("float32")
    if re.search(r"not implemented for '(?:float|half|double)'|bitwise|'~'", low):
        advice.dtypes += ["bool", "int64"]
    if re.search(r"with (?:a|two) bool tensors?", low):
        advice.dtypes.append("int64")
    if re.search(r"complex", low):
        advice.dtypes.append("complex64")


def _python_kind(name: str) -> list[ArgumentKind]:
    """Return the kind that a Python type of this name is of, as a list of none or one."""
    return [_PYTHON_KINDS[name]] if name in _PYTHON_KINDS else []


def _kinds(text: str, low: str, advice: _AdviceSoFar) -> None:
    lacking = re.search(r"'(\w+)' object (?:has no attribute|is not|does not support|cannot be)", text)
    if lacking:
        advice.not_kinds += _python_kind(lacking[1])
        if "not callable" in text:
            advice.wants += [ArgumentKind.CALLABLE, ArgumentKind.MODULE]
        elif "has no attribute" in text and lacking[1] != "Tensor":
            advice.wants.append(ArgumentKind.TENSOR)
        elif lacking[1] == "Tensor" and "as an integer" in text:
            advice.wants.append(ArgumentKind.INT)
    if re.search(r"nonetype", low):
        advice.not_kinds.append(ArgumentKind.NONE)
    match = re.search(
        r"(?:must be|expected|should be)(?: a| an| of type)?(?: tuple of)? '?(?:torch\.)?(\w+)'?[^.]{0,60}?"
        r"(?:not|got|but)\W+(?:a |an |type )?'?(\w+)",
        text,
    )
    if match:
        advice.wants += _python_kind(match[1])
        advice.not_kinds += _python_kind(match[2])
    if re.search(r"argument must be (?:a )?(?:real )?number|must be real number|must be number", low):
        advice.wants += [ArgumentKind.FLOAT, ArgumentKind.INT]
    if re.search(r"cannot be interpreted as an integer|indices must be integers|must be integer", low):
        advice.wants.append(ArgumentKind.INT)
    if re.search(r"must be callable|is not callable", low):
        advice.wants += [ArgumentKind.CALLABLE, ArgumentKind.MODULE]


def _assertion(error: BaseException) -> str:
    """Return the line of source that a bare assertion stands on."""
    if not isinstance(error, AssertionError):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    return (frames[-1].line or "") if frames else ""


#: What tells that a model needs more than this process has, by status; matched in this order.
_NEEDS = (
    (
        InferenceStatus.DISTRIBUTED,
        r"process group|init_process_group|torch\.distributed|distributed package|model parallel group|"
        r"\brank\b.{0,20}\bgroup\b|world_size|rendezvous",
    ),
    (
        InferenceStatus.NEEDS_CUDA,
        r"cuda|\bgpu\b|nvidia|is_cuda|cudnn|hip\b|\bxpu\b|triton|cpu tensor\?|arguments from the 'cpu' backend|"
        r"device-side|not on (?:a )?gpu",
    ),
    (
        InferenceStatus.NEEDS_NATIVE,
        r"_opnamespace|no attribute '_?c'|extension|\.so\b|undefined symbol|not compiled with|cpp_extension|ninja|"
        r"'nonetype' object has no attribute '\w*(?:forward|fwd)\w*'|could not run '",
    ),
    (
        InferenceStatus.NEEDS_MODULE,
        r"no module named|modulenotfounderror|^nameerror: name .* is not defined|"
        r"is not installed|please install|pip install|package is required",
    ),
)


def need_of(error: BaseException) -> InferenceStatus | None:
    """Return the status of a model that raises this for lack of something, None for any other error."""
    text = f"{type(error).__name__}: {error_text(error)} {_assertion(error)}".lower()
    return next((status for status, pattern in _NEEDS if re.search(pattern, text)), None)
