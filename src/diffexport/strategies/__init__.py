"""Hypothesis strategies, usable on their own: they need neither a case nor an export."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
