"""Prefect's server where none is set: one for this process, which ends with it even when that is killed.

Prefect's own temporary server would outlive a command that is killed, and go on writing to the workspace.
"""

from __future__ import annotations

import atexit
import http.client
import os
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from features.child import lifeline, program
from features.errors import ClipcastError, LockedError
from features.settings import Settings

STARTUP_S = 300.0
"""How long a start may take: the very first compiles and migrates, which takes minutes on a busy machine."""

_TEMPORARY = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_FINAL": "1"}
_WITHOUT_SCHEDULER = {"PREFECT__SERVER_EPHEMERAL": "1"}


@dataclass(frozen=True)
class Server:
    """A server that was started, and the lock to give back when it is up."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    starting: ExitStack

    def wait(self) -> None:
        """Return once the server answers.

        Raises
        ------
        ClipcastError
            It ended instead, or did not answer in time.
        """
        deadline = time.monotonic() + STARTUP_S
        with self.starting:
            while not _answers(self.port):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise ClipcastError(
                        f"Prefect's server did not start; {self.log} says why; mend that and start the command again, "
                        "or set PREFECT_API_URL to a server that is up"
                    )
                time.sleep(0.1)


def own_server(settings: Settings, *, scheduling: bool = False) -> Server | None:
    """Start a server for this process and name it to Prefect; None where Prefect knows of one.

    Only with `scheduling` does it make the runs that schedules ask for, which takes more of its services.

    Call it before Prefect is imported, which reads the name then. Servers start one at a time, since two would
    both make the tables of a new workspace.
    """
    from filelock import FileLock, Timeout

    home = Path(os.environ["PREFECT_HOME"])
    if "PREFECT_API_URL" in os.environ or (home / "profiles.toml").exists():
        return None
    settings.locks_dir.mkdir(parents=True, exist_ok=True)
    starting = ExitStack()
    try:
        starting.enter_context(FileLock(settings.locks_dir / "prefect.lock", timeout=STARTUP_S))
    except Timeout as error:
        raise LockedError(
            f"another process has been starting Prefect in {home} for {STARTUP_S:g} s; try again later"
        ) from error
    log, port = settings.home / "logs" / "prefect-server.log", _free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    process = _start(port, log, _TEMPORARY if scheduling else _TEMPORARY | _WITHOUT_SCHEDULER)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    return Server(process, port, log, starting)


def _start(port: int, log: Path, mode: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start Prefect's application as Prefect itself does, but bound to this process."""
    running = ExitStack()
    line = running.enter_context(lifeline())
    options = ("--host", "127.0.0.1", "--port", str(port), "--lifespan", "on", "--log-level", "error")
    with log.open("ab") as said:
        process = subprocess.Popen(
            program(line, "uvicorn", "--factory", "prefect.server.api.server:create_app", *options),
            env={**os.environ, **mode},
            pass_fds=(line,),
            stdout=said,
            stderr=said,
        )
    running.callback(_stop, process)
    atexit.register(running.close)
    return process


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
