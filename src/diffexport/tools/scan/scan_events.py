"""What happens in a scan, as plain data, in the order it happens."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffexport.findings.events import Finding, Row, RowVerdict
from diffexport.infer.discovery import DiscoveredFunction, Discovery
from diffexport.tools.scan.function_status import FunctionStatus, PlaceProblem
from diffexport.values import exporter_name


@dataclass(frozen=True)
class ModeResult:
    """One mode of one variant, on every runtime."""

    variant: str
    mode: str
    rows: tuple[Row, ...]

    @property
    def exporter(self) -> str:
        """The exporter of the mode."""
        return exporter_name(self.mode)

    @property
    def verdict(self) -> RowVerdict:
        """The worst verdict over the runtimes."""
        worst = Row("")
        for row in self.rows:
            worst.worsen(row.verdict)
        return worst.verdict

    @property
    def reason(self) -> str:
        """Why it is refused; empty where it is not."""
        return next((row.reason for row in self.rows if row.reason), "")


@dataclass
class Examined:
    """What is known of one Function in the end.

    Attributes:
        found: where it is.
        status: what became of it.
        message: why it was not run, or not in all modes.
        inputs, call, source, tried: of the inference.
        target: the text by which it can be had in another process, as it was applied.
        notes: warnings.
        modes: results, in the order they came.
        findings: what diverges, minimal.
        seconds: spent on it, without starting a process and importing.
        import_seconds: spent on importing its module, where this was the first Function of it.
        stand_ins: what was not installed, or did not import, and was stood in for.
    """

    found: DiscoveredFunction
    status: FunctionStatus = FunctionStatus.UNTESTED
    message: str = ""
    inputs: tuple[str, ...] = ()
    call: str = ""
    source: str = ""
    tried: int = 0
    target: str = ""
    notes: list[str] = field(default_factory=list)
    modes: list[ModeResult] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    import_seconds: float = 0.0
    stand_ins: tuple[str, ...] = ()

    @property
    def inferred(self) -> bool:
        """Whether inputs were worked out on which it runs."""
        return bool(self.inputs)


@dataclass(frozen=True)
class ScanStarted:
    """What is going to be done; ``done`` counts Functions that a state file has the results of."""

    places: tuple[str, ...]
    functions: int
    done: int
    modes: tuple[str, ...]
    runtimes: tuple[str, ...]
    seed: int
    timeout: float
    versions: dict[str, str]


@dataclass(frozen=True)
class Listed:
    """One place was searched."""

    discovery: Discovery


@dataclass(frozen=True)
class ModuleFailed:
    """A package or file that could not be looked into at all."""

    place: str
    file: str
    message: str
    status: PlaceProblem = PlaceProblem.NOT_INSTALLED


@dataclass(frozen=True)
class Working:
    """A Function is being examined; ``doing`` says what with."""

    name: str
    doing: str


@dataclass(frozen=True)
class ScanFinished:
    """The end, ``interrupted`` by the user or complete."""

    seconds: float
    interrupted: bool = False


Event = ScanStarted | Listed | ModuleFailed | Working | Examined | ScanFinished
