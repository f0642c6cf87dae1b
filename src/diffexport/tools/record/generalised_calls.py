"""From the calls that were seen to what inputs are like: what varies is free, what does not is fixed.

Dimensions that had equal sizes in every call, and did not always have the same, share a name. Where the number of
dimensions varied, those that all calls have stay, and any number may stand before them. Integers are bounded by the
least and the greatest that were seen; floats where all that were seen lie in a range that says something: from 0 to 1,
or from 0 on.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffexport.infer.recorded import RecordedTarget
from diffexport.tools.record.argument_describer import OWN
from diffexport.values import DTYPES, Dim, TensorSpec

#: Names for dimensions, and for several of them at the front.
_NAMES, _LEAD = "NMKPQRSTUVW", "B"
#: From so many elements on, floats that lie in a range are taken to lie there always.
_ENOUGH = 16
#: Most values of an argument that is no tensor, and most other ways of calling.
_VALUES, _ALSO = 8, 5

#: A call: for each argument its name, empty where it is positional, and what was seen.
_Arguments = tuple[tuple[str, Mapping[str, Any]], ...]


def targets_of(processes: Sequence[Sequence[Mapping[str, Any]]], folder: Path) -> list[RecordedTarget]:
    """Return what was called, in the order in which it was first, from what each process wrote.

    Args:
        processes: the documents of each, see [call_recorder][diffexport.tools.record.call_recorder].
        folder: where the command was run; files in it are named from there.
    """
    merged: dict[str, _Seen] = {}
    for documents in processes:
        of_process: dict[int, Mapping[str, Any]] = {}
        calls: dict[tuple[int, int], Mapping[str, Any]] = {}
        for document in documents:
            if "target" in document:
                of_process[document["target"]["id"]] = document["target"]
            elif "call" in document:
                calls[document["of"], document["call"]] = document
        for number, target in of_process.items():
            seen = _Seen(target, folder)
            known = merged.setdefault(seen.target, seen)
            known.calls += target["calls"]
            known.seen += [call for (of, _), call in calls.items() if of == number]
    return [one.generalised() for one in merged.values()]


class _Seen:
    """One target with the calls of it."""

    def __init__(self, described: Mapping[str, Any], folder: Path) -> None:
        self._described, self.calls = described, 0
        self.seen: list[Mapping[str, Any]] = []
        self.problem = ""
        place, self._own = _place(described, folder)
        if not place:
            self.problem = "its module has no file, so that it cannot be imported again"
        name = described["qualname"]
        build = "" if described.get("build") is None else self._built(described["build"])
        self.target = f"{place or described['module'] or '__main__'}:{name}{build}"

    def _built(self, build: Mapping[str, Any]) -> str:
        """Return the arguments that a class was called with, in parentheses; nothing where there were none."""
        items = [("", value) for value in build.get("rest", ())] + list(build["named"].items())
        texts = []
        for name, value in items:
            if "lost" in value or "text" not in value:
                self.problem = (
                    f"it cannot be built again: argument {name or '*'} {value.get('lost', 'is a tensor')}"
                )
                return ""
            text = self._text(value)
            if not _is_literal(text):
                self.problem = (
                    f"it cannot be built again: argument {name or '*'} is {text}, which is no literal"
                )
                return ""
            texts.append(f"{name}={text}" if name else text)
        if build.get("rest") and build["named"]:
            # Those before them are positional, too, and would have to stand first.
            names = list(build["named"])
            texts = [self._text(build["named"][name]) for name in names] + [
                self._text(v) for v in build["rest"]
            ]
        return f"({', '.join(texts)})" if texts else ""

    def _text(self, value: Mapping[str, Any]) -> str:
        return str(value["text"]).replace(f"{OWN}.", f"{self._own}.")

    def generalised(self) -> RecordedTarget:
        groups: dict[Any, list[tuple[_Arguments, int]]] = {}
        for call in self.seen:
            arguments = self._arguments(call)
            groups.setdefault(_form(arguments), []).append((arguments, int(call["times"])))
        ordered = sorted(groups.values(), key=lambda group: -sum(times for _, times in group))
        callable_ones = [group for group in ordered if not _lost(group)]
        problem, notes = self.problem, []
        if not problem and not callable_ones:
            problem = (
                f"it cannot be called again: {_lost(ordered[0]) if ordered else 'no call of it was kept'}"
            )
        main = callable_ones[0] if callable_ones else ordered[0] if ordered else []
        inputs = () if problem else self._inputs(main)
        also = [] if problem else [self._inputs(group) for group in callable_ones[1 : _ALSO + 1]]
        if problem == "" and len(callable_ones) < len(ordered):
            notes.append(f"other calls cannot be made again: {_lost(next(g for g in ordered if _lost(g)))}")
        if inputs and sum(times for _, times in main) == 1:
            notes.append(
                "one call was seen, so that every size is fixed; record more of them, or edit the inputs"
            )
        notes += _layout_notes(main)
        return RecordedTarget(
            self.target,
            self._described["kind"],
            self._described["file"],
            self._described["qualname"],
            self.calls,
            inputs,
            tuple(dict.fromkeys(texts for texts in also if texts != inputs)),
            self._names(main),
            problem,
            tuple(notes),
            tuple(self._observed(main)),
        )

    def _arguments(self, call: Mapping[str, Any]) -> _Arguments:
        """Return the arguments of a call, by position as far as they can be; others keep their names."""
        parameters = [(name, kind, default) for name, kind, default in self._described.get("parameters", ())]
        positional = [one for one in parameters if one[1] in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD")]
        arguments: list[tuple[str, Mapping[str, Any]]] = [("", value) for value in call["args"]]
        left = dict(call["kwargs"])
        while left and len(arguments) < len(positional):
            name, _, default = positional[len(arguments)]
            if name in left:
                arguments.append(("", left.pop(name)))
            elif default and any(later in left for later, _, _ in positional[len(arguments) :]):
                arguments.append(("", {"text": default}))
            else:
                break
        return (*arguments, *left.items())

    def _names(self, group: Sequence[tuple[_Arguments, int]]) -> tuple[str, ...]:
        declared = [
            name for name, kind, _ in self._described.get("parameters", ()) if not kind.startswith("VAR")
        ]
        arguments = group[0][0] if group else ()
        return tuple(
            name or (declared[place] if place < len(declared) else "")
            for place, (name, _) in enumerate(arguments)
        )

    def _observed(self, group: Sequence[tuple[_Arguments, int]]) -> Iterator[Mapping[str, Any]]:
        """Yield for each argument what was seen of it."""
        for place, (name, first) in enumerate(group[0][0] if group else ()):
            told: dict[str, Any] = {"name": name} if name else {}
            if "lost" in first:
                yield {**told, "lost": first["lost"]}
            elif "text" in first:
                values = Counter[str]()
                for arguments, times in group:
                    values[self._text(arguments[place][1])] += times
                yield {**told, "values": dict(values.most_common(_VALUES))}
            else:
                of_place = [arguments[place][1] for arguments, _ in group]
                tensors = [
                    one for value in of_place for one in value.get("tensors", (value,)) if "dtype" in one
                ]
                yield {**told, **_observed_tensors(tensors)} if tensors else told

    def _inputs(self, group: Sequence[tuple[_Arguments, int]]) -> tuple[str, ...]:
        """Return a text for each argument of calls of one form."""
        specs = _specs(group)
        # The values that were seen together most often come first.
        by_times = sorted(group, key=lambda one: -one[1])
        texts = []
        for place, (name, first) in enumerate(group[0][0]):
            if "tensors" in first:
                parts = [specs[place, number] for number in range(len(first["tensors"]))]
                text = f"tuples({', '.join(f'arrays({str(spec)!r})' for spec in parts)})"
            elif "dtype" in first:
                text = str(specs[place, 0])
            else:
                values = list(dict.fromkeys(self._text(arguments[place][1]) for arguments, _ in by_times))
                text = _values_text(values)
            texts.append(f"{name}={text}" if name else text)
        return tuple(texts)


def _place(described: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    """Return the module or file of a target, and how its own names are preceded in texts."""
    module, file = str(described["module"]), str(described["file"])
    path = Path(file) if file else None
    if path is None or not path.is_file():
        return "", module
    if module and path.is_relative_to(folder):
        parts = path.relative_to(folder).with_suffix("").parts
        dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if dotted == module:
            return module, module
    if module and ("site-packages" in path.parts or not path.is_relative_to(folder)):
        return module, module
    inside = path.relative_to(folder) if path.is_relative_to(folder) else path
    return inside.as_posix(), path.stem


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _form(arguments: _Arguments) -> tuple[Any, ...]:
    """Return what calls have in common that are generalised together: kinds of arguments and dtypes."""
    return tuple((name, *_kind(value)) for name, value in arguments)


def _kind(value: Mapping[str, Any]) -> tuple[Any, ...]:
    if "tensors" in value:
        return ("tensors", value["kind"], *(_kind(one) for one in value["tensors"]))
    if "dtype" in value:
        return ("tensor", value["dtype"])
    return ("lost", value["lost"]) if "lost" in value else ("value",)


def _lost(group: Sequence[tuple[_Arguments, int]]) -> str:
    """Return which argument of calls of one form cannot be had again, and why; empty if all can."""
    for place, (name, value) in enumerate(group[0][0]):
        for one in value.get("tensors", (value,)):
            if "lost" in one:
                return f"argument {name or place} {one['lost']}"
            if one.get("dtype", DTYPES[0]) not in DTYPES:
                return f"argument {name or place} is a tensor of {one['dtype']}, which cannot be generated"
        if value.get("kind") == "list":
            return f"argument {name or place} is a list of tensors, which has no text"
    return ""


def _tensors(arguments: _Arguments) -> Iterator[tuple[tuple[int, int], Mapping[str, Any]]]:
    """Yield the tensors of a call, each with its place: of the argument, and among the tensors of that."""
    for place, (_, value) in enumerate(arguments):
        for number, one in enumerate(value.get("tensors", (value,))):
            if "dtype" in one:
                yield (place, number), one


def _specs(group: Sequence[tuple[_Arguments, int]]) -> dict[tuple[int, int], TensorSpec]:
    """Return the spec of each tensor in calls of one form."""
    calls = [dict(_tensors(arguments)) for arguments, _ in group]
    kept = {place: min(len(call[place]["shape"]) for call in calls) for place in calls[0]}
    varying = {place for place in kept if any(len(call[place]["shape"]) > kept[place] for call in calls)}
    columns = {
        (place, axis): tuple(
            call[place]["shape"][len(call[place]["shape"]) - kept[place] + axis] for call in calls
        )
        for place in kept
        for axis in range(kept[place])
    }
    counts = Counter(column for column in columns.values() if len(set(column)) > 1)
    free = iter(_NAMES)
    names = {
        column: next(free, f"D{number}")
        for number, column in enumerate(dict.fromkeys(columns.values()))
        if counts[column] > 1
    }
    leads = _leads(calls, kept, varying)
    specs = {}
    for place in kept:
        dims = tuple(
            _dim(columns[place, axis], names.get(columns[place, axis])) for axis in range(kept[place])
        )
        dtype = calls[0][place]["dtype"]
        low, high = _bounds(dtype, [call[place] for call in calls])
        specs[place] = TensorSpec(dtype, dims, place in varying, low=low, high=high, lead=leads.get(place))
    return specs


def _dim(sizes: Sequence[int], name: str | None) -> Dim:
    if len(set(sizes)) == 1:
        return Dim(sizes[0], sizes[0])
    return Dim(min(min(sizes), 1), None, name)


def _leads(
    calls: Sequence[Mapping[tuple[int, int], Mapping[str, Any]]],
    kept: Mapping[tuple[int, int], int],
    varying: set[tuple[int, int]],
) -> dict[tuple[int, int], str]:
    """Return names for the dimensions at the front of tensors that had the same ones there in every call."""
    fronts: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for place in sorted(varying):
        front = tuple(
            tuple(call[place]["shape"][: len(call[place]["shape"]) - kept[place]]) for call in calls
        )
        fronts.setdefault(front, []).append(place)
    names: dict[tuple[int, int], str] = {}
    shared = [places for places in fronts.values() if len(places) > 1]
    for number, places in enumerate(shared):
        names.update(dict.fromkeys(places, _LEAD if number == 0 else f"{_LEAD}{number}"))
    return names


def _bounds(dtype: str, tensors: Sequence[Mapping[str, Any]]) -> tuple[float | None, float | None]:
    """Return the bounds that the values that were seen speak for."""
    looked_at = [one for one in tensors if "low" in one]
    if not looked_at or dtype == "bool" or "complex" in dtype:
        return None, None
    low, high = min(one["low"] for one in looked_at), max(one["high"] for one in looked_at)
    if dtype.startswith(("int", "uint")):
        return low, high
    enough = sum(one["seen"] for one in looked_at) >= _ENOUGH
    if not enough or low < 0 or any(one.get("strange") for one in tensors):
        return None, None
    if high <= 1:
        return 0, 1
    return (_rounded(low, up=False) if low > 0 else 0), _rounded(high, up=True)


def _rounded(value: float, *, up: bool) -> float:
    """Return a number of one digit that is not less than ``value``, or not greater."""
    if value == 0:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(abs(value)))
    return float(f"{(math.ceil if up else math.floor)(value / unit) * unit:.12g}")


def _values_text(texts: Sequence[str]) -> str:
    """Return the strategy for an argument that is no tensor, of the texts of its values, most frequent first."""
    if len(texts) == 1:
        return "none()" if texts[0] == "None" else f"just({texts[0]})"
    return f"sampled_from([{', '.join(texts[:_VALUES])}])"


def _layout_notes(group: Sequence[tuple[_Arguments, int]]) -> Iterator[str]:
    seen: dict[tuple[int, int], list[int]] = {}
    strange: dict[tuple[int, int], None] = {}
    for arguments, _ in group:
        for place, tensor in _tensors(arguments):
            if "strides" in tensor:
                seen.setdefault(place, tensor["strides"])
            if tensor.get("strange"):
                strange[place] = None
    for (argument, _), strides in seen.items():
        yield f"argument {argument} was not contiguous in some calls (strides {tuple(strides)})"
    for argument, _ in strange:
        yield f"argument {argument} held NaN or infinities in some calls"


def _observed_tensors(tensors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was seen of the tensors of one argument."""
    shapes = dict.fromkeys(tuple(one["shape"]) for one in tensors)
    told: dict[str, Any] = {
        "dtype": tensors[0]["dtype"],
        "shapes": [list(shape) for shape in shapes][:_VALUES],
        "requires_grad": any(one.get("requires_grad") for one in tensors),
    }
    strides = next((one["strides"] for one in tensors if "strides" in one), None)
    if strides is not None:
        told["strides"] = strides
    looked_at = [one for one in tensors if "low" in one]
    if looked_at:
        told["low"] = min(one["low"] for one in looked_at)
        told["high"] = max(one["high"] for one in looked_at)
    return told
