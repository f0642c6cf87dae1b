from .errors import DiffexportError as DiffexportError
from .explore import Diverged as Diverged
from .faces.api import FindingsError as FindingsError
from .faces.api import Result as Result
from .faces.api import assert_agrees as assert_agrees
from .faces.api import check as check
from .faces.api import test as test
from .oracle import operator_rule as operator_rule

# The name that is promised for the pipeline, which is called Pipeline inside the package.
from .pipeline import Road as Road
from .subjects.cases import Case as Case
from .subjects.cases import known_divergence as known_divergence
from .subjects.cases import make_case as make_case
from .subjects.cases import rule as rule
from .values import Call as Call
from .values import Divergence as Divergence
from .values import Kind as Kind
from .values import Mode as Mode
from .values import ModePattern as ModePattern
from .values import Outcome as Outcome
from .values import Stage as Stage
from .values import Terms as Terms
from .values import Verdict as Verdict
