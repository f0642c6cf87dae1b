"""The campaign as a table and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fault_injection.counting import COLUMNS, Record


def rows(records: Sequence[Record], order: Sequence[str]) -> dict[str, Counter[str]]:
    """Return the columns of each kind of which something was injected, in the order of the kinds."""
    table: dict[str, Counter[str]] = {}
    for kind in order:
        of_kind = [record for record in records if record.kind == kind]
        if of_kind:
            table[kind] = Counter(injected=sum(record.injected for record in of_kind))
            for record in of_kind:
                table[kind].update(record.counts)
    return table


def show(console: Console, table: Mapping[str, Counter[str]]) -> None:
    """Print a row for each kind, and one for all."""
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("fault", no_wrap=True)
    for title in ("injected", *COLUMNS.values()):
        shown.add_column(title, justify="right")
    together = Counter[str]()
    for kind, counts in table.items():
        together.update(counts)
        shown.add_row(kind, *_cells(counts))
    shown.add_section()
    shown.add_row(f"all {len(table)} kinds", *_cells(together))
    console.print(shown)


def _cells(counts: Counter[str]) -> list[str]:
    return [f"{counts['injected']:,}", *(f"[red]{counts[key]}[/]" if counts[key] else "0" for key in COLUMNS)]


def document(records: Sequence[Record], order: Sequence[str], **head: Any) -> dict[str, Any]:
    """Return the campaign as plain data."""
    table = rows(records, order)
    return {
        **head,
        "injected": sum(record.injected for record in records),
        "kinds": {
            kind: {"injected": counts["injected"], **{key: counts[key] for key in COLUMNS}}
            for kind, counts in table.items()
        },
        "trials": [record.document() for record in records],
    }
