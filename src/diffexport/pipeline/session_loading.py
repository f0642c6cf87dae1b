"""From an exported model to a session of a runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from diffexport.backends import runtimes
from diffexport.chatter import captured
from diffexport.pipeline.bounded_cache import BoundedCache
from diffexport.pipeline.exports import Exported
from diffexport.processes import STEPS

#: Bytes that the models of all sessions may have that are remembered.
_MOST_BYTES = 512 << 20


class SessionLoader(Protocol):
    """Loads exported models into runtimes."""

    def load(self, exported: Exported, runtime: str) -> runtimes.Session | runtimes.LoadError:
        """Return the session, or why the runtime refuses the model."""


class CachingLoader:
    """Loads each model once for each runtime.

    Args:
        remembered: how many sessions to remember.
    """

    def __init__(self, remembered: int) -> None:
        self._sessions: BoundedCache[tuple[runtimes.Session | runtimes.LoadError, int]] = BoundedCache(
            remembered, most_bytes=_MOST_BYTES, bytes_of=lambda loaded: loaded[1]
        )

    def load(self, exported: Exported, runtime: str) -> runtimes.Session | runtimes.LoadError:
        """Load an exported model (memoised), or return why the runtime refuses it."""
        model = exported.export.model
        assert model is not None

        def load() -> tuple[runtimes.Session | runtimes.LoadError, int]:
            STEPS.begin("load", runtime=runtime)
            with captured():
                try:
                    loaded = runtimes.load(runtime, model, exported.export.files)
                    # A session holds the weights once more.
                    return loaded, exported.export.size
                except runtimes.LoadError as error:
                    return error, 0

        return self._sessions.get((exported.digest, runtime), load)[0]


class OrderingLoader:
    """Lets sessions give their outputs in another order, or not all of them.

    Args:
        loader: loads them.
        order: for each output that is compared, which of the model's it is.
    """

    def __init__(self, loader: SessionLoader, order: Sequence[int]) -> None:
        self._loader, self._order = loader, tuple(order)

    def load(self, exported: Exported, runtime: str) -> runtimes.Session | runtimes.LoadError:
        """Load the model; its session gives its outputs in the order they are compared in."""
        session = self._loader.load(exported, runtime)
        if isinstance(session, runtimes.LoadError) or self._order == tuple(range(len(session.outputs))):
            return session
        return _OrderedSession(session, self._order)


class _OrderedSession:
    """A session whose outputs come in another order, or not all of them."""

    def __init__(self, session: runtimes.Session, order: Sequence[int]) -> None:
        self._session, self._order = session, tuple(order)
        self.inputs = session.inputs
        self.outputs = tuple(session.outputs[number] for number in order)

    def run(self, feeds: Mapping[str, Any]) -> list[Any]:
        outputs = self._session.run(feeds)
        return [outputs[number] for number in self._order]
