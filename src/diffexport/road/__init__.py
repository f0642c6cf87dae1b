"""The road: one function takes (case, mode, runtime, inputs) to a verdict.

``eager → export → check graph → load → run → compare → judge against the expectation``. Everything else (the
pytest plugin, the command line, replays) goes through [Road.check][]; nothing else exports, runs or compares.
Exports, graph inspections and sessions are memoised in bounded caches.
"""

from diffexport.road.block import ON_EXAMPLE as ON_EXAMPLE
from diffexport.road.block import TOGETHER as TOGETHER
from diffexport.road.block import Block as Block
from diffexport.road.eager import Eager as Eager
from diffexport.road.export import Exported as Exported
from diffexport.road.given import ArtefactRoad as ArtefactRoad
from diffexport.road.memo import Bounded as Bounded
from diffexport.road.road import Road as Road
