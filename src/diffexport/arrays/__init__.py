"""Tensors and arrays: dtypes that numpy does not know, conversion, texts, arguments of a call, what inputs are like."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
