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
from typing import TYPE_CHECKING

import polars as pl

from features.child import lifeline, program
from features.errors import BundleError, ClipcastError
from registry.bundle import Bundle
from registry.loading import differences, load, posts_of_rows

if TYPE_CHECKING:
    from registry.ledger import Row
    from registry.places import Registry

Predict = Callable[[pl.DataFrame], object]

LOAD_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Latency:
    """Seconds that champion and challenger took for one post: the median over posts of each post's fastest."""

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


@dataclass(frozen=True)
class Serving:
    """What checks 4 and 5 measured of a registered version; `latency_ratio` is `None` where one side cannot load."""

    loads: Loads
    latency_ratio: float | None


def serving(registry: Registry, champion: Row, target: Bundle) -> Serving:
    """Measure again whether a registered version can serve, with the posts of its example, beside the champion."""
    found = loads(target)
    if not found.passed:
        return Serving(found, None)
    try:
        current = load(registry.bundle_of(champion).folder, champion.bundle_sha256)
    except BundleError:
        return Serving(found, None)
    posts = posts_of_rows(target.meta["example"]["rows"], target.meta["platform"])
    ratio = latency(current.predict, load(target.folder, target.sha256).predict, posts).ratio
    return Serving(found, ratio)


def latency(
    champion: Predict,
    challenger: Predict,
    posts: pl.DataFrame,
    rounds: int = 100,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Time both models on single posts, in turns, so that a busy machine slows both alike.

    Whatever else the machine does only ever adds to a time, so the fastest time of each post counts, as the
    documentation of Python's `timeit` advises. Who goes first changes every round; one round ahead of the others
    warms both up and is not counted.
    """
    fastest: tuple[dict[int, float], dict[int, float]] = ({}, {})
    for number in range(-1, rounds):
        which = number % posts.height
        post = posts.slice(which, 1)
        turns = [(champion, fastest[0]), (challenger, fastest[1])]
        for predict, taken in turns if number % 2 == 0 else reversed(turns):
            started = clock()
            predict(post)
            seconds = clock() - started
            if number >= 0:
                taken[which] = min(seconds, taken.get(which, seconds))
    return Latency(median(fastest[0].values()), median(fastest[1].values()))


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
        sys.stderr.write(f"bundle {sha256[:12]} does not reproduce its example: {'; '.join(different[:3])}\n")
        return 1
    sys.stdout.write(f"bundle {sha256[:12]} loads and reproduces its example\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
