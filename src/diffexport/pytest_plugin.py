"""The pytest plugin: replays stored regressions, keeps new findings, works under pytest-xdist.

- Files named ``*.diffexport.json`` are collected as tests: one that a known divergence is tied to must still
  diverge, any other must be fixed.
- A test that raises [Diverged][diffexport.engine.explore.Diverged], also from inside Hypothesis, has its
  finding stored as a regression.
- What ``diffexport.test(Model, …)`` makes is one test for each exporter.
- The fixture ``diffexport`` checks a model in every mode: ``diffexport.check(Model, inputs=["float32[N, 3]"])``.
- A test with an argument ``diffexport_mode`` is run once for every mode.

Nothing is imported beyond pytest until one of these is used.
"""

from __future__ import annotations

import json
from collections.abc import Container, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from diffexport.case import Case
    from diffexport.engine.events import Finding
    from diffexport.known import Known
    from diffexport.mode import Mode
    from diffexport.modeltest import ModelTest
    from diffexport.result import Result

_SUFFIX = ".diffexport.json"
_PROPERTY = "diffexport_finding"
EXPORTER, MODE = "diffexport_exporter", "diffexport_mode"


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


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of a model once for each exporter, and one with an argument ``diffexport_mode`` for each mode."""
    if not {EXPORTER, MODE} & set(metafunc.fixturenames):
        return
    from diffexport.errors import DiffexportError
    from diffexport.matrix import select
    from diffexport.modeltest import test_of

    own = test_of(metafunc.function)
    try:
        if own is not None:
            chosen = test_modes(own, metafunc.config)
        else:
            chosen = select(_texts(metafunc.config), _configuration(metafunc.config).matrices)
    except DiffexportError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.name}: {error}") from None
    if MODE in metafunc.fixturenames:
        metafunc.parametrize(MODE, chosen, ids=str)
    elif own is not None:
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
        """Replay; fail unless the result is what it should be."""
        from diffexport.engine.judge import judge_file, tied_entries

        judged = judge_file(self.path, tied_entries(_configuration(self.config).known))
        if judged.elsewhere:
            pytest.skip(judged.message)
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

        Takes what [diffexport.testing.check][] takes; modes, runtimes, examples and seed are the configured ones
        unless given, known divergences and exclusions are added to the configured ones.
        """
        from diffexport.errors import DiffexportError
        from diffexport.testing import check

        try:
            result = check(model, **self._with_defaults(options))
        except DiffexportError as error:
            # It is about what the test says, and a traceback through diffexport helps nobody.
            pytest.fail(str(error), pytrace=False)
        self._judge(result)
        return result

    def _with_defaults(self, options: Mapping[str, Any]) -> dict[str, Any]:
        from diffexport import exclusion

        config = self._request.config
        configuration = _configuration(config)
        given = dict(options)
        return {
            "modes": _texts(config),
            "runtimes": configuration.runtimes,
            "examples": configuration.examples,
            "seed": configuration.seed,
            "strict": configuration.strict,
            "matrices": configuration.matrices,
            "save": _folder(config),
            **given,
            "known": (*given.get("known", ()), *configuration.known),
            "exclude": (*exclusion.of(given.get("exclude", ())), *configuration.exclude),
        }

    def _judge(self, result: Result) -> None:
        for finding in result.findings:
            _keep(self._request.node, finding, dict(result.saved), dict(result.save_errors))
        if not result.ok:
            text = str(result)
            if result.findings:
                # The findings themselves are listed once, at the end, whichever tests and workers made them.
                text = f"{text.partition(chr(10) * 2)[0]}\nsee 'diffexport findings'"
            pytest.fail(text, pytrace=False)
        if not result.modes and result.excluded:
            pytest.skip("; ".join(f"{one.modes} excluded: {one.reason}" for one in result.excluded))

    def run(self, own: ModelTest, given: dict[str, Any]) -> None:
        """Check the model of a test that [diffexport.test][diffexport.modeltest.test] made.

        Args:
            own: the test.
            given: what fixtures and parameters give to the factory, and which exporter or mode it is for.
        """
        from diffexport.errors import UsageError
        from diffexport.testing import as_case, case_options

        exporter = given.pop(EXPORTER, None)
        mode = given.get(MODE)
        selected = test_modes(own, self._request.config)
        try:
            model = own.build({name: value for name, value in given.items() if name in own.parameters})
            options = self._named(own, model)
            case = as_case(model, **case_options(options))
        except UsageError as error:
            pytest.fail(str(error), pytrace=False)
        texts = [str(one) for one in selected if exporter in (None, one.exporter) and mode in (None, one)]
        _replay_stored(
            self._request, case, {one.exporter for one in selected} if exporter is None else {exporter}, own
        )
        # What makes the case is in it by now; the rest says how it is explored.
        left = {name: value for name, value in own.options.items() if name not in case_options(own.options)}
        self.check(case, **{**left, "modes": texts})

    def _named(self, own: ModelTest, model: Any) -> dict[str, Any]:
        """Return the options with the name of the case, and the target by which it is found again."""
        from diffexport import catalogue
        from diffexport.case import Case
        from diffexport.modeltest import relative
        from diffexport.testing import name_of

        options, node = dict(own.options), self._request.node
        if isinstance(model, Case) and model.target in catalogue.ENTRIES:
            return options
        within = getattr(node.cls, "__qualname__", "")
        name = node.originalname or node.name
        options["target"] = f"{relative(Path(node.path))}:{within + '.' if within else ''}{name}"
        called = options.get("name") or name_of(model)
        options["name"] = "-".join(filter(None, (called, _parameters_of(node))))
        return options


