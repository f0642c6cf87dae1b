from .loading import RUNTIMES as RUNTIMES
from .loading import LoadError as LoadError
from .loading import RunError as RunError
from .loading import Session as Session
from .loading import available as available
from .loading import family as family
from .loading import load as load
from .loading import select as select
