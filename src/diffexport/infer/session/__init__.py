"""How to call a model for which nobody has said so.

[infer][] works in this process, [infer_target][] in a child process that may crash, hang or leave. What they return
is an [Inference][] whose inputs are texts that a person can read, paste and edit.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
