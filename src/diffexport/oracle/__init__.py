"""The oracle: what decides whether two values agree.

Structure, dtype, shape, integers, bools, NaN placement, infinities and the sign of zero are judged exactly,
each as a kind of its own. Finite floating-point values agree within a few units of their dtype's precision. What
differs by more, or in class, is arbitrated: it is excused only if eager itself, run under rounding noise, gives such a
value. See docs/oracle.md.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
