"""clipcast as its user runs it: commands in an empty workspace, with their time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]  # its stubs are a package that nothing else here needs

from features.errors import ClipcastError
from features.settings import PREFIX
from holdout import Forecast, Split

ROOT = Path(__file__).parents[1]
_LOOK_EVERY_S = 0.1
_LAST_LINES = 30


class CommandError(ClipcastError):
    """A command of clipcast failed."""


@dataclass(frozen=True)
class Cost:
    """What a command took: its time, and the most memory that it and its children held together."""

    command: str
    seconds: float
    peak_mib: float


def run_clipcast(split: Split, folder: Path, trials: int | None) -> tuple[Forecast, list[Cost]]:
    """Import the training rows into the empty `folder`, train, and forecast the test."""
    train, test = split.write(folder / "posts")
    out = folder / "forecasts.csv"
    environment = workspace(folder, trials)
    commands = (
        ("import", [str(train)]),
        ("run weekly", ["--platform", split.platform]),
        ("predict", [str(test), "--out", str(out)]),
    )
    costs = [measured(command, arguments, folder, environment) for command, arguments in commands]
    return read_forecasts(out, split, sum(cost.seconds for cost in costs)), costs


def workspace(folder: Path, trials: int | None) -> dict[str, str]:
    """Return an environment in which clipcast runs from this checkout and knows of `folder` alone."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    own = {"PYTHONPATH": path, f"{PREFIX}HOME": str(folder / ".clipcast"), f"{PREFIX}DATA": str(folder / "data")}
    budget = {} if trials is None else {f"{PREFIX}TRAINING__TRIALS": str(trials)}
    return kept | own | budget


def measured(command: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command of clipcast to its end; what it prints goes to a file in the folder."""
    log = folder / f"{command.replace(' ', '-')}.log"
    words = [sys.executable, "-m", "flows.cli", *command.split(), *arguments]
    peak, started = 0, time.perf_counter()
    with log.open("w") as printed:
        process = psutil.Popen(words, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, resident(process))
            time.sleep(_LOOK_EVERY_S)
    if process.returncode:
        last = "\n".join(log.read_text().splitlines()[-_LAST_LINES:])
        raise CommandError(f"clipcast {command} ended with {process.returncode} in {folder}:\n{last}")
    return Cost(command, time.perf_counter() - started, peak / 2**20)


def resident(process: psutil.Process) -> int:
    """Return the bytes that a process and all below it hold; what they share is counted in each."""
    held = 0
    try:
        for one in (process, *process.children(recursive=True)):
            held += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # it ended between being listed and being asked
    return held


def read_forecasts(file: Path, split: Split, seconds: float) -> Forecast:
    """Read the forecasts of the test's posts, in their order, as log1p."""
    rows = pd.read_csv(file, dtype={"post_id": str}).set_index("post_id").reindex(split.test["post_id"])
    if rows["prediction"].isna().any():
        raise CommandError(f"{file} has no forecast for {rows['prediction'].isna().sum()} of {len(rows)} posts")
    counts = (rows[name].to_numpy(np.float64) for name in ("prediction", "lower", "upper"))
    prediction, lower, upper = (np.log1p(np.maximum(count, 0)) for count in counts)
    return Forecast(prediction, lower, upper, seconds)
