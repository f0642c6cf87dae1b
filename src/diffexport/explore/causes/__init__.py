"""Causes: the first operator of eager at which an export departs, so that divergences of one bug are told as one."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
