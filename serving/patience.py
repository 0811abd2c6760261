"""HTTP with patience that ends: connections that say nothing, or never come to an end of their headers, are closed.

uvicorn itself waits for them for ever, and lets no more than so many connections in at once.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 15.0
"""How long the headers of a request may take."""

MOST_HEADER_BYTES = 64 * 2**10


class PatientProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Wait for a first request."""
        super().connection_made(transport)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the headers have grown beyond all measure."""
        super().data_received(data)
        if self._timer is not None:
            self._received += len(data)
            if self._received > MOST_HEADER_BYTES:
                self._give_up()

    def on_message_begin(self) -> None:
        """Wait for the headers of the next request on a connection that is kept."""
        super().on_message_begin()
        if self._timer is None:
            self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """The rest is up to the app, which has a limit of its own."""
        self._stop_waiting()
        super().on_headers_complete()

    def _wait_for_headers(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(HEADERS_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._stop_waiting()
        self.transport.close()
