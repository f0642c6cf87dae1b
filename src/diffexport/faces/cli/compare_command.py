"""``diffexport compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from diffexport import config as configuration
from diffexport.backends import model_files as artefacts
from diffexport.backends.model_files import Artefact
from diffexport.backends.runtimes import witnesses
from diffexport.explore import RunPlan, Settings, TargetSession
from diffexport.faces.cli.chosen_runtimes import select_runtimes
from diffexport.faces.cli.limit_options import input_scope, step_limits, with_weights
from diffexport.faces.cli.run_command import limits_of, perform
from diffexport.findings.events import Finding
from diffexport.findings.regressions import FindingStore
from diffexport.findings.reports import Tally, quote, scope_options
from diffexport.infer.session import TargetProcess
from diffexport.strategies import canonical
from diffexport.values import Mode, Severity

#: One model costs no exports, so that all of the time is for samples: about 10,000 on each runtime.
EXAMPLES, BLOCK = 200, 64


def compare_command(
    model: Path,
    target: str,
    *,
    runtimes: Sequence[str] = (),
    examples: int | None = None,
    seed: int | None = None,
    inputs: Sequence[str] = (),
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
    mode: str | None = None,
    json_file: Path | None = None,
    strict: bool | None = None,
    fail_fast: bool = False,
    jobs: int = 1,
    output: str = "text",
    process: TargetProcess | None = None,
    **limits: Any,
) -> int:
    """Compare and report; returns the exit code.

    The target is imported in ``process``, by default in this one.

    Raises:
        UsageError: the file is no valid model, the target does not import, or their inputs do not fit each other.
    """
    loaded, specs = configuration.load(), canonical(inputs, [target])
    (target,) = with_weights((target,), limits.get("weights"))
    chosen = select_runtimes(runtimes or loaded.runtimes)
    steps = step_limits(loaded.steps, limits)
    read = partial(artefacts.read_model_apart, limits=steps) if jobs else artefacts.read_model
    artefact = read(model, mode=None if mode is None else Mode.parse(mode))
    with TargetSession(process) as asked:
        artefact = _mapped(artefact, target, asked, specs, input_names, output_names)
        facts = asked.facts(target, specs, artefact)
    plan = RunPlan(
        targets=(target,),
        modes=(artefact.mode,),
        runtimes=chosen,
        settings=_settings(
            loaded, witnesses(runtimes or loaded.runtimes), examples, seed, strict, fail_fast, limits
        ),
        profile="compare",
        inputs=specs,
        known=loaded.known,
        jobs=jobs,
        artefact=artefact,
        facts={target: facts},
    )
    words = ["diffexport", "compare", str(model), target]
    options = {"--input": specs, "--input-name": input_names, "--output-name": output_names}
    options |= {"--mode": [mode] if mode else []}
    words += [word for option, values in options.items() for value in values for word in (option, value)]
    return perform(plan, FindingStore(), _tally_of(words, plan), json_file, markdown=output == "markdown")


def _settings(
    loaded: configuration.Config,
    only_witnesses: tuple[str, ...],
    examples: int | None,
    seed: int | None,
    strict: bool | None,
    fail_fast: bool,
    limits: Mapping[str, Any],
) -> Settings:
    """Return how the model is compared: as the command line says, or is configured."""
    return Settings(
        examples=examples or EXAMPLES,
        block=BLOCK,
        seed=loaded.seed if seed is None else seed,
        strict=loaded.strict if strict is None else strict,
        scope=input_scope(loaded.scope, limits),
        steps=step_limits(loaded.steps, limits),
        limits=limits_of(fail_fast),
        witnesses=only_witnesses,
    )


def _tally_of(given: Sequence[str], plan: RunPlan) -> Tally:
    """Return a tally that shows findings again by what was given on the command line."""
    return Tally(partial(_command, given, plan.settings))


def _command(given: Sequence[str], settings: Settings, finding: Finding) -> str:
    """Return the shell line that shows a finding again, which begins with what was given."""
    words = [*given, "--runtime", finding.runtime]
    words += ["--examples", str(settings.examples), "--seed", str(settings.seed)]
    words += scope_options(settings.scope)
    noted = finding.divergence.severity is Severity.NOTE
    return " ".join(map(quote, [*words, *(["--strict"] if noted else [])]))


def _mapped(
    artefact: Artefact,
    target: str,
    asked: TargetSession,
    specs: Sequence[str],
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> Artefact:
    """Map graph inputs and outputs as the command line says."""
    if not input_names and not output_names:
        return artefact
    wanted = any("=" in name for name in input_names)
    parameters: tuple[str, ...] = ()
    if wanted:
        facts = asked.facts(target, specs, wants_parameters=True)
        if facts.lost:
            # The run says what became of it.
            return artefact
        parameters = facts.parameters
    graph = onnx.load_model_from_string(artefact.model).graph
    return replace(
        artefact,
        inputs=artefacts.choose_inputs(input_names, artefact.inputs, parameters),
        outputs=artefacts.choose_outputs(output_names, [value.name for value in graph.output]),
    )
