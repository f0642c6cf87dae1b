from .recorded_command import RecordedRun as RecordedRun
from .recorded_command import record as record
