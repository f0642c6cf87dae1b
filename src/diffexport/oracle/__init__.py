"""The oracle: what decides whether two values agree.

Structure, dtype, shape, integers, bools, NaN placement, infinities and the sign of zero are judged exactly,
each as a kind of its own. Finite floating-point values agree within a few units of their dtype's precision. What
differs by more, or in class, is arbitrated: it is excused only if eager itself, run under rounding noise, gives such a
value. See docs/oracle.md.
"""

from diffexport.oracle.arbitrate import Arbiter, Judgement, Outputs, Rerun
from diffexport.oracle.compare import compare, same_bits, suspects
from diffexport.oracle.lenient import judge_leniently
from diffexport.oracle.noise import Noise, Widened
from diffexport.oracle.tolerance import TOLERANCES

__all__ = [
    "TOLERANCES",
    "Arbiter",
    "Judgement",
    "Noise",
    "Outputs",
    "Rerun",
    "Widened",
    "compare",
    "judge_leniently",
    "same_bits",
    "suspects",
]
