from .orphans import end_with_parent as end_with_parent
from .pickling import dumps as dumps
