"""The prediction log: a writer that keeps what the service answered, without ever making an answer wait.

What it keeps, and how monitoring reads that, is in `monitoring/predictions.py`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

from sqlalchemy.exc import DataError, IntegrityError

from features.errors import ClipcastError, RegistryError
from features.safety import redact
from monitoring.predictions import (
    TABLES,
    Prediction,
    Role,
    as_row,
    forget_before,
    pack,
    predictions,
    read_predictions,
    unpack,
)
from registry.database import Database, insert_new

__all__ = [
    "LogState",
    "Prediction",
    "PredictionLog",
    "Role",
    "forget_before",
    "pack",
    "read_predictions",
    "unpack",
]

ROWS_A_TRANSACTION = 2_000
LOCK_TIMEOUT_S = 5.0
LONGEST_PAUSE_S = 5.0
"""How long the writer waits at most before it tries a database again that could not be written."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogState:
    """How the log does: rows that wait in memory, that were written, and that were given up since the start.

    `error` says why rows cannot be written just now, and `since` from when on that is so, in seconds since 1970.
    """

    waiting: int
    written: int
    dropped: int
    error: str | None
    since: float | None


class PredictionLog:
    """Predictions on their way into the database: `append` leaves them in memory, a thread writes them in batches.

    The thread starts with `start` (or `with`), and a row is written `flush_s` after it was appended at the latest.
    While the database is full, locked or away, rows wait, up to `capacity` of them and `capacity_bytes` of what was
    asked, read and answered; beyond that the oldest are given up and counted. What was written twice, because nobody
    heard that it was, is there once.
    """

    def __init__(
        self, uri: str, *, flush_s: float = 0.5, capacity: int = 200_000, capacity_bytes: int = 400 * 2**20
    ) -> None:
        self._uri, self._flush_s, self._capacity, self._capacity_bytes = uri, flush_s, capacity, capacity_bytes
        self._bytes = 0
        self._waiting: deque[Prediction] = deque()
        self._first = 0  # number of the oldest row that waits, of all that ever did
        self._written = self._dropped = 0
        self._error: str | None = None
        self._since: float | None = None
        self._told_dropped = 0
        self._overflowing = False
        self._closed = False
        self._lock = threading.Lock()  # of all of the above, never held while the database works
        self._ending = threading.Event()
        self._deadline = 0.0
        self._thread: threading.Thread | None = None
        self._database: Database | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def state(self) -> LogState:
        """How the log does at this moment."""
        with self._lock:
            return LogState(len(self._waiting), self._written, self._dropped, self._error, self._since)

    def start(self) -> None:
        """Start writing; a database that is away does not hold that up."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="prediction log", daemon=True)
            self._thread.start()

    def append(self, prediction: Prediction) -> None:
        """Leave a prediction to be written; this neither waits for the database nor fails with it."""
        with self._lock:
            if self._closed:
                self._dropped += 1
            else:
                self._waiting.append(prediction)
                self._bytes += _size(prediction)
                while len(self._waiting) > self._capacity or self._bytes > self._capacity_bytes:
                    self._bytes -= _size(self._waiting.popleft())
                    self._first += 1
                    self._dropped += 1
                return
        logger.error("prediction %s came after the log was closed, and is lost", prediction.id)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, for so long at most, and log how many rows could not be written; then take no more.

        Not from a signal's handler, which may have interrupted an `append`.
        """
        self._deadline = time.monotonic() + timeout_s
        self._ending.set()
        if self._waiting:
            self.start()
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._lock:
            self._closed = True
            lost, error = len(self._waiting), self._error
        if lost:
            logger.error("%d predictions are lost, not written within %g s: %s", lost, timeout_s, error or "too slow")

    def _work(self) -> None:
        failures = 0
        while True:
            ending = self._ending.wait(min(self._flush_s * 2**failures, LONGEST_PAUSE_S))
            failures = 0 if self._try() else min(failures + 1, 10)
            if ending and (not self._waiting or time.monotonic() > self._deadline):
                return
            if ending and failures:
                time.sleep(min(self._flush_s, 0.1))

    def _try(self) -> bool:
        """Write all that waits; answer whether that went well."""
        try:
            database = self._database = self._database or Database(self._uri, LOCK_TIMEOUT_S, TABLES)
            while rows := self._oldest():
                first, batch = rows
                self._take_away(first, len(batch), _write(database, batch))
        except Exception as error:  # noqa: BLE001  # whatever it was, the rows still wait, and must be tried again
            self._database = None  # its tables may have gone with it
            self._begin_trouble(error)
            return False
        else:
            self._end_trouble()
            return True
        finally:
            self._tell_dropped()

    def _oldest(self) -> tuple[int, list[Prediction]] | None:
        """The next rows to write, with the number of the first; they wait on until they are written."""
        with self._lock:
            batch = list(islice(self._waiting, ROWS_A_TRANSACTION))
            return (self._first, batch) if batch else None

    def _take_away(self, first: int, count: int, refused: int) -> None:
        """Note what became of rows; those written that were given up meanwhile were not lost after all."""
        with self._lock:
            given_up = min(self._first - first, count)
            for _ in range(count - given_up):
                self._bytes -= _size(self._waiting.popleft())
            self._first += count - given_up
            self._written += count - refused
            self._dropped += refused - given_up
            self._told_dropped += refused

    def _begin_trouble(self, error: Exception) -> None:
        with self._lock:
            is_new = self._error is None
            self._error = _words(error)
            if is_new:
                self._since = time.time()
        if is_new:
            logger.warning("predictions wait in memory until they can be written: %s", self._error)

    def _end_trouble(self) -> None:
        with self._lock:
            since, self._error, self._since = self._since, None, None
        if since is not None:
            logger.warning("predictions are written again, after %.0f s", time.time() - since)

    def _tell_dropped(self) -> None:
        """Log when rows begin to be given up, and how many they were when that has ended."""
        with self._lock:
            dropped = self._dropped - self._told_dropped
            begins = dropped > 0 and not self._overflowing
            ends = self._overflowing and self._error is None
            self._overflowing = begins or (self._overflowing and not ends)
            if ends:
                self._told_dropped = self._dropped
        if begins:
            logger.error("the oldest predictions are given up: %d wait, which is as many as may", self._capacity)
        if ends:
            logger.error("%d predictions were given up while they could not be written", dropped)


def _write(database: Database, batch: Sequence[Prediction]) -> int:
    """Write rows, and return how many the database refused for themselves, which must not hold up the others."""
    try:
        with database.writing() as connection:
            insert_new(connection, predictions, map(as_row, batch))
    except (RegistryError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, RegistryError) and not isinstance(error.__cause__, DataError | IntegrityError):
            raise
        if len(batch) > 1:
            half = len(batch) // 2
            return _write(database, batch[:half]) + _write(database, batch[half:])
        logger.error("prediction %s can be kept by no database and is lost: %s", batch[0].id, _words(error))
        return 1
    return 0


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ClipcastError) else redact(f"{type(error).__name__}: {error}")


def _size(prediction: Prediction) -> int:
    return len(prediction.inputs) + len(prediction.features) + len(prediction.answer)
