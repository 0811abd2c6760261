"""Addresses of databases and servers: made absolute, and tried before anything waits for them."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from features.errors import RegistryError
from features.settings import mask

CONNECT_TIMEOUT_S = 5.0

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


def check_reachable(uri: str) -> None:
    """Raise at once when nothing answers at an address; libraries would try again for minutes."""
    parts = urlsplit(uri)
    if uri.startswith(_SQLITE):
        _check_file(Path(uri.removeprefix(_SQLITE)))
    elif parts.hostname is not None:
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if port is not None:
            _check_port(uri, parts.hostname, port)


def _check_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be written: {error.strerror}; check the folder, or set CLIPCAST_TRACKING_URI"
        ) from error


def _check_port(uri: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise RegistryError(
            f"nothing answers at {mask(uri)} ({host}, port {port}): {error}; "
            "start the tracking store, or set CLIPCAST_TRACKING_URI"
        ) from error
