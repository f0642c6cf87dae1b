"""Run a command of the user's, see what Functions and modules are called with, and generalise over the calls."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
