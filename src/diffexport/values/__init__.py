"""Plain values with text forms: modes, matrices, tensor specs, verdicts, terms, calls.

They import neither torch nor Hypothesis.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
