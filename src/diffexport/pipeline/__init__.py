"""eager, export, check, load, run, compare, judge: from a case, a mode, a runtime and inputs to a verdict."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
