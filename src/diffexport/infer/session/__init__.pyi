from .cache import source_files as source_files
from .inference import RAN as RAN
from .inference import STATUSES as STATUSES
from .inference import Inference as Inference
from .session import InferenceSession as InferenceSession
from .session import Session as Session
from .session import infer_target as infer_target
from .steps import infer as infer
