"""Every ``autograd.Function`` of a package or a path, found in its source, and how to import what breaks.

Finding reads files and imports nothing. [Importer][diffexport.subjects.targets.Importer] is for a child process.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
