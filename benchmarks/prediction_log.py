"""What the prediction log costs a service, beside a bare `executemany` of the same rows with Python's sqlite3.

Processor time of `append`, of the thread that writes, and of what that thread does with Python's interpreter held,
which nobody else can use meanwhile; at most, for it is taken from writing the same rows again: SQLite, which works
without the interpreter, then only looks up each key. And the rows a second that are written beside a thread which
never stops to work in Python.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from monitoring.log import Prediction, PredictionLog, Role, pack
from monitoring.predictions import as_row, predictions

ROUNDS = 5
APPEND_AIM_US, HELD_AIM_US = 10.0, 15.0
FEATURES = 60


def make_predictions(count: int) -> list[Prediction]:
    """Predictions of posts with captions of some length; their bytes do not compress."""
    generator = np.random.default_rng(7)
    return [
        Prediction(
            id=uuid.uuid4().hex,
            at=1.7e9 + number / 1e3,
            role=Role.CHAMPION,
            model="clipcast-tiktok-performance",
            version=3,
            semver="1.2.0",
            sha256="a" * 64,
            platform="tiktok",
            account_id=f"account-{number % 997}",
            post_id=f"post-{number}",
            published_s=1_700_000_000 + number,
            inputs_sha256="b" * 64,
            inputs=generator.bytes(400),
            features=pack(generator.normal(size=FEATURES)),
            answer=generator.bytes(500),
            latency_ms=1.25,
            cached=False,
        )
        for number in range(count)
    ]


def bare_us(rows: Sequence[Prediction], file: Path) -> float:
    """Processor time a row of `executemany` in transactions as large as the log's, with the same table and safety."""
    tuples = [as_row(row) for row in rows]
    statement = f"INSERT INTO predictions VALUES ({', '.join('?' * len(tuples[0]))})"  # noqa: S608  # no value is in it
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")
        for part in (sa.schema.CreateTable(predictions), *map(sa.schema.CreateIndex, predictions.indexes)):
            connection.execute(str(part.compile(dialect=sqlite.dialect())))
        started = time.thread_time()
        for start in range(0, len(tuples), 2_000):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, tuples[start : start + 2_000])
            connection.execute("COMMIT")
        return (time.thread_time() - started) / len(tuples) * 1e6


def log_us(rows: Sequence[Prediction], uri: str) -> tuple[float, float]:
    """Processor time a row of `append`, and of the thread that writes."""
    log = PredictionLog(uri, flush_s=0.1)
    log.start()
    while log.state.written < 1:  # the tables are made
        log.append(rows[0])
        time.sleep(0.2)
    thread = next(thread for thread in threading.enumerate() if thread.name == "prediction log")
    clock = time.pthread_getcpuclockid(thread.ident or 0)
    started, written = time.thread_time(), time.clock_gettime(clock)
    for row in rows[1:]:
        log.append(row)
    appended = time.thread_time() - started
    while log.state.waiting:
        time.sleep(0.05)
    written = time.clock_gettime(clock) - written
    log.close()
    return appended / len(rows) * 1e6, written / len(rows) * 1e6


def rows_beside(rows: Sequence[Prediction], uri: str) -> float:
    """Rows a second that the log writes beside a thread which never gives the interpreter away by itself."""
    log = PredictionLog(uri, flush_s=0.01)
    for row in rows:
        log.append(row)
    seconds = busy_while(log.start, lambda: bool(log.state.waiting))
    log.close()
    return len(rows) / seconds


def bare_beside(rows: Sequence[Prediction], file: Path) -> float:
    """The same of `executemany`."""
    thread = threading.Thread(target=bare_us, args=(rows, file))
    return len(rows) / busy_while(thread.start, thread.is_alive)


def busy_while(start: Callable[[], None], is_at_work: Callable[[], bool]) -> float:
    """Start something, and return the seconds that it takes beside work that is all Python."""
    start()
    started, count = time.perf_counter(), 0
    while is_at_work():
        for _ in range(20_000):
            count += 1
    return time.perf_counter() - started


def main() -> None:
    """Measure on SQLite in a temporary folder, or on the database that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--uri", help="an empty database to write to, instead of a SQLite file")
    options = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(ROUNDS):
            folder = Path(temporary, str(number))
            folder.mkdir()
            rows, uri = make_predictions(options.rows), options.uri or f"sqlite:///{folder}/log.db"
            bare, log, again = bare_us(rows, folder / "bare.db"), log_us(rows, uri), log_us(rows, uri)
            few = make_predictions(options.rows // 10)
            beside = rows_beside(few, uri), bare_beside(few, folder / "beside.db")
            rounds.append((bare, *log, again[1], *beside))
            for left in folder.iterdir():
                left.unlink()
    bare, append, write, held, fast, slow = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{options.rows} rows of {FEATURES} features, median of {ROUNDS} rounds, {os.cpu_count()} cores")
    print(f"{'bare executemany':<28} {bare:>6.1f} µs a row")
    for name, value, aim in (
        ("append", append, APPEND_AIM_US),
        ("the log's thread", write, None),
        ("  holding the interpreter", held, HELD_AIM_US),
    ):
        verdict = "" if aim is None else f"; aim {aim:g} µs: {'met' if value < aim else 'MISSED'}"
        print(f"{name:<28} {value:>6.1f} µs a row, {value / bare:>4.2f} x bare{verdict}")
    print(f"{'beside a busy thread':<28} {fast:>6.0f} rows/s, {fast / slow:>4.1f} x bare ({slow:.0f} rows/s)")


if __name__ == "__main__":
    main()
