"""Scan a package: every ``autograd.Function`` found, called as it was worked out, exported and compared.

Each Function is examined in a child process, which imports its module; what it does there is data by the time it comes
back. [run][diffexport.scan.campaign.run] emits events and prints nothing.
"""

from diffexport.scan.campaign import Plan, run
from diffexport.scan.events import Examined, Listed, ModuleFailed, ScanFinished, ScanStarted, Working
from diffexport.scan.modes import DEFAULT_MODES

__all__ = [
    "DEFAULT_MODES",
    "Examined",
    "Listed",
    "ModuleFailed",
    "Plan",
    "ScanFinished",
    "ScanStarted",
    "Working",
    "run",
]
