"""Checks 4 and 5 of the gate, which need running models: latency, and loading in a fresh process.

`python -m registry.checks FOLDER SHA256` is that fresh process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import polars as pl

from features.child import lifeline, program
from features.errors import ClipcastError
from registry.bundle import Bundle
from registry.loading import differences, load

Predict = Callable[[pl.DataFrame], object]

LOAD_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Latency:
    """Median seconds that champion and challenger took for one post."""

    champion_s: float
    challenger_s: float

    @property
    def ratio(self) -> float:
        """How many times longer the challenger takes."""
        return self.challenger_s / self.champion_s


@dataclass(frozen=True)
class Loads:
    """Whether a fresh process could serve a bundle, and what it said."""

    passed: bool
    detail: str


def latency(
    champion: Predict,
    challenger: Predict,
    posts: pl.DataFrame,
    rounds: int = 50,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Time both models on single posts, in turns, so that a busy machine slows both alike.

    Who goes first changes every round; one round ahead of the others warms both up and is not counted.
    """
    taken_s: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        post = posts.slice(number % posts.height, 1)
        turns = [(champion, taken_s[0]), (challenger, taken_s[1])]
        for predict, taken in turns if number % 2 else reversed(turns):
            started = clock()
            predict(post)
            taken.append(clock() - started)
    return Latency(median(taken_s[0][1:]), median(taken_s[1][1:]))


def loads(bundle: Bundle, timeout_s: float = LOAD_TIMEOUT_S) -> Loads:
    """Open a bundle in a fresh process that must load it and reproduce its stored example, and ends with this one."""
    try:
        with lifeline() as line:
            ended = subprocess.run(
                program(line, "registry.checks", str(bundle.folder), bundle.sha256),
                pass_fds=(line,),
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
    except subprocess.TimeoutExpired:
        return Loads(False, f"{bundle.folder}: loading did not end within {timeout_s:g} s")
    said = (ended.stdout if ended.returncode == 0 else ended.stderr).strip().splitlines()
    return Loads(ended.returncode == 0, said[-1] if said else f"exit code {ended.returncode}")


def main(folder: str, sha256: str) -> int:
    """Load a bundle and reproduce its example; say on standard error what went wrong."""
    try:
        different = differences(load(Path(folder), sha256))
    except ClipcastError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if different:
        sys.stderr.write(f"{folder} does not reproduce its example: {'; '.join(different[:3])}\n")
        return 1
    sys.stdout.write(f"{folder} loads and reproduces its example\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
