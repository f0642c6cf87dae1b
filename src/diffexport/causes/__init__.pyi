from .cause_finding import CauseFinder as CauseFinder
from .cause_finding import Sighting as Sighting
from .eager_steps import EagerStep as EagerStep
