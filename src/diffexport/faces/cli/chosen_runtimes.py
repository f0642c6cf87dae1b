"""Runtimes as a command line names them, and what is to be said of packages that register what is of no use."""

from __future__ import annotations

from collections.abc import Iterable

import click

from diffexport.backends.runtimes import select
from diffexport.values import EXPORTER_REGISTRY, RUNTIME_REGISTRY


def select_runtimes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the runtimes that names stand for; one line on standard error for each thing that a
    package registers and that is of no use.

    Raises:
        UsageError: see [select][diffexport.backends.runtimes.select].
    """
    chosen = select(names)
    for line in (*EXPORTER_REGISTRY.problems(), *RUNTIME_REGISTRY.problems()):
        click.echo(f"diffexport: {line}", err=True)
    return chosen
