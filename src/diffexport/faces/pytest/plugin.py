"""The pytest plugin: replays stored regressions, keeps new findings, works under pytest-xdist.

- Files named ``*.diffexport.json`` are collected as tests: one that a known divergence is tied to must still
  diverge, any other must be fixed.
- A test that raises [Diverged][diffexport.Diverged], also from inside Hypothesis, has its
  finding stored as a regression.
- What ``diffexport.test(Model, …)`` makes is one test for each exporter.
- The fixture ``diffexport`` checks a model in every mode: ``diffexport.check(Model, inputs=["float32[N, 3]"])``.
- A test with an argument ``diffexport_mode`` is run once for every mode.

Nothing is imported beyond pytest until one of these is used.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from diffexport.faces.pytest.checker import (
    EXPORTER,
    MODE,
    PROPERTY,
    Checker,
    close_replayer,
    configuration_of,
    keep,
    replayed_lines,
    replayer_of,
    test_modes,
    texts_of,
)
from diffexport.faces.pytest.item_journals import RESUME, forget_journals

if TYPE_CHECKING:
    from diffexport.findings.events import Finding

_SUFFIX = ".diffexport.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("diffexport", "differential testing of ONNX export")
    group.addoption(
        "--diffexport-modes",
        action="append",
        default=[],
        metavar="TEXT",
        help="matrix, mode or mode pattern that modes are taken from; may be repeated (default: as configured)",
    )
    group.addoption(
        "--diffexport-time",
        default=None,
        metavar="TIME",
        help="for each check of a model, such as 30s: its modes are explored in turns (default: as configured)",
    )
    group.addoption(
        "--diffexport-save",
        default=None,
        metavar="DIR",
        help="where findings are kept (default: as configured, tests/regressions)",
    )
    group.addoption(
        "--diffexport-allow-outside",
        action="store_true",
        help="let the targets of stored regressions be files outside of the project's folder",
    )
    group.addoption(
        RESUME,
        action="store_true",
        help="go on with what a session that was ended has done: modes that are done are not done again",
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process that has replayed stored regressions."""
    close_replayer(config)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a mode or a configuration that does not exist before anything is collected."""
    file = Path(config.rootpath) / "pyproject.toml"
    configured = file.is_file() and b"diffexport" in file.read_bytes()
    if not configured and not config.getoption("--diffexport-modes"):
        return
    from diffexport.errors import DiffexportError
    from diffexport.values import select_modes

    try:
        select_modes(texts_of(config), configuration_of(config).matrices)
    except DiffexportError as error:
        raise pytest.UsageError(f"diffexport: {error}") from None


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of a model once for each exporter, and one with an argument ``diffexport_mode`` for each mode."""
    if not {EXPORTER, MODE} & set(metafunc.fixturenames):
        return
    from diffexport.errors import DiffexportError
    from diffexport.faces.api import test_of
    from diffexport.values import select_modes

    model_test = test_of(metafunc.function)
    try:
        if model_test is not None:
            chosen = test_modes(model_test, metafunc.config)
        else:
            chosen = select_modes(texts_of(metafunc.config), configuration_of(metafunc.config).matrices)
    except DiffexportError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.name}: {error}") from None
    if MODE in metafunc.fixturenames:
        metafunc.parametrize(MODE, chosen, ids=str)
    elif model_test is not None:
        metafunc.parametrize(EXPORTER, list(dict.fromkeys(mode.exporter for mode in chosen)), ids=str)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect stored regressions."""
    if file_path.name.endswith(_SUFFIX):
        collected: pytest.Collector = RegressionFile.from_parent(parent, path=file_path)
        return collected
    return None


class RegressionFile(pytest.File):
    """A stored regression."""

    def collect(self) -> Iterable[pytest.Item]:
        """Yield the one test that replays it."""
        yield RegressionItem.from_parent(self, name="replay")


class RegressionItem(pytest.Item):
    """The replay of one stored regression."""

    def runtest(self) -> None:
        """Replay in a child process; fail unless the result is what it should be."""
        judged = replayer_of(self.config).judge(self.path)
        if judged.elsewhere:
            pytest.skip(judged.message)
        if not judged.as_expected:
            raise RegressionFailed("\n".join(replayed_lines(judged)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the message alone; a traceback through the replay helps nobody."""
        if isinstance(excinfo.value, RegressionFailed):
            return f"{excinfo.value}\nreproduce: diffexport replay {self.path}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the file."""
        return self.path, None, f"regression {self.path.name}"


class RegressionFailed(AssertionError):
    """A stored regression is not as it should be."""


@pytest.fixture
def diffexport(request: pytest.FixtureRequest) -> Checker:
    """Check models: ``diffexport.check(Model, inputs=["float32[N, 3]"])``."""
    return Checker(request)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Keep the findings of a test that raised them, Hypothesis's minimal ones."""
    report = yield
    if call.when == "call" and call.excinfo is not None:
        for finding in _findings_in(call.excinfo.value, set()):
            keep(item, finding)
        # What is added after the report was made has to be put on it, for the controller of pytest-xdist.
        report.user_properties = list(item.user_properties)
    return report


def _findings_in(error: BaseException, seen: set[int]) -> Iterator[Finding]:
    finding = getattr(error, "finding", None)
    if finding is not None and type(finding).__name__ == "Finding":
        yield finding
    result = getattr(error, "result", None)
    if type(error).__name__ == "FindingsError" and result is not None:
        yield from result.findings
    seen.add(id(error))
    for inner in getattr(error, "exceptions", ()):
        if id(inner) not in seen:
            yield from _findings_in(inner, seen)


def pytest_sessionfinish(session: pytest.Session, exitstatus: Any) -> None:
    """Forget the journals of a session that came to its end."""
    forget_journals(session, exitstatus)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List every finding once, whichever worker made it."""
    findings: dict[str, list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == PROPERTY:
                    data = json.loads(value)
                    findings.setdefault(data["digest"], data["lines"])
    if findings:
        terminalreporter.section("diffexport findings")
        for lines in findings.values():
            for line in lines:
                terminalreporter.write_line(line)
            terminalreporter.write_line("")
