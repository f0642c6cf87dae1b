"""The built-in cases, in groups. Its index imports neither torch nor Hypothesis, so that listing is instant."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
