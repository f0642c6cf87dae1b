from .script import standalone_script as standalone_script
from .unexecuted import unexecuted_script as unexecuted_script
