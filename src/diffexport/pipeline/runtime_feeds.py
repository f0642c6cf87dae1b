"""What the runtimes are fed with: the arrays of a sample, in the form that the exported graph asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from diffexport.arrays import Array, Feeds, array_of, as_parts, part_dtype
from diffexport.backends.graphs import Graph
from diffexport.pipeline.eager import EagerResult
from diffexport.pipeline.exports import Exported, Exports
from diffexport.subjects.cases import Case
from diffexport.values import Call, Inputs

#: Arrays by the names of the inputs that they go to.
Feed = dict[str, Array]


class SampleBatch:
    """Samples that go through the runtimes together.

    Attributes:
        exported: the export that they are run on.
        samples: the inputs, as they were given; eager accepts all of them.
        eager: what eager gives for each.
        outputs: eager's outputs for each.
    """

    def __init__(
        self,
        exported: Exported,
        samples: Sequence[Inputs],
        eager: Sequence[EagerResult],
        feeds: Sequence[Feed],
    ) -> None:
        self.exported, self.samples, self.eager = exported, samples, eager
        self.outputs = [result.outputs for result in eager]
        self._feeds = feeds
        self._fed: Sequence[Feed] | None = None
        self._alike: bool | None = None

    @property
    def graph(self) -> Graph:
        """The exported graph; there has to be one."""
        assert self.exported.graph is not None
        return self.exported.graph

    @property
    def fed(self) -> Sequence[Feed]:
        """The arrays of each sample by the names of the inputs that they go to, in the form the graph asks for."""
        if self._fed is None:
            self._fed = as_declared(self._feeds, self.graph)
        return self._fed

    @property
    def alike(self) -> bool:
        """Whether what is fed is of the same names, dtypes and shapes for all samples."""
        if self._alike is None:
            self._alike = are_alike(self.fed)
        return self._alike


class RuntimeFeeds:
    """Makes feeds for the exports of one case; what an example says of them is looked up once.

    Args:
        exports: says what feeds a model.
        case: the model under test.
    """

    def __init__(self, exports: Exports, case: Case) -> None:
        self._exports, self._case = exports, case
        self._last: tuple[Call, Feeds] | None = None

    def of(self, example: Call, samples: Sequence[Inputs], calls: Sequence[Call]) -> list[Feed]:
        """Return what to feed for each sample to a model that was exported on ``example``.

        Args:
            example: what the model was exported on.
            samples: the samples as they were given.
            calls: the same as calls, of tensors that eager may have written to where the sample is copied.
        """
        if self._last is None or self._last[0] is not example:
            self._last = example, self._exports.feeder(self._case, example)
        feeder = self._last[1]
        flat, count = feeder.flat, len(feeder.flat)
        feeds = []
        for inputs, call in zip(samples, calls, strict=True):
            if is_copied(inputs) and len(inputs) == count:
                feeds.append(dict(zip(flat, inputs, strict=True)))
            else:
                feeds.append({name: _arrays(leaf) for name, leaf in feeder.feeds(call).items()})
        return feeds


def is_copied(inputs: Inputs) -> TypeGuard[tuple[Array, ...]]:
    """Return whether a call of these has copies of them, laid out as they are."""
    if type(inputs) is not tuple:
        return False
    # Not by all(…), which makes a generator for every sample.
    for value in inputs:  # noqa: SIM110
        if type(value) is not np.ndarray or not value.flags.c_contiguous:
            return False
    return True


def are_alike(feeds: Sequence[Feed]) -> bool:
    """Return whether samples are arrays of the same names, dtypes and shapes."""
    types = {
        (*feed, *[(a.dtype, a.shape) if type(a) is np.ndarray else id(a) for a in feed.values()])
        for feed in feeds
    }
    return len(types) == 1


def as_declared(feeds: Sequence[Feed], graph: Graph) -> Sequence[Feed]:
    """Return what the graph asks for, sample by sample, unless it asks for what there is."""
    first = _as_declared(feeds[0], graph)
    as_it_is = first.keys() == feeds[0].keys() and all(first[name] is feeds[0][name] for name in first)
    if as_it_is and are_alike(feeds):
        return feeds
    return [_as_declared(feed, graph) for feed in feeds]


def _as_declared(feed: Feed, graph: Graph) -> Feed:
    """Return what the graph asks for.

    A Python number takes the dtype its input was declared with. A complex tensor is split into its parts where
    the input was declared as real, which is how the exporters built on ``torch.export`` declare every one.
    """
    wanted = {}
    for declared in graph.inputs:
        if declared.name not in feed:
            continue
        array = feed[declared.name]
        if not declared.single:
            wanted[declared.name] = array
            continue
        if declared.name.startswith("constant") and declared.dtype is not None:
            array = array.astype(declared.dtype)
        elif declared.dtype == part_dtype(array.dtype):
            array = as_parts(array)
        wanted[declared.name] = array
    return wanted


def _arrays(leaf: Any) -> Any:
    """Return what is fed for a leaf; for a sequence, a list of arrays."""
    return [array_of(item) for item in leaf] if isinstance(leaf, list) else np.asarray(array_of(leaf))
