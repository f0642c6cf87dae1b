"""The table of a run: how many (mode, runtime) pairs of each case and exporter have which verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from diffexport.findings.events import RowVerdict
from diffexport.findings.reports.live import STYLES
from diffexport.findings.reports.tally import Tally
from diffexport.values import in_order

#: How verdicts are called, in the order in which they are shown.
WORDS: Mapping[RowVerdict, str] = {
    RowVerdict.AGREES: "agree",
    RowVerdict.REFUSED: "refused",
    RowVerdict.KNOWN: "known",
    RowVerdict.DIVERGES: "NEW",
    RowVerdict.UNTESTED: "untested",
    RowVerdict.UNREACHED: "unreached",
}
#: What the table is of.
TITLE = "modes × runtimes"
#: Spaces that one column of a table takes besides its text.
_OF_COLUMN = 2
#: The least that is left of the name of a case.
_LEAST = 12


@dataclass(frozen=True)
class ResultTable:
    """The cells of the table.

    Attributes:
        verdicts: those that some pair has.
        rows: case, exporter and the number of pairs for each of the verdicts.
    """

    verdicts: tuple[RowVerdict, ...]
    rows: tuple[tuple[str, str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, tally: Tally) -> ResultTable:
        """Return the table of what happened so far, in the order of cases and exporters."""
        counts = tally.counts()
        order = tally.started.cases if tally.started else ()
        cases = list(dict.fromkeys((*order, *(case for case, _ in counts))))
        exporters = in_order(exporter for _, exporter in counts)
        keys = [(case, name) for case in cases for name in exporters if (case, name) in counts]
        verdicts = tuple(verdict for verdict in WORDS if any(counts[key][verdict] for key in keys))
        return cls(
            verdicts,
            tuple((case, name, tuple(counts[case, name][v] for v in verdicts)) for case, name in keys),
        )

    @property
    def _header(self) -> tuple[str, ...]:
        return ("case", "exporter", *(WORDS[verdict] for verdict in self.verdicts))

    def for_terminal(self, width: int) -> Table:
        """Return a table that is at most so many columns wide, with the ends of names that are longer."""
        table = Table(
            title=TITLE,
            title_justify="left",
            title_style="dim",
            box=SIMPLE_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
        )
        texts = [(name, *(str(number or "") for number in numbers)) for _, name, numbers in self.rows]
        widths = [max(map(len, column)) for column in zip(self._header[1:], *texts, strict=True)]
        most = width - sum(widths) - _OF_COLUMN * len(self._header)
        for place, name in enumerate(self._header):
            table.add_column(name, no_wrap=True, justify="left" if place < 2 else "right")
        before = None
        for (case, name, _), (_, *numbers) in zip(self.rows, texts, strict=True):
            cells = [
                f"[{STYLES[verdict]}]{number}[/]" if number else ""
                for verdict, number in zip(self.verdicts, numbers, strict=True)
            ]
            shown = "" if case == before else escape(end_of(case, max(most, _LEAST)))
            table.add_row(shown, escape(name), *cells)
            before = case
        return table

    def markdown(self) -> str:
        """Return the table in Markdown."""
        rows = [(case, name, *(str(number or "") for number in numbers)) for case, name, numbers in self.rows]
        rule = ["---", "---", *["---:"] * len(self.verdicts)]
        return "\n".join(_markdown_row(cells) for cells in (self._header, rule, *rows))


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def end_of(text: str, most: int) -> str:
    """Return the end of a text, which tells paths apart better than their beginning, in at most so many characters."""
    return text if len(text) <= most else f"…{text[len(text) - most + 1 :]}"
