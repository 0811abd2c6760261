"""Commands run as a person would run them, each in a process of its own, with what it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Taken(NamedTuple):
    """What a process took: wall time, and the memory it held at its peak, or one of its children if that held more."""

    seconds: float
    peak_mib: float


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Taken:
    """Run Python with arguments to its end; what it says goes to the screen's error side."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], env={**os.environ, "PYTHONPATH": path, **(environment or {})}, stdout=sys.stderr
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed with {process.returncode}; its own words stand above")
    return Taken(time.perf_counter() - started, usage.ru_maxrss / 1024)


def workspace(folder: Path) -> dict[str, str]:
    """Return the environment in which clipcast keeps everything within a folder."""
    return {"CLIPCAST_HOME": str(folder / "workspace"), "CLIPCAST_DATA": str(folder / "data")}
