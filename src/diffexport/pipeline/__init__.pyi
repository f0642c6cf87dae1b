from .eager import BUILD_SEED as BUILD_SEED
from .exports import Exported as Exported
from .pipeline import Pipeline as Pipeline
from .pipeline import Road as Road
from .pipeline import fresh_stages as fresh_stages
from .sample_block import TOGETHER as TOGETHER
from .sample_block import Block as Block
from .sample_block import Stages as Stages
