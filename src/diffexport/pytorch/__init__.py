"""The only room with private names of torch.

Every such use says on which version it was checked and raises
[ExporterInternalsError][diffexport.errors.ExporterInternalsError] when the name is gone.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
