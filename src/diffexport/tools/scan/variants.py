"""In which modes a Function is examined, and in what shape: as it is, behind a parameter, without its ``symbolic``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from diffexport.subjects.cases import RULES, Expectation, Expected, Rule, rule
from diffexport.values import Mode, in_order

#: Few, and each tells something of its own: both ways of capture, a graph with free dimensions, and what the
#: TorchScript exporter makes of a Function that it may not look into.
DEFAULT_MODES = (
    "torchscript",
    "torchscript,dynamic=true",
    "torchscript,autograd_inlining=false",
    "dynamo",
    "dynamo,dynamic=true",
    "dynamo-strict",
    "dynamo-strict,dynamic=true",
)
#: The lowest and the highest optimisation level of ONNX Runtime: what lies between costs more than it shows.
DEFAULT_RUNTIMES = ("ort-disabled", "ort-all")

#: Variants of a Function, with what they are.
AS_IS, PARAMETER, WITHOUT_SYMBOLIC = "as is", "behind a parameter", "without its symbolic"
FLAG = {AS_IS: (), PARAMETER: ("parameter",), WITHOUT_SYMBOLIC: ("without-symbolic",)}

#: Nobody promised that another person's Function can be exported: to be refused, loudly, is an answer.
RULES_OF_A_SCAN: tuple[Rule, ...] = (
    *(
        replace(
            known,
            expectation=replace(
                known.expectation,
                expected=Expected.MAY_REFUSE
                if known.expectation.expected is Expected.UNLOADABLE
                else known.expectation.expected,
                error="",
                nodes=(),
            ),
        )
        for known in RULES
    ),
    rule("a scan takes a refusal for an answer", "*", "may-refuse"),
)

EXPECTATION_OF_A_SCAN = Expectation(Expected.MAY_REFUSE)


def of_variant(variant: str, modes: Sequence[Mode], *, placeholder: bool = False) -> tuple[Mode, ...]:
    """Return the modes that a variant is examined in, out of those that were asked for.

    Behind a parameter, and with other values of arguments, it is the plainest mode of each exporter; without its
    ``symbolic`` those where it would count. A declared placeholder means what its ``symbolic`` says, which only exports
    that look into it can be held against.
    """
    ordered = sorted(modes, key=lambda mode: (not mode.description.is_cheap, mode.complexity))
    if variant not in (AS_IS, WITHOUT_SYMBOLIC):
        exporters = in_order(mode.exporter for mode in ordered)
        plainest = [next(mode for mode in ordered if mode.exporter == name) for name in exporters]
        return tuple(mode for mode in plainest if mode.description.ignores_symbolic or not placeholder)
    if variant == WITHOUT_SYMBOLIC:
        return tuple(
            mode for mode in ordered if not mode.description.ignores_symbolic and mode.autograd_inlining
        )
    return tuple(mode for mode in ordered if mode.description.ignores_symbolic or not placeholder)
