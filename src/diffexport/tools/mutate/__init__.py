"""Plants bugs in exported models, and equivalent changes as controls, to see what a check is worth.

``surgery`` changes graphs; ``registry`` lists the mutators that the modules ``…_mutators`` and ``controls`` define;
``symbolic_mutants`` plants bugs before the export instead; ``survivors`` says whether what was not caught can be told
from the original at all; ``mutation_run`` does one case in one mode.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
