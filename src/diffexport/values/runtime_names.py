"""Names of runtimes, apart from the room that runs them, so that a name can be checked without loading it."""

from __future__ import annotations

#: Every runtime, simplest first within its family.
RUNTIMES = ("ort-disabled", "ort-basic", "ort-extended", "ort-layout", "ort-all", "reference")
#: What may be asked for: a runtime, the ``ort`` family, or all.
RUNTIME_CHOICES = ("all", "ort", *RUNTIMES)
