"""Every ``autograd.Function`` of a package or a path, found in its source, and how to import what breaks.

Finding reads files and imports nothing. [Importer][diffexport.discover.importing.Importer] is for a child process.
"""

from diffexport.discover.found import Discovery, Found, Problem, discover
from diffexport.discover.places import PlaceError

__all__ = ["Discovery", "Found", "PlaceError", "Problem", "discover"]
