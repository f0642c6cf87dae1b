from .configured_calls import configured_file as configured_file
from .configured_calls import recorded_calls as recorded_calls
from .recorded_file import DEFAULT_FILE as DEFAULT_FILE
from .recorded_file import NOTHING_RECORDED as NOTHING_RECORDED
from .recorded_file import Recorded as Recorded
from .recorded_file import RecordedTarget as RecordedTarget
from .recorded_file import load as load
from .recorded_file import store as store
