from .widen import rewidened as rewidened
from .widen import widened as widened
