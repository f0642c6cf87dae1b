"""The process that targets are imported in is started first of all, while this one still imports torch itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from diffexport.faces.cli.limit_options import step_limits

if TYPE_CHECKING:
    from diffexport.infer.session import TargetProcess

#: What is asked of the process; it loads this while it starts.
_QUESTIONS = "diffexport.explore.target_facts"


@contextlib.contextmanager
def target_process(targets: Sequence[str], options: Mapping[str, object]) -> Iterator[TargetProcess | None]:
    """Start a process for targets that are not of the catalogue; None where everything is done in this one.

    Args:
        targets: as the command line names them; where there are none, those that are configured count.
        options: all options of the command; ``jobs`` of 0 asks for no other process.

    Raises:
        ConfigError: the configuration is wrong.
        UsageError: a limit is wrong.
    """
    from diffexport import config
    from diffexport.infer.session import MEMORY, TargetProcess

    loaded = config.load()
    given = options.get("jobs")
    if (loaded.jobs if given is None else given) == 0:
        yield None
        return
    limits = step_limits(loaded.steps, options)
    process = TargetProcess(
        memory=limits.memory or MEMORY, import_seconds=limits.import_seconds, preload=(_QUESTIONS,)
    )
    with process:
        if any(":" in target for target in targets or loaded.cases):
            process.begin()
        yield process
