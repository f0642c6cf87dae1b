from .session import Inference as Inference
from .session import Session as Session
from .session import infer as infer
from .session import infer_target as infer_target
