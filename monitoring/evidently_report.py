"""Evidently's report of two groups of posts as a page that opens anywhere, and the gist of it as JSON."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from features.errors import MissingExtraError, NotEnoughDataError
from features.telemetry import silence
from registry.bundle import write_atomically

if TYPE_CHECKING:
    import pandas as pd

METHOD = "wasserstein"
CODE_METHOD = "jensenshannon"
"""Evidently's own choice for more than 1,000 rows, here for any number: its p-values for fewer take every post to be
independent, which those of one account are not."""

THRESHOLD = 0.1
"""Standard deviations by which values moved, or the distance of two distributions of codes; Evidently's own choice."""


def write_report(
    path_html: Path,
    baseline: pl.DataFrame,
    current: pl.DataFrame,
    *,
    sample: int,
    seed: int,
    categorical: Collection[str],
    columns: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Write Evidently's drift report as HTML, with a small JSON beside it, and return what that holds.

    Parameters
    ----------
    sample
        Rows that are drawn of a larger frame.
    categorical
        Columns whose numbers are codes.
    columns
        Those to report, in this order; each takes about a tenth of a second. All unless given.

    Returns
    -------
    dict
        ``columns`` (method, score, threshold and whether it drifted), ``drifted_share`` of them, ``sampled`` (rows
        there were and rows used of each frame) and ``dropped`` (columns that could not be compared, and why).

    Raises
    ------
    NotEnoughDataError
        No column is known on both sides.
    MissingExtraError
        Evidently is not installed.
    """
    wanted = [*dict.fromkeys([*baseline.columns, *current.columns] if columns is None else columns)]
    sampled = {name: _sampled(frame, sample, seed) for name, frame in (("baseline", baseline), ("current", current))}
    before, now = sampled.values()
    dropped = {name: why for name in wanted if (why := _why_not(name, before, now))}
    kept = [name for name in wanted if name not in dropped]
    if not kept:
        raise NotEnoughDataError(
            f"none of the {len(wanted)} columns is known on both sides ({baseline.height:,} and {current.height:,} "
            "rows), so there is nothing to report on; look at what sends the features"
        )
    page, scores = _report(_pandas(before, kept, categorical), _pandas(now, kept, categorical), categorical)
    rows = {"baseline": [baseline.height, before.height], "current": [current.height, now.height]}
    drifted = sum(each["drifted"] for each in scores.values())
    found = {"columns": scores, "drifted_share": drifted / len(scores), "sampled": rows, "dropped": dropped}
    path_html.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path_html, page.encode())
    write_atomically(path_html.with_suffix(".json"), (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
    return found


def _sampled(frame: pl.DataFrame, sample: int, seed: int) -> pl.DataFrame:
    return frame.sample(sample, seed=seed) if frame.height > sample else frame


def _why_not(name: str, before: pl.DataFrame, now: pl.DataFrame) -> str | None:
    """Say why a column cannot be compared; Evidently fails on one without a value."""
    sides = {"the baseline": before, "the current window": now}
    absent = [side for side, frame in sides.items() if name not in frame.columns]
    if absent:
        return f"not in {' nor in '.join(absent)}"
    empty = [side for side, frame in sides.items() if not frame[name].cast(pl.Float64).is_finite().any()]
    return f"unknown throughout {' and '.join(empty)}" if empty else None


def _pandas(frame: pl.DataFrame, columns: Sequence[str], categorical: Collection[str]) -> pd.DataFrame:
    """Return the columns as Evidently reads them: codes as text, for else it plots them as amounts."""
    import pandas as pd

    numbers = {name: frame[name].cast(pl.Float64).to_numpy() for name in columns}
    return pd.DataFrame(
        {
            name: [f"{value:g}" if math.isfinite(value) else None for value in values]
            if name in categorical
            else values
            for name, values in numbers.items()
        }
    )


def _report(
    baseline: pd.DataFrame, current: pd.DataFrame, categorical: Collection[str]
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the page, and what it says of each column."""
    silence()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecations inside Evidently and below, which only its makers can mend
        try:
            from evidently import DataDefinition, Dataset, Report
            from evidently.metrics import ValueDrift
        except ImportError as error:
            raise MissingExtraError("evidently", "pipeline") from error

        codes = [name for name in baseline.columns if name in categorical]
        numbers = [name for name in baseline.columns if name not in categorical]
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=codes)
        # One metric a column: the preset computes every column twice.
        metrics = [
            ValueDrift(column=name, method=CODE_METHOD if name in categorical else METHOD, threshold=THRESHOLD)
            for name in baseline.columns
        ]
        before, now = (Dataset.from_pandas(frame, data_definition=definition) for frame in (baseline, current))
        snapshot = Report(metrics, include_tests=False).run(now, before)
        page: str = snapshot.get_html_str(as_iframe=False)
        found = snapshot.dict()["metrics"]
    return page, {each["config"]["column"]: _score(each) for each in found}


def _score(metric: dict[str, Any]) -> dict[str, Any]:
    config, score = metric["config"], float(metric["value"])
    drifted = score >= config["threshold"]
    return {"method": config["method"], "score": score, "threshold": config["threshold"], "drifted": drifted}
