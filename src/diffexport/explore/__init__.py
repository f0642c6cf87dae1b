"""Exploring cases: inputs are generated, failures shrunk and blamed; what happens is told as events."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
