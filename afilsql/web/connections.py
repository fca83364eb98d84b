"""The page's connections: no more than so many, and none that is kept without a word.

The page may run inside a worker, whose own connections need file descriptors as well.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections that are kept; those beyond are cut. Seconds within which the first request of one must have come.
MOST, SILENT_SECONDS = 250, 5.0


class Connection(H11Protocol):
    """One client's connection, as uvicorn makes it."""

    _first: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, or cut it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.abort()
        else:
            self._first = self.loop.call_later(SILENT_SECONDS, self._cut_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look after it no more."""
        if self._first is not None:
            self._first.cancel()
        super().connection_lost(exc)

    def _cut_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.abort()
