"""A case: a model, what its inputs must be like, what is expected of it, and what is known or left out."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
