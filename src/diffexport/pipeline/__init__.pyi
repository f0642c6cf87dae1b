from .eager import BUILD_SEED as BUILD_SEED
from .eager import Eager as Eager
from .export import Exported as Exported
from .given import ArtefactRoad as ArtefactRoad
from .memo import Bounded as Bounded
from .pipeline import Road as Road
from .samples import TOGETHER as TOGETHER
from .samples import Block as Block
