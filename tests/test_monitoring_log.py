"""Every answer is logged once, whatever happens to the process or the database, and no answer waits for it."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from features.errors import RegistryError, SchemaError
from features.settings import Settings, schema_of
from monitoring import log as writer
from monitoring.log import (
    LogState,
    Prediction,
    PredictionLog,
    Role,
    forget_before,
    read_predictions,
    unpack,
)
from monitoring.predictions import READ, TABLES, accounts_of_split, metadata
from tests.postgres_world import Cluster
from tests.predictions_world import MODEL, NAMES, NOON, prediction

ROOT = Path(__file__).parents[1]
EVER = {"since": datetime(2020, 1, 1, tzinfo=UTC), "until": datetime(2100, 1, 1, tzinfo=UTC)}
FLUSH_S = 0.02


@pytest.fixture
def uri(database_uri: str, tmp_path: Path) -> str:
    """Where the log is by default: a file of the workspace, or a schema beside the ledger."""
    home = tmp_path / "home"
    if database_uri.startswith("sqlite"):
        return Settings.load(home=home).predictions_uri
    return Settings.load(home=home, database_uri=database_uri).predictions_uri


@pytest.fixture
def file_uri(tmp_path: Path) -> str:
    return Settings.load(home=tmp_path / "home").predictions_uri


def file_of(uri: str) -> Path:
    return Path(str(sa.make_url(uri).database))


def logged(uri: str, *predictions: Prediction) -> None:
    with PredictionLog(uri, flush_s=FLUSH_S) as log:
        for each in predictions:
            log.append(each)
    assert log.state == LogState(0, len(predictions), 0, None, None)


def numbers(uri: str) -> list[int]:
    """The numbers of all logged predictions, in order."""
    return sorted(int(number, 16) for number in read_predictions(uri, **EVER)["id"])


def wait_for(is_so: Callable[[], bool], timeout_s: float = 30.0) -> None:
    until = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < until, "this took too long"
        time.sleep(0.01)


def lines(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


@contextmanager
def connected(uri: str) -> Iterator[sa.Connection]:
    with sa.create_engine(uri, poolclass=sa.NullPool).begin() as connection:
        yield connection


@contextmanager
def locked(uri: str) -> Iterator[None]:
    """Write to the table from elsewhere without coming to an end."""
    with connected(uri) as connection:
        connection.exec_driver_sql(
            "UPDATE predictions SET cached = cached" if uri.startswith("sqlite") else "LOCK TABLE predictions"
        )
        yield


class Service:
    """A process that logs predictions, and tells their numbers in a file: a pipe would hold it up when it is full."""

    def __init__(self, uri: str, folder: Path, first: int, count: int = 1_000_000) -> None:
        self.said = folder / f"said from {first}"
        command = [sys.executable, "-m", "tests.predictions_world", uri, str(first), str(count)]
        with self.said.open("w") as said:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=said)

    def end(self, with_signal: signal.Signals | None = None) -> None:
        """Wait for its end, or bring it about."""
        if with_signal is not None:
            self.process.send_signal(with_signal)
        assert self.process.wait(60) == (-signal.SIGKILL if with_signal is signal.SIGKILL else 0)

    def told(self) -> dict[int, float]:
        """The numbers that it logged, and when; half a line at the end is none."""
        said = self.said.read_text()
        whole = said[: said.rfind("\n") + 1].splitlines()
        return {int(number): float(at) for number, at in (line.split() for line in whole)}


def test_what_is_logged_is_read_with_the_types_of_the_store(uri: str) -> None:
    logged(uri, prediction(1), prediction(2, role=Role.SHADOW, account_id="konto ü 😀"))
    rows = read_predictions(uri, **EVER)
    assert rows.schema == dict(READ)
    assert rows.row(1, named=True) == {
        "id": f"{2:032x}",
        "at": datetime(2026, 1, 1, 12, 0, 2, tzinfo=UTC),
        "role": "shadow",
        "model": MODEL,
        "version": 3,
        "semver": "1.2.0",
        "sha256": "a" * 64,
        "platform": "tiktok",
        "account_id": "konto ü 😀",
        "post_id": "post 2",
        "published_at": datetime(2026, 1, 1, 12, 0, 2, tzinfo=UTC),
        "inputs_sha256": "b" * 64,
        "inputs": b'{"caption":"a cat"}',
        "features": prediction(2).features,
        "answer": prediction(2).answer,
        "latency_ms": 1.25,
        "cached": True,
        "batch": None,
    }


def test_logged_features_come_back_bit_by_bit_under_their_names(uri: str) -> None:
    logged(uri, *(prediction(number) for number in range(3)))
    found = unpack(read_predictions(uri, **EVER), NAMES)
    assert found.columns == list(NAMES)
    assert found["hour"].to_list() == [0.0, 1.0, 2.0]
    assert found["caption_length"].to_list() == [0.1] * 3
    assert found["followers_log"].is_nan().all()
    assert unpack(read_predictions(uri, since=EVER["since"], until=EVER["since"]), NAMES).shape == (0, 3)


def test_features_of_another_version_are_refused_by_the_prediction(file_uri: str) -> None:
    logged(file_uri, prediction(7))
    with pytest.raises(SchemaError, match=rf"{7:032x} of {MODEL} version 3 has 3 logged features, and 2 were named"):
        unpack(read_predictions(file_uri, **EVER), NAMES[:2])


def test_reading_takes_the_start_leaves_the_end_and_picks_model_and_role(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.predictions.READ_AT_ONCE", 3)
    rows = [prediction(number) for number in (5, 3, 1, 4, 2)]
    logged(uri, *rows, prediction(3, role=Role.SHADOW, version=4), prediction(4, id="other", model="other"))
    noon = datetime.fromtimestamp(NOON, UTC)
    span = {"since": noon + timedelta(seconds=2), "until": noon + timedelta(seconds=5)}
    found = read_predictions(uri, **span)
    assert found["post_id"].to_list() == ["post 2", "post 3", "post 3", "post 4", "post 4"]
    assert found["at"].is_sorted()
    assert read_predictions(uri, **span, model=MODEL, role=Role.CHAMPION)["version"].to_list() == [3, 3, 3]
    assert read_predictions(uri, **span, role=Role.SHADOW)["version"].to_list() == [4]
    with pytest.raises(SchemaError, match="has no zone"):
        read_predictions(uri, since=noon.replace(tzinfo=None), until=noon)


def test_a_prediction_logged_twice_is_there_once_and_its_shadow_beside_it(uri: str) -> None:
    logged(uri, prediction(1), prediction(1, role=Role.SHADOW), prediction(2))
    logged(uri, prediction(1, latency_ms=9.0), prediction(3))
    rows = read_predictions(uri, **EVER)
    assert sorted(zip(rows["post_id"], rows["role"], rows["latency_ms"], strict=True)) == [
        ("post 1", "champion", 1.25),
        ("post 1", "shadow", 1.25),
        ("post 2", "champion", 1.25),
        ("post 3", "champion", 1.25),
    ]


def test_a_row_is_in_the_database_soon_after_it_was_appended(uri: str) -> None:
    with PredictionLog(uri) as log:
        log.append(prediction(1))
        wait_for(lambda: log.state.written == 1)
        appended = time.monotonic()
        log.append(prediction(2))
        wait_for(lambda: log.state.written == 2)
        assert time.monotonic() - appended < 1.5


def test_accounts_of_the_split_are_counted_once_and_lately(uri: str) -> None:
    days, own = 86_400, {"role": Role.CHALLENGER, "version": 4}
    at = {"old": NOON - 9 * days, "lately": NOON - days, "before": NOON - 3 * days}
    rows = [prediction(1, at=at["old"], account_id="moved"), prediction(2, at=at["old"], account_id="moved", **own)]
    rows += [prediction(10 + each, at=at["lately"], account_id=f"a{each}") for each in range(5)]
    rows += [prediction(20 + each, at=at["lately"] + each, account_id=f"c{each}", **own) for each in range(3)]
    rows += [prediction(30, at=at["lately"] + 1, account_id="c0"), prediction(31, at=at["lately"] + 1, account_id="")]
    rows += [prediction(40, at=at["before"], account_id="early"), prediction(41, at=NOON + days, account_id="late")]
    logged(uri, *rows)
    noon = datetime.fromtimestamp(NOON, UTC)
    assert accounts_of_split(uri, MODEL, noon - timedelta(days=2), noon) == (5, 3)
    assert accounts_of_split(uri, MODEL, noon - timedelta(days=30), noon) == (6, 4)
    assert accounts_of_split(uri, MODEL, noon - timedelta(hours=1), noon) is None


def test_nothing_is_touched_or_started_before_the_start(file_uri: str) -> None:
    before = threading.active_count()
    log = PredictionLog(file_uri)
    log.append(prediction(1))
    assert threading.active_count() == before
    assert not file_of(file_uri).exists()
    log.close()
    assert numbers(file_uri) == [1], "what waited was written at the end all the same"


def test_a_killed_process_loses_the_last_second_at_most_and_the_next_goes_on(uri: str, tmp_path: Path) -> None:
    logged(uri, prediction(0))  # the tables are made
    service = Service(uri, tmp_path, 0)
    wait_for(lambda: len(service.told()) > 0)
    time.sleep(2.2)
    killed = time.time()
    service.end(signal.SIGKILL)
    kept = numbers(uri)
    assert len(kept) > 500
    told = service.told()
    pauses = [after - before for before, after in itertools.pairwise(told.values())]
    safe = killed - 1.0 - 3 * max(pauses)  # a busy machine makes all of the process pause, its writer too
    assert {number for number, at in told.items() if at < safe} <= set(kept)
    assert kept == list(range(len(kept))), "a row is missing between rows that were kept"
    assert read_predictions(uri, **EVER)["answer"].unique().to_list() == [prediction(0).answer]
    Service(uri, tmp_path, 10_000_000, 300).end()
    assert numbers(uri) == [*kept, *range(10_000_000, 10_000_300)]


def test_a_process_that_is_told_to_end_under_load_loses_nothing(uri: str, tmp_path: Path) -> None:
    service = Service(uri, tmp_path, 0)
    wait_for(lambda: len(service.told()) > 1_500)
    service.end(signal.SIGTERM)
    told = set(service.told())
    assert set(numbers(uri)) >= told
    assert len(numbers(uri)) <= len(told) + 1, "the signal can come between a row and its word"


def test_two_processes_that_start_at_once_write_all_of_their_rows_each_once(uri: str, tmp_path: Path) -> None:
    for service in [Service(uri, tmp_path, 0, 1_500), Service(uri, tmp_path, 1_000, 1_500)]:
        service.end()
    assert numbers(uri) == list(range(2_500))


def test_no_append_waits_while_another_process_locks_the_database(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "LOCK_TIMEOUT_S", 0.2)
    waited = []
    with PredictionLog(uri, flush_s=FLUSH_S) as log:
        log.append(prediction(0))
        wait_for(lambda: log.state.written == 1)
        with locked(uri):
            for number in range(1, 1_001):
                started = time.perf_counter()
                log.append(prediction(number))
                waited.append(time.perf_counter() - started)
                time.sleep(0.001)
            wait_for(lambda: log.state.error is not None)
            state = log.state
            assert (state.waiting, state.written, state.dropped) == (1_000, 1, 0)
            assert "was locked by another process for more than 0.2 s" in str(state.error)
            assert 0 < time.time() - float(state.since or 0) < 60
        wait_for(lambda: log.state.written == 1_001)
        assert log.state.error is None
    assert sorted(waited)[-10] < 0.02, "a machine may pause once or twice, but not with every row"
    assert numbers(uri) == list(range(1_001))
    assert lines(caplog, "predictions wait in memory") == 1
    assert lines(caplog, "predictions are written again") == 1


@contextmanager
def file_gone(path: Path) -> Iterator[None]:
    """The folder of the database is away, and something else in its place."""
    path.parent.rename(path.parent.with_name("away"))
    path.parent.write_text("no folder")
    yield
    path.parent.unlink()
    path.parent.with_name("away").rename(path.parent)


@contextmanager
def server_gone(cluster: Cluster, database: str) -> Iterator[None]:
    """The database is cut off in the middle of its work, and found by nobody."""
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"  # noqa: S608
    cluster.sql("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    cluster.sql("postgres", kill)
    cluster.sql("postgres", f"ALTER DATABASE {database} RENAME TO {database}_away")
    yield
    cluster.sql("postgres", f"ALTER DATABASE {database}_away RENAME TO {database}")
    cluster.sql("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


def test_rows_wait_while_the_database_is_gone_and_are_written_once_when_it_is_back(
    uri: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    with PredictionLog(uri, flush_s=FLUSH_S) as log:
        log.append(prediction(0))
        wait_for(lambda: log.state.written == 1)
        gone = (
            file_gone(file_of(uri))
            if uri.startswith("sqlite")
            else server_gone(request.getfixturevalue("postgres"), str(sa.make_url(uri).database))
        )
        with gone:
            for number in range(1, 101):
                log.append(prediction(number))
            wait_for(lambda: log.state.error is not None)
            assert log.state.waiting == 100
        wait_for(lambda: log.state.written == 101)
    assert numbers(uri) == list(range(101))
    assert lines(caplog, "predictions wait in memory") == 1


def test_a_log_deleted_under_the_writer_is_made_anew(file_uri: str) -> None:
    with PredictionLog(file_uri, flush_s=FLUSH_S) as log:
        log.append(prediction(0))
        wait_for(lambda: log.state.written == 1)
        for left in file_of(file_uri).parent.iterdir():
            left.unlink()
        log.append(prediction(1))
        wait_for(lambda: log.state.written == 2)
    assert numbers(file_uri) == [1]


def test_rows_wait_on_a_full_disk_and_arrive_once_there_is_room(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"sqlite:///{small_disk}/predictions.db"
    with PredictionLog(uri, flush_s=FLUSH_S) as log:
        log.append(prediction(0))
        wait_for(lambda: log.state.written == 1)
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(32 * 2**20))
        for number in range(1, 2_001):
            log.append(prediction(number, answer=bytes(500)))
        wait_for(lambda: log.state.error is not None)
        assert log.state.waiting > 1_000
        assert "full" in str(log.state.error) or "No space" in str(log.state.error)
        filler.unlink()
        wait_for(lambda: not log.state.waiting)
    assert numbers(uri) == list(range(2_001))
    assert log.state.dropped == 0
    assert lines(caplog, "predictions wait in memory") == 1


def test_beyond_the_capacity_the_oldest_are_dropped_counted_and_told_once(
    file_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    file_of(file_uri).parent.parent.joinpath("home").write_text("no folder")
    log = PredictionLog(file_uri, flush_s=FLUSH_S, capacity=100)
    log.start()
    for number in range(150):
        log.append(prediction(number))
    wait_for(lambda: log.state.error is not None and lines(caplog, "are given up") == 1)
    assert (log.state.waiting, log.state.dropped) == (100, 50)
    log.append(prediction(150))
    file_of(file_uri).parent.unlink()
    wait_for(lambda: log.state.written == 100)
    log.close()
    assert numbers(file_uri) == list(range(51, 151))
    assert log.state == LogState(0, 100, 51, None, None)
    assert lines(caplog, "the oldest predictions are given up: 100 wait") == 1
    assert lines(caplog, "51 predictions were given up") == 1


def test_a_few_large_predictions_take_no_more_memory_than_many_small_ones(file_uri: str) -> None:
    log = PredictionLog(file_uri, capacity_bytes=1_000_000)
    for number in range(30):
        log.append(replace(prediction(number), inputs=b"x" * 100_000))
    assert 8 <= log.state.waiting < 10
    assert log.state.dropped == 30 - log.state.waiting
    log.close()
    assert numbers(file_uri)[-1] == 29


def test_a_row_that_was_given_up_while_it_was_being_written_is_no_loss(uri: str) -> None:
    logged(uri, prediction(1_000))
    log = PredictionLog(uri, flush_s=FLUSH_S, capacity=100)
    for number in range(100):
        log.append(prediction(number))
    with locked(uri):
        log.start()
        time.sleep(0.3)  # the rows are on their way
        for number in range(100, 130):
            log.append(prediction(number))
        assert log.state.dropped == 30
    wait_for(lambda: not log.state.waiting)
    log.close()
    kept = numbers(uri)[:-1]
    assert log.state == LogState(0, len(kept), 130 - len(kept), None, None)
    assert kept == list(range(130))


def test_what_no_database_keeps_holds_up_no_other_row(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    odd = prediction(1, account_id="nul\0 and half \ud83d", post_id="p\0")
    impossible = prediction(2, published_s=2**70)
    with PredictionLog(uri, flush_s=FLUSH_S) as log:
        for each in (prediction(0), odd, impossible, prediction(3)):
            log.append(each)
    assert log.state == LogState(0, 3, 1, None, None)
    rows = read_predictions(uri, **EVER)
    assert rows["post_id"].to_list() == ["post 0", "p\ufffd", "post 3"]
    assert rows["account_id"][1] == "nul\ufffd and half \ufffd"
    assert lines(caplog, f"{2:032x} can be kept by no database and is lost") == 1


def test_closing_says_how_many_rows_could_not_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "folder").write_text("no folder")
    log = PredictionLog(f"sqlite:///{tmp_path}/folder/log.db", flush_s=FLUSH_S)
    log.start()
    log.append(prediction(1))
    log.append(prediction(2))
    started = time.monotonic()
    log.close(timeout_s=0.5)
    assert 0.4 < time.monotonic() - started < 5
    assert lines(caplog, "2 predictions are lost, not written within 0.5 s") == 1
    log.append(prediction(3))
    assert (log.state.waiting, log.state.dropped) == (2, 1)
    assert lines(caplog, f"{3:032x} came after the log was closed") == 1


def test_no_word_about_the_log_shows_its_password(caplog: pytest.LogCaptureFixture) -> None:
    log = PredictionLog("postgresql+psycopg://user:kept-to-oneself@127.0.0.1:1/name", flush_s=FLUSH_S)
    log.start()
    log.append(prediction(1))
    wait_for(lambda: log.state.error is not None)
    log.close(timeout_s=0.2)
    assert "user:***@127.0.0.1:1/name cannot be used" in str(log.state.error)
    assert "CLIPCAST_PREDICTIONS_URI" in str(log.state.error)
    assert "kept-to-oneself" not in f"{caplog.text} {log.state}"


def test_the_file_is_its_users_alone_whatever_the_umask(file_uri: str) -> None:
    previous = os.umask(0)
    try:
        with PredictionLog(file_uri, flush_s=FLUSH_S) as log:
            log.append(prediction(1))
            wait_for(lambda: log.state.written == 1)
            with closing(sqlite3.connect(file_of(file_uri))) as other:
                other.execute("SELECT count(*) FROM predictions").fetchone()
                modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file_of(file_uri).parent.iterdir()}
    finally:
        os.umask(previous)
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}, modes


def test_what_is_forgotten_is_gone_from_the_table_and_the_file(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.predictions.FORGOTTEN_AT_ONCE", 3)
    logged(uri, *(prediction(number, inputs=f"secret wish {number}".encode()) for number in range(10)))
    assert forget_before(uri, datetime.fromtimestamp(NOON + 7, UTC)) == 7
    assert forget_before(uri, datetime.fromtimestamp(NOON + 7, UTC)) == 0
    assert numbers(uri) == [7, 8, 9]
    if uri.startswith("sqlite"):
        kept = b"".join(path.read_bytes() for path in file_of(uri).parent.iterdir())
        assert b"secret wish 6" not in kept
        assert b"secret wish 7" in kept


def test_the_migrations_make_the_table_that_the_code_reads_and_writes(uri: str) -> None:
    logged(uri, prediction(1))
    with connected(uri) as connection:
        options = {"version_table": TABLES.revision_table}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        connection.exec_driver_sql("DROP INDEX predictions_of_time")
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    assert len(found) == 1, "the comparison is blind"


def test_a_log_of_a_newer_clipcast_is_refused_with_what_to_do(uri: str) -> None:
    logged(uri, prediction(1))
    with connected(uri) as connection:
        connection.exec_driver_sql(f"UPDATE {TABLES.revision_table} SET version_num = 'p9999'")  # noqa: S608
    with pytest.raises(RegistryError, match=r"prediction log tables of version p9999.*CLIPCAST_PREDICTIONS_URI"):
        read_predictions(uri, **EVER)


def test_on_a_server_the_log_has_a_schema_of_its_own(uri: str) -> None:
    logged(uri, prediction(1))
    if schema_of(uri) is None:
        assert file_of(uri).name == "predictions.db"
        return
    with connected(uri) as connection:
        assert set(sa.inspect(connection).get_table_names("clipcast_predictions")) == {
            "predictions",
            "matured",
            "alerts",
            "looks",
            TABLES.revision_table,
        }
        assert sa.inspect(connection).get_table_names("public") == []


def test_a_log_that_is_there_is_opened_without_alembic_or_anything_heavy(file_uri: str) -> None:
    logged(file_uri, prediction(1))
    script = f"""
import sys
for name in ("alembic", "mlflow", "prefect", "torch", "pandas", "sklearn", "fastapi"):
    sys.modules[name] = None
from tests.predictions_world import prediction
from monitoring.log import PredictionLog
with PredictionLog({file_uri!r}) as log:
    log.append(prediction(2))
assert log.state.written == 1
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    assert numbers(file_uri) == [1, 2]


def test_more_rows_than_a_transaction_holds_do_not_wait_for_the_next_flush(
    file_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "ROWS_A_TRANSACTION", 10)
    with PredictionLog(file_uri, flush_s=0.5) as log:
        for number in range(100):
            log.append(prediction(number))
        wait_for(lambda: log.state.written == 100, timeout_s=3.0)
