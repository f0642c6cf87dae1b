"""What every report on a terminal begins with and shows while it waits: versions, a bar, findings in full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from diffexport.errors import visible
from diffexport.findings.events import RowVerdict

_SHOWN = ("torch", "onnx", "onnxruntime")

#: How a verdict is shown.
STYLES: Mapping[str, str] = {
    RowVerdict.AGREES: "green",
    RowVerdict.REFUSED: "cyan",
    RowVerdict.KNOWN: "yellow",
    RowVerdict.DIVERGES: "bold red",
    RowVerdict.UNTESTED: "dim",
    RowVerdict.UNREACHED: "dim",
}


def versions_in_words(versions: Mapping[str, str]) -> str:
    """Return the versions of what matters most, in one line."""
    return ", ".join(f"{name} {versions[name]}" for name in _SHOWN if name in versions)


class Live:
    """A console with a bar that is there only on a terminal.

    Args:
        console: where to print; by default standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True, emoji=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    @property
    def has_bar(self) -> bool:
        """Whether a bar is shown."""
        return self._progress is not None

    def say(self, text: str) -> None:
        """Print one line of rich's markup."""
        self.console.print(visible(text))

    def start(self, what: str, total: int) -> None:
        """Show a bar if this is a terminal and there is something to do."""
        if not (self.console.is_terminal and total):
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total)
        self._progress.start()

    def advance(self, steps: int = 0, *, doing: str | None = None) -> None:
        """Move the bar on, and say beside it what is done now."""
        if self._progress is not None and self._task is not None:
            description = None if doing is None else escape(doing)
            self._progress.update(self._task, advance=steps, description=description)

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()

    def finding(self, number: int, lines: Iterable[str]) -> None:
        """Print a finding: its heading with a number, then the rest as it is."""
        heading, *rest = lines
        self.say("")
        self.say(f"[bold red]{number}.[/] [bold]{escape(heading)}[/]")
        for line in rest:
            self.say(escape(line))
