"""Addresses of databases and servers: made absolute, tried before anything waits for them, and locked."""

from __future__ import annotations

import socket
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from features.errors import MissingExtraError, RegistryError
from features.safety import mask, redact
from features.settings import schema_of
from registry.database import ADVISORY_LOCK, make_schema

CONNECT_TIMEOUT_S = 5.0
MAKING_TIMEOUT_S = 300

_SQLITE = "sqlite:///"
_PORTS = {"http": 80, "https": 443, "postgresql": 5432}


def absolute(uri: str) -> str:
    """The address of a SQLite file with its whole path, so that it means the same in any folder.

    >>> absolute("sqlite:////data/mlflow.db"), absolute("postgresql+psycopg://host/name")
    ('sqlite:////data/mlflow.db', 'postgresql+psycopg://host/name')
    """
    if not uri.startswith(_SQLITE):
        return uri
    return _SQLITE + str(Path(uri.removeprefix(_SQLITE)).absolute())


def new_file(uri: str) -> Path | None:
    """Where to make the tables of a SQLite file that is not there or empty; None for any other address.

    Migrations are no transaction: what is made elsewhere and then renamed cannot be left half-made by a kill.
    """
    if not uri.startswith(_SQLITE):
        return None
    path = Path(uri.removeprefix(_SQLITE))
    if path.exists() and path.stat().st_size:
        return None
    for left in path.parent.glob(f".{path.name}.new-*"):
        left.unlink()
    return path.with_name(f".{path.name}.new-{uuid.uuid4().hex}")  # MLflow holds on to files it has once opened


@contextmanager
def making_tables(uri: str, lock_file: Path, setting: str) -> Iterator[None]:
    """Hold the lock under which a tool makes or migrates its tables at an address, and make the schema it names.

    The lock is the server's on PostgreSQL, where machines meet that share no folder, lies beside a SQLite file, which
    workspaces may share, and is `lock_file` elsewhere.

    Raises
    ------
    RegistryError
        Nothing answers at the address, or not to us; the variable to look at is `setting`.
    """
    check_reachable(uri, setting)
    if uri.startswith("postgresql"):
        with _server_lock(uri, setting):
            yield
        return
    try:
        from filelock import FileLock
    except ImportError as error:
        raise MissingExtraError("filelock", "pipeline") from error
    if uri.startswith(_SQLITE):
        shared = Path(uri.removeprefix(_SQLITE))
        lock_file = shared.with_name(f".{shared.name}.lock")
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock_file):
        yield


def check_reachable(uri: str, setting: str) -> None:
    """Raise at once when nothing answers at an address; libraries would try again for minutes."""
    parts = urlsplit(uri)
    if uri.startswith(_SQLITE):
        _check_file(Path(uri.removeprefix(_SQLITE)), setting)
    elif parts.hostname is not None:
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if port is not None:
            _check_port(uri, parts.hostname, port, setting)


@contextmanager
def _server_lock(uri: str, setting: str) -> Iterator[None]:
    """Hold an advisory lock of a PostgreSQL server; it ends with its connection, also when this process is killed."""
    try:
        engine = sa.create_engine(uri, poolclass=sa.NullPool, connect_args={"connect_timeout": int(CONNECT_TIMEOUT_S)})
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    except ImportError as error:
        raise MissingExtraError("psycopg", "postgres") from error
    except SQLAlchemyError as error:
        raise _unusable(uri, setting, error) from error
    with connection:
        try:
            connection.execute(sa.text(f"SET lock_timeout = '{MAKING_TIMEOUT_S}s'"))
            connection.execute(sa.select(sa.func.pg_advisory_lock(ADVISORY_LOCK, zlib.crc32(setting.encode()) >> 1)))
            make_schema(connection, schema_of(uri))
        except SQLAlchemyError as error:
            raise _unusable(uri, setting, error) from error
        yield


def _unusable(uri: str, setting: str, error: SQLAlchemyError) -> RegistryError:
    cause = redact(str(getattr(error, "orig", error))).strip().partition("\n")[0]
    return RegistryError(f"{mask(uri)} cannot be used: {cause}; check {setting}")


def _check_file(path: Path, setting: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be written: {error.strerror}; check the folder, or set {setting}"
        ) from error


def _check_port(uri: str, host: str, port: int, setting: str) -> None:
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise RegistryError(
            f"nothing answers at {mask(uri)} ({host}, port {port}): {error}; "
            f"start what should answer there, or set {setting}"
        ) from error
