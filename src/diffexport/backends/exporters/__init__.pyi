from .exporting import CapturedRun as CapturedRun
from .exporting import Export as Export
from .exporting import ExportFailure as ExportFailure
from .exporting import error_signature as error_signature
from .exporting import export as export
from .exporting import model_traits as model_traits
from .exporting import run_captured as run_captured
from .exporting import without_symbolics as without_symbolics