def _parameters_of(node: Any) -> str:
    """Return the id of a test's parameters without those that are the plugin's own."""
    callspec = getattr(node, "callspec", None)
    if callspec is None:
        return ""
    own = [str(callspec.params[name]) for name in (EXPORTER, MODE) if name in callspec.params]
    text = str(callspec.id)
    for one in own:
        text = "" if text == one else text.removesuffix(f"-{one}")
    return text


def test_modes(own: ModelTest, config: pytest.Config) -> tuple[Mode, ...]:
    """Return the modes a test of a model is for: its own, of those that the command line selects; else the selected."""
    from diffexport.matrix import select

    matrices = _configuration(config).matrices
    selected = select(_texts(config), matrices)
    texts = own.options.get("modes")
    if texts is None:
        return selected
    asked = select((texts,) if isinstance(texts, str) else texts, matrices)
    return (
        tuple(mode for mode in asked if mode in selected) if config.getoption("--diffexport-modes") else asked
    )


test_modes.__test__ = False  # type: ignore[attr-defined]


def _replay_stored(
    request: pytest.FixtureRequest, case: Case, exporters: Container[str], own: ModelTest
) -> None:
    """Replay what is stored of a model that only its test can make: nobody else could."""
    folder = _folder(request.config)
    if not own.parameters or not folder.is_dir():
        return
    from diffexport.engine.judge import judge_file, tied_entries
    from diffexport.testing import stored_of

    tied = tied_entries((*case.known, *_configuration(request.config).known))
    for path in stored_of(case, folder, exporters):
        judged = judge_file(path, tied, case)
        if not judged.as_expected:
            lines = filter(None, (f"{judged.status}: {path.name}", judged.note, judged.message))
            pytest.fail("\n".join(lines), pytrace=False)


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
    result = getattr(error, "result", None)
    if type(error).__name__ == "FindingsError" and result is not None:
        yield from result.findings
    seen.add(id(error))
    for inner in getattr(error, "exceptions", ()):
        if id(inner) not in seen:
            yield from _findings_in(inner, seen)


def _keep(
    item: pytest.Item,
    finding: Finding,
    saved: Mapping[str, Path] | None = None,
    errors: Mapping[str, str] = {},
) -> None:
    """Put a finding on the report of a test; it is stored first, unless that was done or tried before."""
    from diffexport.engine.record import record
    from diffexport.errors import RegressionFileError
    from diffexport.report.describe import describe
    from diffexport.report.summary import Summary

    summary = Summary()
    digest = finding.identity.digest
    try:
        if saved is None:
            summary.saved[digest] = record(finding, _folder(item.config))
        else:
            summary.saved.update(saved)
            summary.save_errors.update(errors)
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
