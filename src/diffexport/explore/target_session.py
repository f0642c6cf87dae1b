"""Asks what targets are, in a child process, so that importing them can do no harm here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diffexport.errors import UsageError
from diffexport.explore.target_facts import TargetFacts, facts_of
from diffexport.infer.session import Inference, InferenceSession, ProcessGone, TargetProcess
from diffexport.subjects import catalogue
from diffexport.subjects.targets import is_catalogue_name, resolve
from diffexport.values import place_of

if TYPE_CHECKING:
    from diffexport.backends.model_files import Artefact


class TargetSession:
    """Says what targets are, and how they are called.

    Args:
        process: where they are imported; None asks in this process, which is for people who look for a fault.
    """

    def __init__(self, process: TargetProcess | None) -> None:
        self._process = process
        self._inference = InferenceSession(process=process)
        #: Modules whose import ended the process, or did not end, and what was said then.
        self._lost: dict[str, str] = {}

    def facts(
        self,
        target: str,
        inputs: Sequence[str] = (),
        artefact: Artefact | None = None,
        *,
        wants_parameters: bool = False,
    ) -> TargetFacts:
        """Return what there is to know of a target.

        Args:
            target: as text.
            inputs: tensor specs from the command line.
            artefact: a model that it is to be compared with.
            wants_parameters: the names of the parameters of its forward are asked for.

        Raises:
            UsageError: the name is wrong, its module raises an exception, or its inputs do not fit. What takes its
                process along or does not end is one of the facts instead.
        """
        if is_catalogue_name(target) and artefact is None and not wants_parameters:
            # No code but diffexport's own.
            if target not in catalogue.ENTRIES:
                resolve(target)
            return TargetFacts(target)
        facts = self._asked(target, inputs, artefact, wants_parameters)
        if facts.problem and not facts.lost:
            raise UsageError(facts.problem)
        return facts

    def _asked(
        self, target: str, inputs: Sequence[str], artefact: Artefact | None, wants_parameters: bool
    ) -> TargetFacts:
        if self._process is None or is_catalogue_name(target):
            facts = facts_of(target, inputs, artefact, wants_parameters)
            # Nothing was lost: it was this process that it was imported in.
            return TargetFacts(facts.name, problem=facts.problem) if facts.lost else facts
        place = place_of(target)
        if place in self._lost:
            return _lost(target, self._lost[place])
        try:
            told: TargetFacts = self._process.ask(facts_of, target, tuple(inputs), artefact, wants_parameters)
        except ProcessGone as gone:
            self._lost[place] = _what(gone, place, self._process.import_seconds)
            return _lost(target, self._lost[place])
        return told

    def infer(self, target: str) -> Inference:
        """Work out how to call what a target names; nothing that it does raises here."""
        return self._inference.infer(target)

    def close(self) -> None:
        """End the child process."""
        self._inference.close()

    def __enter__(self) -> TargetSession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _lost(target: str, what: str) -> TargetFacts:
    return TargetFacts(target, problem=f"target {target!r}: {what}", lost=True)


def _what(gone: ProcessGone, place: str, seconds: float) -> str:
    """Return in words what importing a module did to the process."""
    if gone.doing == "starting":
        return f"the process that is to import {place} does not start ({gone.how})"
    if gone.hung:
        return f"importing {place} does not end within {seconds:g} s (--import-timeout)"
    if gone.closed:
        return f"importing {place} closes the file descriptors of the process"
    return f"importing {place} ends the process ({gone.how})"
