"""The journal of a run: what was seen is on disk at once, and a run that was ended goes on where it was."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
