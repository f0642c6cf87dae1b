"""What models were seen to be called with: the file that ``diffexport record`` writes, and what others take from it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
