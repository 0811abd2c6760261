"""What a look leaves behind for people: the verdict, tables, and Evidently's report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from features.build import CATEGORICAL
from monitoring.evidently_report import write_report
from monitoring.look import Look
from monitoring.performance import account_table
from monitoring.verdict import VERDICT
from registry.bundle import write_atomically

PERFORMANCE, ACCOUNTS = "performance.csv", "accounts.csv"
DRIFT_PAGE = "drift.html"

SHOWN_FEATURES = 20
"""The features that moved most, weighed by what they matter, are drawn; all are in the verdict."""


def write_reports(folder: Path, look: Look, *, sample: int, seed: int) -> Path | None:
    """Write everything of a look into a folder, and return Evidently's page; None where nothing could be compared."""
    folder.mkdir(parents=True, exist_ok=True)
    page = _drift_page(folder, look, sample, seed)
    _write(folder / PERFORMANCE, _as_csv([row.flat() for row in look.rows]))
    _write(folder / ACCOUNTS, _as_csv(account_table(look.matured).to_dicts()))
    _write(folder / VERDICT, json.dumps(look.to_dict(), indent=1, sort_keys=True, allow_nan=False) + "\n")
    return page


def _drift_page(folder: Path, look: Look, sample: int, seed: int) -> Path | None:
    if look.drift is None or look.baseline is None:
        return None
    shown = [each.name for each in look.drift.features[:SHOWN_FEATURES]]
    own, window = look.baseline, look.window
    most = min(window.outcomes.height, window.posts.height)
    lately = window.outcomes.sample(most, seed=seed)
    # Columns are compared one by one, so outcomes may stand beside the features of other posts.
    baseline, current = (
        pl.concat([features.select(shown), posts.select("prediction"), truth.select("truth")], how="horizontal_extend")
        for features, posts, truth in (
            (own.features, own.posts, own.posts),
            (window.features, window.posts, lately),
        )
    )
    page = folder / DRIFT_PAGE
    write_report(page, baseline, current, sample=sample, seed=seed, categorical=CATEGORICAL)
    return page


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())
