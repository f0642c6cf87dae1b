"""Inference in this process: read, search, widen, look at what else the model does, and put it into words."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from diffexport.arrays import float_dtypes
from diffexport.chatter import captured
from diffexport.errors import TargetError
from diffexport.infer.evidence import (
    NUMBER,
    Choice,
    Library,
    Parameter,
    Shape,
    Site,
    Sites,
    SiteValue,
    Subject,
    Usage,
    around,
    choices,
    subject_of,
    usages,
)
from diffexport.infer.search import (
    AROUND,
    PER_CALL,
    Argument,
    Candidate,
    InferenceStatus,
    Prober,
    SearchResult,
    Space,
    announce,
    arguments_of,
    behaviour,
    restored,
    search,
    uses_process_group,
)
from diffexport.infer.session.inference import Inference
from diffexport.infer.widening import rewidened, widened
from diffexport.values import TensorSpec, counted

#: Most values of one argument that are shown.
_VALUES = 3
#: How much less likely than the likeliest a dtype of a tensor may be that is tested as well, and most of those.
_LIKELY, _ALTERNATIVES = 0.75, 3
#: How much less likely than None a tensor may be for an argument that may be left out, for a call with it to be tested.
_OPTIONAL = 2.0
#: Share of the time that the search may take; the rest is for widening.
_SEARCH = 0.6


def infer(
    model: Any,
    *,
    sites: Sequence[Site] = (),
    seconds: float = 10.0,
    per_call: float = PER_CALL,
    roots: Sequence[Path] | None = None,
    library: Library | None = None,
    skipped: frozenset[str] = frozenset(),
    name: str = "",
    target: str = "",
) -> Inference:
    """Work out how to call a model, in this process.

    Args:
        model: an ``autograd.Function``, or a ``torch.nn.Module`` (instance, class or factory).
        sites: its call sites, where they are known already.
        seconds: the longest it may take; native code that does not return is not interrupted.
        per_call: the longest a single call may take, in seconds.
        roots: files and folders whose source may call it; by default its package, or its file.
        library: their source, where it has been read already.
        skipped: candidates, in words, that are known to end the process.
        name: what it is called; by default its own name.
        target: the text by which another process finds it.
    """
    started = time.monotonic()
    with captured(), restored():
        try:
            subject = subject_of(model)
        except TargetError as error:
            status = (
                InferenceStatus.NO_MODEL
                if not callable(model) and not isinstance(model, torch.nn.Module)
                else InferenceStatus.REJECTED
            )
            return Inference(status, message=str(error), name=name or str(model), target=target, model=model)
        if not sites and subject.is_function:
            if library is None:
                library = Library(around(subject.owner) if roots is None else roots)
            sites = Sites(library).of(subject.owner)
        work = _Work(subject, sites, seconds - (time.monotonic() - started), per_call, skipped)
        inferred = work.inference()
    return Inference(
        **{
            **vars(inferred),
            "seconds": round(time.monotonic() - started, 3),
            "name": name or subject.name,
            "target": target,
            "model": model,
        }
    )


class _Work:
    def __init__(
        self,
        subject: Subject,
        sites: Sequence[Site],
        seconds: float,
        per_call: float,
        skipped: frozenset[str],
    ) -> None:
        self._subject, self._sites, self._skipped = subject, sites, skipped
        self._searcher = Prober(subject, max(seconds * _SEARCH, 0.1), per_call)
        self._seconds, self._per_call = seconds, per_call

    def inference(self) -> Inference:
        spaces = self._spaces()
        if not spaces:
            return Inference(
                InferenceStatus.NO_INPUTS,
                message=f"{self._subject.name}: its forward takes no argument, so that there "
                "is nothing to generate",
            )
        result = search(self._searcher, spaces, self._skipped)
        if result.candidate is None and result.foreign is not None:
            candidate, _, names = result.foreign
            texts, call = self._texts(candidate, names, {})
            return Inference(
                InferenceStatus.NON_TENSOR,
                texts,
                call,
                f"{self._subject.name} returns {self._foreign(result)}, no tensor",
                tried=self._searcher.tried,
            )
        if result.candidate is None:
            return self._failure(result)
        return self._success(result)

    def _foreign(self, result: SearchResult) -> str:
        assert result.foreign is not None
        return type(result.foreign[1].output).__name__

    def _spaces(self) -> list[Space]:
        """Return what may be tried, for each number of arguments."""
        parameters = self._subject.parameters
        fixed = [p for p in parameters if not p.variadic]
        least = max((n + 1 for n, p in enumerate(fixed) if p.required), default=0)
        seen = [len(site.arguments) for site in self._sites]
        numbers: dict[int, float] = {}
        if any(p.variadic for p in parameters):
            for number in seen:
                numbers.setdefault(number, 0.0)
            for extra, cost in ((2, NUMBER.two_more), (1, NUMBER.one_more), (3, NUMBER.three_more)):
                numbers.setdefault(len(fixed) + extra, cost)
            numbers.setdefault(least, NUMBER.none_more)
        else:
            if least:
                numbers[least] = 0.0
            for number in range(least + 1, len(fixed) + 1):
                numbers[number] = NUMBER.optional * (number - least) if least or number > 1 else 0.0
            numbers = {n: cost * (NUMBER.site_factor if n in seen else 1.0) for n, cost in numbers.items()}
        rest = [p for p in parameters if p.variadic]
        spaces = []
        for number, cost in sorted(numbers.items(), key=lambda item: item[1]):
            if number == 0:
                continue
            named = [
                *fixed,
                *(Parameter(f"{rest[0].name}{n}", variadic=True) for n in range(number - len(fixed)) if rest),
            ]
            if len(named) >= number:
                spaces.append(self._space(named[:number], cost))
        return spaces

    def _space(self, parameters: Sequence[Parameter], cost: float) -> Space:
        names = [p.name for p in parameters]
        owner = None if self._subject.is_function else self._subject.module
        evidence = usages(self._subject.tree, names, self._subject.globals, owner=owner)
        documentation = "\n".join(
            text for text in (inspect.getdoc(self._subject.forward), self._subject.owner.__doc__) if text
        )
        if not self._subject.is_function and names[0] in evidence:
            is_index_elsewhere = any("int64" in evidence[name].dtypes for name in names[1:])
            hinted(self._subject.module, evidence[names[0]], is_index=not is_index_elsewhere)
        choices_of = []
        for place, parameter in enumerate(parameters):
            known = [site.arguments[place] for site in self._sites if place < len(site.arguments)]
            given: list[SiteValue] = [one for one in known if one is not None]
            usage = evidence.get(parameter.name, Usage())
            found = choices(parameter, place, usage, given, documentation, self._subject)
            choices_of.append(tuple(self._of_its_dtype(choice) for choice in found))
        return Space(tuple(names), tuple(choices_of), tuple(evidence[name] for name in names), cost)

    def _of_its_dtype(self, choice: Choice) -> Choice:
        """Return a choice with tensors of the dtype that all parameters of the model have, in place of float32."""
        own = () if self._subject.is_function else float_dtypes(self._subject.module)
        if len(own) != 1 or not (choice.is_tensor or choice.count) or choice.dtype != "float32":
            return choice
        return replace(choice, dtype=own[0])

    def _success(self, result: SearchResult) -> Inference:
        candidate = result.candidate
        assert candidate is not None
        assert result.outcome is not None
        # What the search did not need is for what follows.
        spent = self._searcher.seconds
        prober = Prober(self._subject, max(self._seconds - spent, 0.3 * self._seconds), self._per_call)
        announce(AROUND)
        wide = widened(prober, candidate, as_it_is=AROUND in self._skipped)
        seen = behaviour(prober, lambda number: arguments_of(candidate, number))
        notes = [*wide.notes, *seen.notes]
        if not result.outcome.finite:
            notes.append("its outputs are not finite for any ordinary input that was tried")
        notes += self._others(result, candidate)
        texts, call = self._texts(candidate, result.names, wide.specs)
        others = list(self._alternatives(prober, result, candidate, wide.specs))
        others += self._with_optional(prober, candidate)
        sources = [a.choice.source for a in candidate if not a.choice.is_tensor]
        return Inference(
            seen.status,
            texts,
            call,
            alternatives=tuple(dict.fromkeys(other for other in others if other != texts)),
            notes=tuple(notes),
            tried=self._searcher.tried + prober.tried,
            source=", ".join(dict.fromkeys(sources)),
        )

    def _alternatives(
        self, prober: Prober, result: SearchResult, candidate: Candidate, specs: dict[int, TensorSpec]
    ) -> Iterator[tuple[str, ...]]:
        """Yield the texts of other calls that run and are nearly as likely: a mask of integers and one of floats."""
        space = next((s for s in self._spaces() if s.names == result.names), None)
        found = 0
        for place, argument in enumerate(candidate if space is not None else ()):
            assert space is not None
            likeliest = min(choice.cost for choice in space.choices[place])
            for choice in space.choices[place]:
                is_near = choice.is_tensor and choice.cost <= likeliest + _LIKELY
                if not (argument.choice.is_tensor and is_near) or choice.dtype == argument.choice.dtype:
                    continue
                other = (*candidate[:place], replace(argument, choice=choice), *candidate[place + 1 :])
                outcome = prober.call(arguments_of(other), copied=False)
                if found < _ALTERNATIVES and not prober.over and outcome.ran and outcome.tensors:
                    found += 1
                    yield self._texts(other, result.names, rewidened(prober, other, specs))[0]

    def _with_optional(self, prober: Prober, candidate: Candidate) -> Iterator[tuple[str, ...]]:
        """Yield the texts of a call that gives tensors for further arguments, whose default is None, if one runs."""
        space = max(self._spaces(), key=lambda each: len(each.choices), default=None)
        if space is None or len(space.choices) <= len(candidate):
            return
        shape = next((argument.shape for argument in candidate if argument.shape is not None), None)
        further: list[Argument] = []
        for choices_of_one in space.choices[len(candidate) :]:
            likely = [each for each in choices_of_one if each.cost <= choices_of_one[0].cost + _OPTIONAL]
            tensor = next((each for each in likely if each.is_tensor), None)
            is_none = choices_of_one[0].text == "None"
            further.append(
                Argument(tensor, shape) if is_none and tensor is not None else Argument(choices_of_one[0])
            )
        places = [place for place, argument in enumerate(further) if argument.choice.is_tensor]
        for given in dict.fromkeys((tuple(places), *((place,) for place in places))):
            none = [Argument(options[0]) for options in space.choices[len(candidate) :]]
            extended = (
                *candidate,
                *(further[n] if n in given else none[n] for n in range(max(given, default=-1) + 1)),
            )
            if not given or any(not each.choice.is_tensor and not each.choice.text for each in extended):
                continue
            for changed in _with_shapes(extended, len(candidate), shape):
                outcome = prober.call(arguments_of(changed), copied=False)
                if not prober.over and outcome.ran and outcome.tensors:
                    names = space.names[: len(changed)]
                    yield self._texts(changed, names, widened(prober, changed).specs)[0]
                    return

    def _others(self, result: SearchResult, candidate: Candidate) -> list[str]:
        """Return notes of the other values that call sites and annotations give for what are no tensors."""
        space = next((s for s in self._spaces() if s.names == result.names), None)
        notes = []
        for place, argument in enumerate(candidate if space is not None else ()):
            current = argument.choice
            if current.is_tensor or current.count or space is None:
                continue
            further = [
                choice.text
                for choice in space.choices[place]
                if choice.text not in ("", current.text)
                and choice.source.startswith(("call site", "annotation"))
            ]
            if further:
                notes.append(f"{result.names[place]} is also {', '.join(further[:_VALUES])} elsewhere")
        return notes

    def _texts(
        self,
        candidate: Candidate,
        names: Sequence[str],
        specs: dict[int, TensorSpec],
    ) -> tuple[tuple[str, ...], str]:
        """Return a text for each argument, and the call in one line."""
        texts, shown = [], []
        flat = iter(range(sum(argument.choice.count or 1 for argument in candidate)))
        for argument, name in zip(candidate, names, strict=True):
            choice = argument.choice
            of_it = [specs.get(next(flat)) for _ in range(choice.count or 1)]
            text = _text(argument, of_it)
            texts.append(text)
            shown.append(f"{name}: {text}" if choice.is_tensor or choice.count else text)
        return tuple(texts), self._subject.display(shown)

    def _failure(self, result: SearchResult) -> Inference:
        status = result.needs.most_common(1)[0][0] if result.needs else InferenceStatus.REJECTED
        if uses_process_group(self._subject) and status not in (
            InferenceStatus.NEEDS_CUDA,
            InferenceStatus.NEEDS_NATIVE,
        ):
            status = InferenceStatus.DISTRIBUTED
        elif self._searcher.slow and 2 * self._searcher.slow >= self._searcher.tried:
            status = InferenceStatus.TIMEOUT
        lacking = f"type object '{self._subject.owner.__name__}' has no attribute"
        signs = sum(
            n
            for said, n in result.errors.items()
            if lacking in said or said.startswith("NotImplementedError")
        )
        if not result.needs and 5 * signs > self._searcher.tried:
            status = InferenceStatus.ABSTRACT
        tried = self._searcher.tried
        said = [
            f"{reason} ({counted(count, 'time')}, first for {result.first.get(reason, 'it')})"
            for reason, count in result.errors.most_common(3)
        ]
        names = ", ".join(p.name for p in self._subject.parameters)
        declared = " ".join(
            "--input 'float32[...]'" if n == 0 else "--input 'just(0.5)'"
            for n in range(min(len(self._subject.parameters), 2))
        )
        message = (
            f"{self._subject.name}({names}): none of {counted(tried, 'call')} that were tried ran; "
            f"{'; '.join(said) or 'no candidate could be made'}. Declare one text for each argument, for instance "
            f"{declared}, or inputs=[…] in Python"
        )
        return Inference(status, message=message, tried=tried)


def _with_shapes(candidate: Candidate, count: int, shape: Shape | None) -> Iterator[Candidate]:
    """Yield a candidate with the tensors from the ``count``-th argument on in shapes that go with the first one's."""
    shapes = [shape] if shape is None else [shape, shape[:-1], shape[-1:], shape[1:], (shape[-1], shape[-1])]
    for one in dict.fromkeys(shapes if shape else [shape]):
        yield tuple(
            replace(argument, shape=one) if place >= count and argument.choice.is_tensor else argument
            for place, argument in enumerate(candidate)
        )


