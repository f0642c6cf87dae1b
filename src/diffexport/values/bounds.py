"""What may be asked for at most, on the command line and in configuration: beyond lies a slip, or no end."""

from __future__ import annotations

#: Hypothesis examples for each mode.
MOST_EXAMPLES = 10**9
#: A seed fits in 64 bits, as those of numpy and torch do.
MOST_SEED = 2**64 - 1
#: Worker processes.
MOST_JOBS = 256
#: Characters of a pattern or a name.
MOST_PATTERN = 1_000
#: Characters of any other text: a target, a mode, an input.
MOST_TEXT = 100_000
#: Seconds of a limit: a year.
MOST_SECONDS = 366 * 24 * 3600.0
