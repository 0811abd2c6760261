"""Commands run as a person would run them, each in a process of its own, with what it took."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]  # its stubs are a package that nothing else here needs

from features.errors import ClipcastError
from features.settings import PREFIX

ROOT = Path(__file__).resolve().parent.parent
CLIPCAST = ("-m", "flows.cli")
_LOOK_EVERY_S = 0.1
_LAST_LINES = 30


class CommandError(ClipcastError):
    """A command failed."""


class Taken(NamedTuple):
    """What a process took: wall time, and the most memory that it and its children held together."""

    seconds: float
    peak_mib: float


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
    log: Path | None = None,
    allowed: Collection[int] = (0,),
) -> Taken:
    """Run Python with arguments to its end; what it says goes to the log, or else to the screen's error side.

    An exit code that is not `allowed` is an error.
    """
    words, started = [sys.executable, *arguments], time.perf_counter()
    with (log or Path(os.devnull)).open("w") as printed:
        said = printed if log else sys.stderr
        process = subprocess.Popen(
            words, cwd=folder, env={**(environment or checkout())}, stdout=said, stderr=subprocess.STDOUT
        )
        with _Watch(process.pid) as watch:
            _, status, usage = os.wait4(process.pid, 0)
    seconds, process.returncode = time.perf_counter() - started, os.waitstatus_to_exitcode(status)
    if process.returncode not in allowed:
        last = "\n".join(log.read_text().splitlines()[-_LAST_LINES:]) if log else "its own words stand above"
        raise CommandError(f"{' '.join(arguments)} ended with {process.returncode} in {folder or Path.cwd()}:\n{last}")
    return Taken(seconds, max(watch.peak, usage.ru_maxrss * 1024) / 2**20)


def checkout() -> dict[str, str]:
    """Return the environment in which clipcast runs from this checkout."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def workspace(folder: Path, trials: int | None = None) -> dict[str, str]:
    """Return an environment in which clipcast runs from this checkout and knows of `folder` alone."""
    kept = {name: value for name, value in checkout().items() if not name.upper().startswith(PREFIX)}
    budget = {} if trials is None else {f"{PREFIX}TRAINING__TRIALS": str(trials)}
    return kept | {f"{PREFIX}HOME": str(folder / ".clipcast"), f"{PREFIX}DATA": str(folder / "data")} | budget


class _Watch:
    """Looks now and then how many bytes a process and all below it hold; what they share is counted in each."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                process = psutil.Process(self._pid)
                family = [process, *process.children(recursive=True)]
                self.peak = max(self.peak, sum(one.memory_info().rss for one in family))
            except psutil.NoSuchProcess:
                continue  # one of them ended between being listed and being asked
