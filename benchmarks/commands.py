"""clipcast as its user runs it: import, train and forecast in an empty workspace, with the time and memory of each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from holdout import Forecast, Split
from processes import CLIPCAST, CommandError, run, workspace


class Cost(NamedTuple):
    """What a command took."""

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


def measured(command: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command of clipcast to its end; what it prints goes to a file in the folder."""
    log = folder / f"{command.replace(' ', '-')}.log"
    return Cost(command, *run([*CLIPCAST, *command.split(), *arguments], environment, folder=folder, log=log))


def read_forecasts(file: Path, split: Split, seconds: float) -> Forecast:
    """Read the forecasts of the test's posts, in their order, as log1p."""
    rows = pd.read_csv(file, dtype={"post_id": str}).set_index("post_id").reindex(split.test["post_id"])
    if rows["prediction"].isna().any():
        raise CommandError(f"{file} has no forecast for {rows['prediction'].isna().sum()} of {len(rows)} posts")
    counts = (rows[name].to_numpy(np.float64) for name in ("prediction", "lower", "upper"))
    prediction, lower, upper = (np.log1p(np.maximum(count, 0)) for count in counts)
    return Forecast(prediction, lower, upper, seconds)
