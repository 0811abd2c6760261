"""Which process holds a run, so that another can tell whether it still lives."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_START_FIELD = 19  # of /proc/PID/stat, counted from behind the command's name


@dataclass(frozen=True)
class Owner:
    """A process on a machine; `born` tells it apart from a later process with the same number."""

    host: str
    pid: int
    born: str

    @classmethod
    def this_process(cls) -> Owner:
        """The process that asks."""
        return cls(socket.gethostname(), os.getpid(), _birth(os.getpid()) or "")

    def is_alive(self) -> bool | None:
        """Whether the process still runs; `None` when it belongs to another machine."""
        if self.host != socket.gethostname():
            return None
        return self.born == _birth(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _birth(pid: int) -> str | None:
    """When a living process started, in whatever unit the system keeps; `None` if there is none."""
    if not _PROC.joinpath("self", "stat").exists():
        return _birth_from_ps(pid)
    try:
        after_name = _PROC.joinpath(str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    is_zombie = after_name[0] in "ZX"
    return None if is_zombie else f"{boot}:{after_name[_START_FIELD]}"


def _birth_from_ps(pid: int) -> str | None:
    """The same on systems without /proc, such as macOS."""
    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    state, _, started = (
        subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().partition(" ")
    )
    return None if not state or state.startswith("Z") else started.strip()
