"""The pytest plugin: replays stored regressions, keeps new findings, works under pytest-xdist.

- Files named ``*.diffexport.json`` are collected as tests: one that a known divergence is tied to must still
  diverge, any other must be fixed.
- A test that raises [Diverged][diffexport.engine.explore.Diverged], also from inside Hypothesis, has its
  finding stored as a regression.
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

if TYPE_CHECKING:
    from diffexport.engine.events import Finding
    from diffexport.known import Known
    from diffexport.mode import Mode
    from diffexport.testing import Result

_SUFFIX = ".diffexport.json"
_PROPERTY = "diffexport_finding"


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
        "--diffexport-save",
        default=None,
        metavar="DIR",
        help="where findings are kept (default: as configured, tests/regressions)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a mode or a configuration that does not exist before anything is collected."""
    file = Path(config.rootpath) / "pyproject.toml"
    configured = file.is_file() and b"diffexport" in file.read_bytes()
    if not configured and not config.getoption("--diffexport-modes"):
        return
    from diffexport.errors import DiffexportError
    from diffexport.matrix import select

    try:
        select(_texts(config), _configuration(config).matrices)
    except DiffexportError as error:
        raise pytest.UsageError(f"diffexport: {error}") from None


def _configuration(config: pytest.Config) -> Any:
    from diffexport import config as configuration

    file = Path(config.rootpath) / "pyproject.toml"
    return configuration.load(file) if file.is_file() else configuration.Config()


def _folder(config: pytest.Config) -> Path:
    given = config.getoption("--diffexport-save")
    if given is not None:
        return Path(config.invocation_params.dir, given)
    return Path(config.rootpath, _configuration(config).regressions)


def _texts(config: pytest.Config) -> tuple[str, ...]:
    given = tuple(config.getoption("--diffexport-modes"))
    return given or _configuration(config).modes or ("default",)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with an argument ``diffexport_mode`` once for every selected mode."""
    if "diffexport_mode" in metafunc.fixturenames:
        from diffexport.matrix import select

        chosen = select(_texts(metafunc.config), _configuration(metafunc.config).matrices)
        metafunc.parametrize("diffexport_mode", chosen, ids=str)


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
        """Replay; fail unless the result is what it should be."""
        from diffexport.engine.judge import judge_file, tied_entries

        judged = judge_file(self.path, tied_entries(_configuration(self.config).known))
        if not judged.as_expected:
            raise RegressionFailed(
                "\n".join(filter(None, (f"{judged.status}: {self.path.name}", judged.note, judged.message)))
            )

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


class Checker:
    """What the fixture ``diffexport`` gives."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The selected modes."""
        from diffexport.matrix import select

        return select(_texts(self._request.config), _configuration(self._request.config).matrices)

    @property
    def known(self) -> tuple[Known, ...]:
        """The project's own known divergences."""
        known: tuple[Known, ...] = _configuration(self._request.config).known
        return known

    def check(self, model: Any, **options: Any) -> Result:
        """Check a model in every selected mode and fail the test if something diverges.

        Takes what [diffexport.testing.check][] takes; modes, runtimes, examples, seed and known divergences are
        the configured ones unless given.
        """
        from diffexport.testing import check

        configuration = _configuration(self._request.config)
        defaults = {
            "modes": _texts(self._request.config),
            "runtimes": configuration.runtimes,
            "seed": configuration.seed,
            "known": configuration.known,
            "strict": configuration.strict,
        }
        if configuration.examples is not None:
            defaults["examples"] = configuration.examples
        result = check(model, **{**defaults, **options})
        for finding in result.findings:
            _keep(self._request.node, finding)
        if not result.ok:
            head = str(result).splitlines()[0]
            # The findings themselves are listed once, at the end, whichever tests and workers made them.
            pytest.fail(
                f"{head}; see 'diffexport findings'" if result.findings else str(result), pytrace=False
            )
        return result


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
            _keep(item, finding)
        # What is added after the report was made has to be put on it, for the controller of pytest-xdist.
        report.user_properties = list(item.user_properties)
    return report


def _findings_in(error: BaseException, seen: set[int]) -> Iterator[Finding]:
    finding = getattr(error, "finding", None)
    if finding is not None and type(finding).__name__ == "Finding":
        yield finding
    seen.add(id(error))
    for inner in getattr(error, "exceptions", ()):
        if id(inner) not in seen:
            yield from _findings_in(inner, seen)


def _keep(item: pytest.Item, finding: Finding) -> None:
    from diffexport.engine.record import record
    from diffexport.errors import RegressionFileError
    from diffexport.report.describe import describe
    from diffexport.report.summary import Summary

    summary = Summary()
    digest = finding.identity.digest
    try:
        summary.saved[digest] = record(finding, _folder(item.config))
    except (OSError, RegressionFileError) as error:
        summary.save_errors[digest] = str(error)
    lines = list(describe(finding, summary))
    item.user_properties.append(
        (_PROPERTY, json.dumps({"digest": digest, "lines": lines}, ensure_ascii=False))
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List every finding once, whichever worker made it."""
    found: dict[str, list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == _PROPERTY:
                    data = json.loads(value)
                    found.setdefault(data["digest"], data["lines"])
    if found:
        terminalreporter.section("diffexport findings")
        for lines in found.values():
            for line in lines:
                terminalreporter.write_line(line)
            terminalreporter.write_line("")
