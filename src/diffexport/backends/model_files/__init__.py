"""Artefacts: ONNX files that someone already has, to be compared with the model they are said to be of.

What can be known without running anything: whether the file is a valid model, how it was probably exported, what
inputs it declares, and which of them belongs to which argument.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
