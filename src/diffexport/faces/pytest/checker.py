"""What the pytest plugin gives to tests: the checker behind the fixture ``diffexport``, configured as the project is.

Nothing is imported beyond pytest until one of these is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from diffexport.faces.pytest.item_journals import kept_journals

if TYPE_CHECKING:
    from diffexport.explore import Judged, Replayer, StoredRules
    from diffexport.faces.api import ModelTest, Result
    from diffexport.findings.events import Finding
    from diffexport.findings.regressions import FindingStore
    from diffexport.subjects.cases import Case, Known
    from diffexport.values import Mode

#: Under which a report carries findings, from worker to controller as well.
PROPERTY = "diffexport_finding"
#: What the plugin gives a test of a model: which exporter, or which mode, an item is for.
EXPORTER, MODE = "diffexport_exporter", "diffexport_mode"
#: Of what is said of a stored regression.
_MOST_LINES, _LONGEST_LINE = 12, 500
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def configuration_of(config: pytest.Config) -> Any:
    """Return the configuration of the project that is tested."""
    from diffexport import config as configuration

    file = Path(config.rootpath) / "pyproject.toml"
    return configuration.load(file) if file.is_file() else configuration.Config()


def folder_of(config: pytest.Config) -> Path:
    """Return where findings are kept."""
    given = config.getoption("--diffexport-save")
    if given is not None:
        return Path(config.invocation_params.dir, given)
    return Path(config.rootpath, configuration_of(config).regressions)


def texts_of(config: pytest.Config) -> tuple[str, ...]:
    """Return the texts of the modes that are selected."""
    given = tuple(config.getoption("--diffexport-modes"))
    return given or configuration_of(config).modes or ("default",)


#: The process that replays stored regressions, for the session.
_REPLAYER = pytest.StashKey["Replayer"]()


def rules_of(config: pytest.Config) -> StoredRules:
    """Return what stored regressions may do."""
    from diffexport.explore import StoredRules

    project = None if config.getoption("--diffexport-allow-outside") else Path(config.rootpath)
    return StoredRules(project, configuration_of(config).regression_size)


def replayer_of(config: pytest.Config) -> Replayer:
    """Return what replays stored regressions in a process of their own."""
    from diffexport.explore import Replayer

    if _REPLAYER not in config.stash:
        loaded = configuration_of(config)
        config.stash[_REPLAYER] = Replayer(loaded.known, rules_of(config), loaded.steps)
    return config.stash[_REPLAYER]


def close_replayer(config: pytest.Config) -> None:
    """End the process that replays stored regressions, if there is one."""
    if _REPLAYER in config.stash:
        config.stash[_REPLAYER].close()


def replayed_lines(judged: Judged) -> list[str]:
    """Return a few lines on a stored regression that is not as it should be."""
    lines = [f"{judged.status}: {judged.path.name}", judged.note, *judged.message.splitlines()[:_MOST_LINES]]
    return [_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", line)[:_LONGEST_LINE] for line in lines if line]


class Checker:
    """What the fixture ``diffexport`` gives."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The selected modes."""
        from diffexport.values import select_modes

        return select_modes(texts_of(self._request.config), configuration_of(self._request.config).matrices)

    @property
    def known(self) -> tuple[Known, ...]:
        """The project's own known divergences."""
        known: tuple[Known, ...] = configuration_of(self._request.config).known
        return known

    def check(self, model: Any, **options: Any) -> Result:
        """Check a model in every selected mode and fail the test if something diverges.

        Takes what [diffexport.check][] takes; modes, runtimes, examples and seed are the configured ones
        unless given, known divergences and exclusions are added to the configured ones.
        """
        from diffexport.errors import DiffexportError
        from diffexport.faces.api import check

        try:
            with kept_journals(self._request.node):
                result = check(model, **self._with_defaults(options))
        except DiffexportError as error:
            # It is about what the test says, and a traceback through diffexport helps nobody.
            pytest.fail(str(error), pytrace=False)
        self._judge(result)
        return result

    def _with_defaults(self, options: Mapping[str, Any]) -> dict[str, Any]:
        from diffexport.subjects.cases import exclusions_of

        config = self._request.config
        configuration = configuration_of(config)
        given = dict(options)
        return {
            "modes": texts_of(config),
            "runtimes": configuration.runtimes,
            "examples": configuration.examples,
            "seed": configuration.seed,
            "strict": configuration.strict,
            "ordinary": configuration.scope.ordinary,
            "no_empty": configuration.scope.no_empty,
            "empty_examples": configuration.scope.empty_examples,
            "limits": configuration.steps,
            "time": config.getoption("--diffexport-time") or configuration.time,
            "rounds": configuration.rounds,
            "matrices": configuration.matrices,
            "save": folder_of(config),
            **given,
            "known": (*given.get("known", ()), *configuration.known),
            "exclude": (*exclusions_of(given.get("exclude", ())), *configuration.exclude),
        }

    def _judge(self, result: Result) -> None:
        for finding in result.findings:
            keep(self._request.node, finding, result.store)
        if not result.modes and result.excluded and not (result.error or result.stale):
            pytest.skip("; ".join(f"{one.modes} excluded: {one.reason}" for one in result.excluded))
        if not result.ok:
            text = str(result)
            if result.findings:
                # The findings themselves are listed once, at the end, whichever tests and workers made them.
                text = f"{text.partition(chr(10) * 2)[0]}\nsee 'diffexport findings'"
            pytest.fail(text, pytrace=False)

    def run(self, model_test: ModelTest, given: dict[str, Any]) -> None:
        """Check the model of a test that [diffexport.test][diffexport.test] made.

        Args:
            own: the test.
            given: what fixtures and parameters give to the factory, and which exporter or mode it is for.
        """
        from diffexport.errors import DiffexportError
        from diffexport.faces.api import as_case, case_options, explored, settings_for
        from diffexport.values import InputScope, named_modes

        exporter, mode = given.pop(EXPORTER, None), given.get(MODE)
        selected = test_modes(model_test, self._request.config)
        modes = [one for one in selected if exporter in (None, one.exporter) and mode in (None, one)]
        try:
            model = model_test.build(
                {name: value for name, value in given.items() if name in model_test.parameters}
            )
            options = self._with_defaults(self._named(model_test, model))
            case = as_case(model, **case_options(options))
            _replay_stored(self._request, case, {one.exporter for one in modes}, model_test)
            texts = (options["modes"],) if isinstance(options["modes"], str) else options["modes"]
            named = named_modes(texts, configuration_of(self._request.config).matrices)
            settings = settings_for(
                # As many examples as in a run over all of them; an item has a part.
                len(selected),
                examples=options["examples"],
                seed=options["seed"],
                strict=options["strict"],
                limits=options["limits"],
                time=options["time"],
                rounds=options["rounds"],
                scope=InputScope(options["ordinary"], options["no_empty"], options["empty_examples"]),
                selected=None if named is None else selected,
            )
            with kept_journals(self._request.node):
                result = explored(case, modes, options["runtimes"], settings, save=options["save"])
        except DiffexportError as error:
            pytest.fail(str(error), pytrace=False)
        self._judge(result)

    def _named(self, model_test: ModelTest, model: Any) -> dict[str, Any]:
        """Return the options with the name of the case, and the target by which it is found again."""
        from diffexport.faces.api import name_of, relative
        from diffexport.subjects import catalogue
        from diffexport.subjects.cases import Case

        options, node = dict(model_test.options), self._request.node
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
    ids_of_plugin = [str(callspec.params[name]) for name in (EXPORTER, MODE) if name in callspec.params]
    text = str(callspec.id)
    for own_id in ids_of_plugin:
        text = "" if text == own_id else text.removesuffix(f"-{own_id}")
    return text


