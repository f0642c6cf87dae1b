"""What a target names: a Module, an autograd Function, a factory or a case, imported from the user's code."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
