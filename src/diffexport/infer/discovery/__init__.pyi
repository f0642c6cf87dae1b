from .functions import DiscoveredFunction as DiscoveredFunction
from .functions import Discovery as Discovery
from .functions import Problem as Problem
from .functions import discover as discover
from .places import PlaceError as PlaceError