def test_modes(model_test: ModelTest, config: pytest.Config) -> tuple[Mode, ...]:
    """Return the modes a test of a model is for: its own, of those that the command line selects; else the selected."""
    from diffexport.values import select_modes

    matrices = configuration_of(config).matrices
    selected = select_modes(texts_of(config), matrices)
    texts = model_test.options.get("modes")
    if texts is None:
        return selected
    asked = select_modes((texts,) if isinstance(texts, str) else texts, matrices)
    return (
        tuple(mode for mode in asked if mode in selected) if config.getoption("--diffexport-modes") else asked
    )


test_modes.__test__ = False  # type: ignore[attr-defined]


def _replay_stored(
    request: pytest.FixtureRequest, case: Case, exporters: Container[str], model_test: ModelTest
) -> None:
    """Replay what is stored of a model that only its test can make: nobody else could."""
    folder = folder_of(request.config)
    if not model_test.parameters or not folder.is_dir():
        return
    from diffexport.explore import judge_file, tied_entries
    from diffexport.faces.api import stored_of

    tied = tied_entries((*case.known, *configuration_of(request.config).known))
    for path in stored_of(case, folder, exporters):
        judged = judge_file(path, tied, case, rules=rules_of(request.config))
        if not judged.as_expected:
            pytest.fail("\n".join(replayed_lines(judged)), pytrace=False)


def keep(item: pytest.Item, finding: Finding, store: FindingStore | None = None) -> None:
    """Put a finding on the report of a test; it is stored first, unless ``store`` has done or tried that before."""
    from diffexport.findings.regressions import FindingStore
    from diffexport.findings.reports import Tally, describe

    if store is None:
        store = FindingStore(folder_of(item.config))
        store.keep(finding)
    digest = finding.identity.digest
    lines = list(describe(finding, Tally(), store))
    item.user_properties.append(
        (PROPERTY, json.dumps({"digest": digest, "lines": lines}, ensure_ascii=False))
    )
