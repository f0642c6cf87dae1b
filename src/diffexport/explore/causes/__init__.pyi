from .cause_finding import CauseFinder as CauseFinder
from .cause_finding import Departure as Departure
from .cause_finding import Sighting as Sighting
