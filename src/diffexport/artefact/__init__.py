"""Artefacts: ONNX files that someone already has, to be compared with the model they are said to be of.

What can be known without running anything: whether the file is a valid model, how it was probably exported, what
inputs it declares, and which of them belongs to which argument.
"""

from diffexport.artefact.names import choose_inputs, choose_outputs
from diffexport.artefact.origin import modes_of
from diffexport.artefact.read import Artefact, read
from diffexport.artefact.specs import declared_specs, narrowed

__all__ = [
    "Artefact",
    "choose_inputs",
    "choose_outputs",
    "declared_specs",
    "modes_of",
    "narrowed",
    "read",
]
