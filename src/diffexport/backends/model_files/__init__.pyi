from .declared import declared_specs as declared_specs
from .declared import narrowed as narrowed
from .origin import modes_of as modes_of
from .reading import Artefact as Artefact
from .reading import read_model as read_model
from .reading_apart import read_model_apart as read_model_apart
from .value_names import choose_inputs as choose_inputs
from .value_names import choose_outputs as choose_outputs
