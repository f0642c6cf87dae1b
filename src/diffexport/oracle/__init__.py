"""The oracle: what decides whether two values agree.

Structure, dtype, shape, integers, bools, NaN placement, infinities and the sign of zero are judged exactly,
each as a kind of its own. Finite floating-point values may differ by the tolerance that
``torch.testing.assert_close`` has for their dtype by default.
"""

from diffexport.oracle.compare import TOLERANCES, compare, same_bits, suspects

__all__ = ["TOLERANCES", "compare", "same_bits", "suspects"]
