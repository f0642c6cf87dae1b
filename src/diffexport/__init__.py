"""diffexport: a property-based differential tester for PyTorch to ONNX export.

The public names. They are imported when first used, so that ``import diffexport`` costs nothing.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
