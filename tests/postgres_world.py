"""A throwaway PostgreSQL cluster, for the tests that run on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

USER = "postgres"
DEBIAN = Path("/usr/lib/postgresql")
# Nothing has to outlive the tests, so nothing is waited for until it is on the disk.
HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "listen_addresses": "''"}


class NoPostgresError(Exception):
    """Why there can be no cluster here."""


@dataclass
class Cluster:
    """A running cluster that only listens on a socket in its own folder."""

    folder: Path
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def new_database(self) -> str:
        """Make an empty database and return its address."""
        name = f"test{next(self.numbers)}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return self.address(name)

    def drop(self, address: str) -> None:
        """Remove a database, whoever is still connected."""
        self.sql("postgres", f"DROP DATABASE {address.partition('@/')[2].partition('?')[0]} WITH (FORCE)")

    def address(self, name: str) -> str:
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def sql(self, database: str, statement: str) -> None:
        import psycopg

        with psycopg.connect(f"host={self.folder} user={USER} dbname={database}", autocommit=True) as connection:
            connection.execute(statement.encode())


def start_cluster() -> Cluster:
    """Make and start a cluster, as the user `postgres` where root asks, whom PostgreSQL does not work for."""
    programs = _programs()
    # a socket's path may have 107 characters, and the folder of a test is often longer
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    user = _user()
    if user:
        shutil.chown(folder, user)
    make = [programs / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
    options = " ".join(f"-c {name}={value}" for name, value in {**HASTY, "unix_socket_directories": folder}.items())
    start = [programs / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", options, "-w", "start"]
    try:
        for command in (make, start):
            _run(command, user, folder)
    except NoPostgresError:
        shutil.rmtree(folder)
        raise
    return Cluster(folder)


def stop_cluster(cluster: Cluster) -> None:
    """Stop a cluster at once, and remove all of it."""
    stop = [_programs() / "pg_ctl", "-D", cluster.folder / "data", "-m", "immediate", "-w", "stop"]
    try:
        _run(stop, _user(), cluster.folder)
    finally:
        shutil.rmtree(cluster.folder)


def _programs() -> Path:
    """The folder of `initdb` and `pg_ctl`: on the path, or where Debian keeps those of the newest version."""
    found = shutil.which("initdb")
    debian = sorted(DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name)) if DEBIAN.is_dir() else []
    for folder in [*([Path(found).resolve().parent] if found else []), *reversed(debian)]:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise NoPostgresError("no initdb and pg_ctl on the path or in Debian's folder: apt-get install postgresql")


def _user() -> str | None:
    """Whom to work as: `None` for the one who runs the tests."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise NoPostgresError(f"PostgreSQL refuses root, and there is no user {USER}") from None
    return USER


def _run(command: list[str | Path], user: str | None, folder: Path) -> None:
    as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()} if user else {}
    # the server keeps the output of pg_ctl open, so that a pipe would never end
    with (folder / "said").open("w+") as said:
        done = subprocess.run(command, cwd=folder, stdout=said, stderr=said, check=False, **as_user)  # type: ignore[call-overload]
        said.seek(0)
        if done.returncode:
            raise NoPostgresError(f"{Path(command[0]).name} failed: {said.read().strip()[-500:]}")
