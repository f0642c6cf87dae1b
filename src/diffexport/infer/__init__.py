"""How to call a model for which nobody has said so.

[infer][] works in this process, [infer_target][] in a child process that may crash, hang or leave. What they return
is an [Inference][] whose inputs are texts that a person can read, paste and edit.
"""

from diffexport.infer.inference import RAN, STATUSES, Inference
from diffexport.infer.library import Library
from diffexport.infer.process import Session, infer_target
from diffexport.infer.sites import Site
from diffexport.infer.work import infer

__all__ = ["RAN", "STATUSES", "Inference", "Library", "Session", "Site", "infer", "infer_target"]
