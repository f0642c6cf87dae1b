"""Scan a package: every ``autograd.Function`` found, called as it was worked out, exported and compared.

Each Function is examined in a child process, which imports its module; what it does there is data by the time it comes
back. [run][diffexport.tools.scan.run] emits events and prints nothing.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
