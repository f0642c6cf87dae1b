"""The cause of a finding: of an operator, an error, or a fact about the export as a whole."""

from __future__ import annotations

import re
from dataclasses import replace

from diffexport.explore.blame import Blame
from diffexport.explore.causes import CauseFinder, Sighting
from diffexport.explore.point import Point
from diffexport.explore.timekeeper import Timekeeper
from diffexport.findings.events import Finding
from diffexport.pipeline import Pipeline
from diffexport.subjects.cases import Case
from diffexport.values import Cause, CauseKind, Divergence, How, Kind, Mode, Stage, describe

#: What is no matter of an operator that gives a wrong value.
_WITHOUT = (Kind.CRASH, Kind.TIMEOUT, Kind.OUT_OF_MEMORY)
#: How runtimes say that they do not know an operator.
_UNKNOWN_OPERATOR = (
    re.compile(r"(?P<domain>[\w.]+):(?P<name>\w+)\([^()]*\) is not a registered"),
    re.compile(r"Node type '(?P<name>\w+)' from domain '(?P<domain>[\w.]*)' is unknown"),
)


#: A node, or an attribute of it, by its name: ``'/net/layers.0/Constant_4 : value'``.
_NODE = re.compile(r"'(?:[^'\s]*/)?(?P<kind>[A-Za-z]+)(?:_\d+)?(?P<attribute> : \w+)?'")


def without_node_names(message: str) -> str:
    """Return what onnx.checker says first, whichever node of a kind it is said of: names depend on the mode."""
    first = _NODE.sub(r"'\g<kind>\g<attribute>'", message.partition("\n")[0])
    return re.sub(r"\d+", "#", first)


class CauseMaker:
    """Says what the cause of a divergence is.

    Args:
        pipeline: exports and runs.
        case: the model under test.
        timekeeper: asked before each step that takes time.
    """

    def __init__(self, pipeline: Pipeline, case: Case, timekeeper: Timekeeper) -> None:
        self._pipeline, self._case = pipeline, case
        self._finder = CauseFinder(pipeline, case, timekeeper.check)

    def of(self, finding: Finding, blame: Blame | None) -> Cause | None:
        """Return the cause of a finding; None where it is not known.

        Raises:
            DeadlinePassed: there was no time for it.
        """
        point = Point(Mode.parse(finding.mode), finding.runtime, finding.inputs, finding.export_inputs)
        conversions = tuple(dict.fromkeys(describe(name).conversion for name in finding.exporters))
        if self._pipeline.same_in_every_mode:
            conversions = ("given",)
        return self.at(point, finding.divergence, conversions, blame)

    def at(
        self,
        point: Point,
        divergence: Divergence,
        conversions: tuple[str, ...] = (),
        blame: Blame | None = None,
    ) -> Cause | None:
        """Return the cause of what diverges at a point; see [of][].

        Args:
            point: where it was seen.
            divergence: what was seen.
            conversions: the ways of conversion that show it; empty where that was not looked for.
            blame: who is to blame; None where there was no vote.
        """
        if divergence.kind in _WITHOUT:
            return None
        if divergence.cause is not None:
            return replace(divergence.cause, conversions=conversions or divergence.cause.conversions)
        if divergence.stage.is_before_runtime and divergence.kind is not Kind.DECLARED_TYPE:
            is_of_checker = divergence.kind is Kind.CHECKER_ERROR
            says = without_node_names(divergence.message) if is_of_checker else divergence.signature
            return Cause(CauseKind.FACT, f"{divergence.kind} {says}", conversions=conversions)
        family = "" if blame is None else blame.family
        # A kernel is at fault whatever the way of conversion; without a vote it may be either.
        at_fault = () if family else conversions
        if divergence.stage is Stage.LOAD:
            invalid = self._invalid_graph(point)
            if invalid is not None:
                return self.at(point, invalid, conversions)
            return _of_error(divergence, family, at_fault)
        found = self._finder.first_departing(
            Sighting(point.mode, point.runtime, point.inputs, point.export_inputs, divergence)
        )
        if found is not None:
            step = found.step
            if found.how is How.BRANCH:
                # Whoever captures one run of the model bakes it in.
                at_fault, family = (), ""
            return Cause(CauseKind.OPERATOR, step.key, step.name, step.line, at_fault, family, how=found.how)
        if divergence.kind is Kind.RUN_ERROR:
            return _of_error(divergence, family, at_fault)
        if divergence.kind is Kind.DECLARED_TYPE:
            what = f"{divergence.kind} {divergence.signature} {divergence.where}"
            return Cause(CauseKind.FACT, what, conversions=conversions)
        return None

    def _invalid_graph(self, point: Point) -> Divergence | None:
        """Return what onnx.checker says against a graph, which a runtime then refuses, too."""
        exported = self._pipeline.export(self._case, point.mode, point.export_inputs, repeat=False)
        return next((one for one in exported.divergences if one.kind is Kind.CHECKER_ERROR), None)


def _of_error(divergence: Divergence, family: str, conversions: tuple[str, ...]) -> Cause:
    for pattern in _UNKNOWN_OPERATOR:
        found = pattern.search(divergence.message)
        if found is not None:
            operator = f"{found['domain']}::{found['name']}"
            return Cause(CauseKind.ERROR, f"unknown operator {operator}", operator, "", conversions, family)
    return Cause(CauseKind.ERROR, f"{divergence.stage}: {divergence.signature}", "", "", conversions, family)