def hinted(module: torch.nn.Module, usage: Usage, *, is_index: bool) -> None:
    """Add what the first layer that has a name for it says of a module's first argument: ``Conv2d``, ``Embedding``.

    That it is an index is added where it may be one: no other argument is.
    """
    for layer in module.modules():
        name = type(layer).__name__
        spatial = re.search(r"(\d)d$", name)
        if spatial and not name.startswith(("BatchNorm1", "Dropout1")):
            usage.ranks.add(int(spatial[1]) + 2)
        elif name in ("Embedding", "EmbeddingBag"):
            usage.dtypes.update({"int64"} if is_index else ())
        elif name in ("LSTM", "GRU", "RNN", "MultiheadAttention"):
            usage.ranks.add(3)
        elif any(True for _ in layer.children()) or not any(True for _ in layer.parameters(recurse=False)):
            continue
        return


def _text(argument: Argument, specs: Sequence[TensorSpec | None]) -> str:
    """Return the text of one argument: a spec, several of them in a list or tuple, or a constant."""
    choice: Choice = argument.choice
    if not (choice.is_tensor or choice.count):
        return "none()" if choice.text == "None" else f"just({choice.text})"
    texts = [str(spec if spec is not None else TensorSpec(choice.dtype, (), True)) for spec in specs]
    if choice.is_tensor:
        return texts[0]
    if choice.is_list:
        return f"[{', '.join(texts)}]"
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"
