"""Reading a database for the page, which never waits for it long."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from features.errors import ClipcastError

KEEP_S = 5.0
"""How long what was read is shown before it is read again."""

PATIENCE_S = 2.0
"""How long the page waits for a database."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Read:
    """What was last read, when, and why it could not be read anew."""

    at: datetime | None = None
    problem: str | None = None


T = TypeVar("T", bound=Read)


class PatientReader(ABC, Generic[T]):
    """Reads the same again and again, one thread at a time, and tells what was known before where that takes long."""

    def __init__(self, what: str, nothing: T) -> None:
        self._what = what
        self._reading: asyncio.Task[None] | None = None
        self._again = 0.0
        self._read = nothing

    async def latest(self) -> T:
        """Return what there is, or what was known of it before with the reason."""
        if self._reading is None and time.monotonic() >= self._again:
            self._reading = asyncio.create_task(self._renew())
        if (reading := self._reading) is not None:
            await asyncio.wait({reading}, timeout=PATIENCE_S)
            if not reading.done():
                return replace(self._read, problem=f"{self._what} does not answer just now.")
            reading.result()
        return self._read

    async def _renew(self) -> None:
        try:
            self._read = await asyncio.to_thread(self._look)
        except ClipcastError as error:
            _log.warning("the page cannot show this: %s", error)
            self._read = replace(self._read, problem=f"{self._what} cannot be read just now.")
        finally:
            self._again = time.monotonic() + KEEP_S
            self._reading = None

    @abstractmethod
    def _look(self) -> T:
        """Read, in a thread; clipcast's own errors are told, others are defects."""
