"""The command line. Exit codes: 0 all as expected, 1 findings, 2 wrong use, 130 interrupted.

``--help``, ``list`` and ``modes`` answer at once: torch, onnx and Hypothesis are imported by the commands that
need them, when they need them.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Any

import click

from diffexport.errors import DiffexportError, UsageError, plain_text
from diffexport.faces.cli.early_process import target_process
from diffexport.faces.cli.interruptions import interruptible
from diffexport.faces.cli.limit_options import (
    budget_options,
    empty_examples_option,
    limit_options,
    scope_options,
    stored_options,
    weights_option,
)
from diffexport.faces.cli.option_types import (
    CHILD_JOBS,
    EXAMPLES,
    JOBS,
    PATH,
    PATTERN,
    REPORT_FILE,
    SAVE_FOLDER,
    SEED,
    TEXT,
    Seconds,
)
from diffexport.processes import forgive_standard_streams, lost_output
from diffexport.values import built_in_runtime_choices

INPUT_HELP = (
    "One for each argument: a tensor spec, e.g. 'float32[N, >=3]', or a strategy, e.g. 'just(0.5)'; by name: "
    "'mask=bool[B, N] mask'."
)
RUNTIME_HELP = f"One of {', '.join(built_in_runtime_choices())}, or of a package: see diffexport backends."
JOBS_HELP = "Worker processes; 0 imports and runs models in this one, which ends with them."
EPILOG = "Exit codes: 0 all as expected, 1 findings, 2 wrong use or not all tested, 130 interrupted."


RECORDED = click.option(
    "--recorded",
    type=PATH,
    metavar="FILE",
    help="Calls that diffexport record has seen; inputs that nothing declares are like theirs.",
)


FORMAT = click.option(
    "--format",
    "output",
    type=click.Choice(["text", "markdown"]),
    default="text",
    help="How the report is printed; with markdown, progress goes to standard error.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="diffexport")
def cli() -> None:
    """Does the ONNX export of a PyTorch model mean the same as the model itself?

    Exports models with autograd.Functions in every configured mode, runs them on generated inputs and compares
    with eager. What diverges is shrunk and kept as a regression.
    """


@cli.command(epilog=EPILOG)
@click.argument("targets", type=TEXT, nargs=-1, metavar="[CASE|GROUP|module:attr|file.py:attr]…")
@click.option(
    "--modes", type=TEXT, multiple=True, metavar="TEXT", help="Matrix, mode or mode pattern; may be repeated."
)
@click.option("--runtime", "runtimes", type=PATTERN, multiple=True, metavar="NAME", help=RUNTIME_HELP)
@click.option("--examples", type=EXAMPLES, help="Hypothesis examples for each mode.")
@click.option("--seed", type=SEED, help="The same seed gives the same run.")
@click.option("--profile", type=PATTERN, metavar="NAME", help="dev, ci, nightly or debug.")
@click.option("--input", "inputs", type=TEXT, multiple=True, metavar="TEXT", help=INPUT_HELP)
@RECORDED
@click.option("--json", "json_file", type=REPORT_FILE, help="Write a report.")
@FORMAT
@click.option("--save", "folder", type=SAVE_FOLDER, metavar="DIR", help="Where findings are kept.")
@click.option("--no-save", is_flag=True, help="Keep no regression files.")
@click.option(
    "--strict", is_flag=True, default=None, help="Let notes fail too: sign of zero, overflow, stale globals."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first new divergence.")
@click.option("--jobs", "-j", type=JOBS, help=JOBS_HELP)
@click.option("--verbose", "-v", is_flag=True, help="Show what exporters printed with each finding.")
@click.option("--resume", is_flag=True, help="Go on with what an earlier run of the same has done.")
@budget_options
@weights_option
@scope_options
@empty_examples_option
@limit_options
def run(targets: tuple[str, ...], **options: object) -> None:
    """Check cases in every configured mode: by default the catalogue's group seeds.

    GROUP is a group of the catalogue's cases (see diffexport list), or all.
    """
    # The time of a budget is that of the whole command, torch's import included.
    begun = time.monotonic()
    with target_process(targets, options) as process:
        from diffexport.faces.cli.run_command import run_command

        sys.exit(run_command(targets, process=process, begun=begun, **options))  # type: ignore[arg-type]


@cli.command(epilog=EPILOG)
@click.argument("model", type=PATH, metavar="MODEL.onnx")
@click.argument("target", type=TEXT, metavar="CASE|module:attr|file.py:attr")
@click.option("--runtime", "runtimes", type=PATTERN, multiple=True, metavar="NAME", help=RUNTIME_HELP)
@click.option("--examples", type=EXAMPLES, help="Hypothesis examples; 200 by default.")
@click.option("--seed", type=SEED, help="The same seed gives the same run.")
@click.option("--input", "inputs", type=TEXT, multiple=True, metavar="TEXT", help=INPUT_HELP)
@click.option(
    "--input-name",
    "input_names",
    type=PATTERN,
    multiple=True,
    metavar="[ARG=]NAME",
    help="Graph input that an argument (by name or number) goes to; otherwise by position.",
)
@click.option(
    "--output-name",
    "output_names",
    type=PATTERN,
    multiple=True,
    metavar="NAME",
    help="Graph outputs in the order of the model's; otherwise by position.",
)
@click.option("--mode", type=TEXT, metavar="MODE", help="How the file was exported; guessed otherwise.")
@click.option("--json", "json_file", type=REPORT_FILE, help="Write a report.")
@FORMAT
@click.option("--strict", is_flag=True, default=None, help="Let notes fail too: sign of zero, overflow.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first new divergence.")
@click.option("--jobs", "-j", type=click.IntRange(0, 1), default=1, help=JOBS_HELP)
@weights_option
@scope_options
@limit_options
def compare(model: Path, target: str, **options: object) -> None:
    """Compare an ONNX file that already exists with the model it is said to be of."""
    with target_process((target,), options) as process:
        from diffexport.faces.cli.compare_command import compare_command

        sys.exit(compare_command(model, target, process=process, **options))  # type: ignore[arg-type]


@cli.command(epilog=EPILOG)
@click.argument("targets", type=TEXT, nargs=-1, metavar="[CASE|GROUP|module:attr|file.py:attr]…")
@click.option(
    "--modes", type=TEXT, multiple=True, metavar="TEXT", help="Matrix, mode or mode pattern; may be repeated."
)
@click.option(
    "--runtime",
    "runtimes",
    type=PATTERN,
    multiple=True,
    metavar="NAME",
    help="By default ort-disabled and reference.",
)
@click.option("--examples", type=EXAMPLES, help="Hypothesis examples for each mutant; 200 by default.")
@click.option(
    "--most", type=EXAMPLES, help="Bugs to plant in each mode, drawn over all mutators and the graph."
)
@click.option(
    "--time", type=PATTERN, metavar="TIME", help="For planting and checking in each mode, such as 90s or 5m."
)
@click.option("--seed", type=SEED, help="The same seed gives the same run.")
@click.option("--input", "inputs", type=TEXT, multiple=True, metavar="TEXT", help=INPUT_HELP)
@click.option(
    "--only",
    type=PATTERN,
    multiple=True,
    metavar="PATTERN",
    help="Mutators to apply, by name; may be repeated.",
)
@click.option("--json", "json_file", type=REPORT_FILE, help="Write a report.")
@click.option("--strict", is_flag=True, default=None, help="Let notes fail too: sign of zero, overflow.")
@click.option("--jobs", "-j", type=JOBS, help=JOBS_HELP)
@click.option("--list", "listed", is_flag=True, help="Only list the mutators.")
@click.option("--resume", is_flag=True, help="Go on with what an earlier run of the same has done.")
@weights_option
@scope_options
@limit_options
def mutate(targets: tuple[str, ...], **options: object) -> None:
    """Plant bugs in exported models and see which the check catches.

    Equivalent changes are planted, too, which it must not report. By default in the catalogue's group seeds.
    """
    with target_process(targets, options) as process:
        from diffexport.faces.cli.mutate_command import mutate_command

        sys.exit(mutate_command(targets, process=process, **options))  # type: ignore[arg-type]


@cli.command(epilog=EPILOG)
@click.argument("places", type=TEXT, nargs=-1, required=True, metavar="PACKAGE|PATH…")
@click.option(
    "--only",
    type=PATTERN,
    multiple=True,
    metavar="PATTERN",
    help="Functions to examine, by name; may be repeated.",
)
@click.option(
    "--modes", type=TEXT, multiple=True, metavar="TEXT", help="Matrix, mode or mode pattern; may be repeated."
)
@click.option(
    "--runtime",
    "runtimes",
    type=PATTERN,
    multiple=True,
    metavar="NAME",
    help="By default ort-disabled and ort-all.",
)
@click.option("--examples", type=EXAMPLES, help="Hypothesis examples for each mode.")
@click.option("--seed", type=SEED, help="The same seed gives the same scan.")
@click.option(
    "--timeout",
    type=Seconds(1),
    default=60.0,
    show_default=True,
    help="Seconds for each Function.",
)
@click.option(
    "--placeholder",
    "placeholders",
    type=PATTERN,
    multiple=True,
    metavar="PATTERN",
    help="Functions whose meaning is their symbolic; may be repeated.",
)
@RECORDED
@click.option("--json", "json_file", type=REPORT_FILE, help="Write a report.")
@click.option("--save", "folder", type=SAVE_FOLDER, metavar="DIR", help="Where findings are kept.")
@click.option("--no-save", is_flag=True, help="Keep no regression files.")
@click.option(
    "--strict", is_flag=True, default=None, help="Let notes fail too: sign of zero, overflow, stale globals."
)
@click.option("--resume", is_flag=True, help="Leave out what an earlier scan of the same source has done.")
@click.option("--state", "state_file", type=REPORT_FILE, help="Where that is kept.")
@click.option("--jobs", "-j", type=CHILD_JOBS, help="Child processes.")
@click.option("--list", "listed", is_flag=True, help="Only list what is found in the source.")
def scan(places: tuple[str, ...], **options: object) -> None:
    """Find every autograd.Function of a package, work out how to call it, export it and compare."""
    from diffexport.faces.cli.scan_command import scan_command

    sys.exit(scan_command(places, **options))  # type: ignore[arg-type]


@cli.command(
    epilog="Exit codes: 0 something was recorded, 2 wrong use, or the command failed or called nothing.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("command", type=TEXT, nargs=-1, required=True, metavar="-- COMMAND [ARGUMENT]…")
@click.option(
    "--module",
    "modules",
    type=PATTERN,
    multiple=True,
    metavar="MODULE:CLASS",
    help="Modules to record besides every autograd.Function, such as 'package.layers:Attention' or 'package.*'.",
)
@click.option("--out", "file", type=REPORT_FILE, metavar="FILE", help="diffexport-recorded.json by default.")
def record(command: tuple[str, ...], **options: object) -> None:
    """Run a command, such as a script or a test suite, and record what autograd.Functions are called with.

    The calls are generalised over, and written to a file that run and scan take with --recorded.
    """
    from diffexport.faces.cli.record_command import record_command

    sys.exit(record_command(command, **options))  # type: ignore[arg-type]


@cli.command(name="list")
def list_cases() -> None:
    """List the built-in cases with the group of each."""
    from diffexport.subjects import catalogue

    width = max(map(len, catalogue.ENTRIES))
    broad = max(map(len, catalogue.GROUPS))
    for entry in catalogue.ENTRIES.values():
        given = ", ".join(entry.inputs)
        click.echo(f"{entry.name:<{width}}  {entry.group:<{broad}}  {given:<18}  {entry.summary}")


@cli.command()
def backends() -> None:
    """List the exporters and runtimes with the package each is from, and why one cannot be used."""
    from diffexport.faces.cli.backends_command import backends_command

    for line in backends_command():
        click.echo(line)


@cli.command()
@click.argument("texts", type=TEXT, nargs=-1, metavar="[MATRIX|MODE|PATTERN]…")
@click.option("--count", is_flag=True, help="Only say how many there are, per exporter.")
@click.option("--options", "show_options", is_flag=True, help="Show every option with its values.")
def modes(texts: tuple[str, ...], count: bool, show_options: bool) -> None:
    """List the modes of a matrix (default: the configured one)."""
    from collections import Counter

    from diffexport import config
    from diffexport.values import OPTIONS, select_modes

    if show_options:
        for option in OPTIONS:
            shown = ", ".join(
                str(value).lower() if isinstance(value, bool) else str(value) for value in option.values
            )
            click.echo(f"{option.name} = {shown}\n    {option.summary} ({', '.join(option.exporters)})")
        return
    loaded = config.load()
    chosen = select_modes(texts or loaded.modes or ("default",), loaded.matrices)
    if count:
        for exporter, number in Counter(mode.exporter for mode in chosen).items():
            click.echo(f"{exporter:<14} {number}")
        click.echo(f"{'together':<14} {len(chosen)}")
        return
    for mode in chosen:
        click.echo(str(mode))


@cli.command(epilog=EPILOG)
@click.argument("paths", nargs=-1, type=PATH, metavar="[FILE|FOLDER]…")
@click.option("--verbose", "-v", is_flag=True, help="Show both sides of what still diverges.")
@stored_options
@limit_options
def replay(
    paths: tuple[Path, ...], verbose: bool, allow_outside: bool, largest: str | None, **limits: Any
) -> None:
    """Replay stored regressions: FIXED, STILL DIVERGES or ERROR each."""
    from diffexport.faces.cli.replay_command import replay_command

    sys.exit(replay_command(paths, verbose, allow_outside=allow_outside, largest=largest, limits=limits))


@cli.command()
@click.argument("file", type=PATH)
@stored_options
@limit_options
def show(file: Path, allow_outside: bool, largest: str | None, **limits: Any) -> None:
    """Print a standalone script that reproduces a regression with torch, onnx and onnxruntime alone.

    Nothing of the file is executed for it.
    """
    from diffexport.faces.cli.replay_command import show_command

    click.echo(show_command(file, allow_outside=allow_outside, largest=largest, limits=limits), nl=False)


def main() -> None:
    """Run the command line; errors meant for people are printed without a traceback."""
    forgive_standard_streams()
    try:
        with interruptible():
            cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        with io.StringIO() as said:
            error.show(said)
            click.echo(plain_text(said.getvalue()), err=True, nl=False)
        sys.exit(2)
    except (UsageError, DiffexportError) as error:
        click.echo(plain_text(f"diffexport: {error}"), err=True)
        sys.exit(error.exit_code)
    except (OSError, MemoryError) as error:
        # Of the machine: the disk is full, the current folder is gone, there is no memory.
        click.echo(plain_text(f"diffexport: {_of_machine(error)}"), err=True)
        sys.exit(2)
    finally:
        lost = lost_output()
        if lost:
            click.echo(f"diffexport: standard output could not be written: {lost}", err=True)


def _of_machine(error: OSError | MemoryError) -> str:
    """Return in words what the machine would not do."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    place = f" ({error.filename})" if error.filename is not None else ""
    return f"{error.strerror or error}{place}"
