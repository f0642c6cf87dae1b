"""The entries of models.toml, as values."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from diffexport.subjects.cases import Exclusion, known, rule
from diffexport.subjects.targets import resolve
from diffexport.values import ModePattern

HERE = Path(__file__).parent
#: The repository: targets are stored relative to it.
ROOT = HERE.parents[1]
REGRESSIONS = HERE / "regressions"


@dataclass(frozen=True)
class Entry:
    """One model of the gallery.

    Attributes:
        file, attribute: where its factory is, below gallery/.
        inputs: texts, as on the command line.
        needs: a package that may be missing.
        functions: names of the autograd Functions that it applies.
        cheap: tested in every run of the tests.
        refuses: what exporters refuse to do with it: ``modes``, ``error`` and ``reason``.
        excludes: what is not run: ``modes`` and ``reason``.
        known: ids of the known divergences in known.toml that it shows.
        modes: those that it is tested in.
    """

    name: str
    file: str
    attribute: str
    inputs: tuple[str, ...]
    needs: str = ""
    functions: tuple[str, ...] = ()
    cheap: bool = False
    refuses: tuple[dict[str, str], ...] = ()
    excludes: tuple[dict[str, str], ...] = ()
    known: tuple[str, ...] = ()
    modes: tuple[str, ...] = (
        "dynamo",
        "dynamo,dynamic=true",
        "torchscript",
        "torchscript,dynamic=true",
    )

    @property
    def target(self):
        return f"{(HERE / 'gallery' / self.file).relative_to(ROOT).as_posix()}:{self.attribute}"

    def case(self):
        """Return the case, from the repository as working directory; what is refused are rules of it."""
        case = resolve(self.target, inputs=self.inputs)
        refusals = [
            rule(each["reason"], each["modes"], "refuses", error=each["error"]) for each in self.refuses
        ]
        left_out = [Exclusion(ModePattern.parse(each["modes"]), each["reason"]) for each in self.excludes]
        return replace(
            case,
            rules=(*refusals, *case.rules),
            known=(*case.known, *self.divergences()),
            exclude=(*case.exclude, *left_out),
        )

    def divergences(self):
        return [one for one in KNOWN if one.id in self.known]


def _entry(table):
    return Entry(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


KNOWN = known.load_known(HERE / "known.toml")
GALLERY = tuple(map(_entry, tomllib.loads((HERE / "models.toml").read_text(encoding="utf-8"))["model"]))
