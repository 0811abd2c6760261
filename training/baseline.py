"""What a version keeps of the posts it was made from: their features, and how far off it was where it was judged.

Monitoring holds what comes later against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.columns import DEFAULT_SOURCE, Ints
from features.schema import NUMBER, TEXT, TIME, Schema
from training.evaluate import Scored
from training.examples import Examples, inputs_of
from training.performance_model import Forecast, PerformanceModel

BASELINE_FILE = "baseline.parquet"

BASELINE_POSTS = 5_000
"""The newest posts that are kept, and at most as many of those judged: older ones are less like what comes next."""

JUDGED: Schema = dict.fromkeys(("truth", "prediction", "lower", "upper", "anchor", "expected_error"), NUMBER)
"""How a post was forecast by the fit that had not seen it, in log1p of the primary count; null where it was not."""

POSTS: Schema = {"source": TEXT, "post_id": TEXT, "account_id": TEXT, "published_at": TIME, **JUDGED}

_KEY = ["source", "post_id"]
_FEATURE = "feature "  # before a feature's name in the file, since a column of `POSTS` may have the same


@dataclass(frozen=True, eq=False)
class Baseline:
    """The newest posts of those that a version learned from, in order of publication.

    Attributes
    ----------
    posts
        The columns of `POSTS`.
    features
        What the version that serves reads of them: a column for each feature, nan where it is unknown.
    """

    posts: pl.DataFrame
    features: pl.DataFrame

    @classmethod
    def of(cls, served: PerformanceModel, examples: Examples, judged: pl.DataFrame) -> Baseline:
        """Keep the newest of some examples and those that were judged, with what was said of them (`judged_posts`)."""
        newest = np.arange(max(len(examples) - BASELINE_POSTS, 0), len(examples), dtype=np.int64)
        rows = np.union1d(newest, _rows_of(examples, judged))
        matrix = inputs_of(examples, rows, served.fitted, names=served.names).matrix
        features = pl.DataFrame(matrix, dict.fromkeys(served.names, NUMBER), orient="row")
        return cls(_with_judged(_posts_of(examples, rows), judged), features)

    @property
    def judged(self) -> pl.DataFrame:
        """The posts that were judged, with what was said of them and came true."""
        return _judged(self.posts)

    def save(self, folder: Path) -> None:
        """Write it into the folder of a bundle."""
        features = self.features.rename({name: _FEATURE + name for name in self.features.columns})
        both = pl.concat([self.posts, features], how="horizontal")
        both.write_parquet(folder / BASELINE_FILE, compression="zstd", statistics=False)

    @classmethod
    def load(cls, folder: Path) -> Baseline | None:
        """Read what `save` wrote; None of a version made before versions kept one."""
        if not (folder / BASELINE_FILE).exists():
            return None
        both = pl.read_parquet(folder / BASELINE_FILE)
        features = both.drop(list(POSTS))
        return cls(both.select(list(POSTS)), features.rename(lambda name: name.removeprefix(_FEATURE)))


def judged_in(folder: Path) -> pl.DataFrame | None:
    """Read the judged posts of a bundle and nothing else; None of a version made before versions kept a baseline."""
    file = folder / BASELINE_FILE
    return _judged(pl.read_parquet(file, columns=list(POSTS))) if file.exists() else None


def judged_posts(forecast: Forecast, scored: Scored, examples: Examples, rows: Ints) -> pl.DataFrame:
    """Put the forecasts of rows that a fit had not seen beside what came true of them."""
    columns = {
        "truth": scored.truth,
        "prediction": forecast.prediction,
        "lower": forecast.lower,
        "upper": forecast.upper,
        "anchor": forecast.anchor,
        "expected_error": forecast.expected_error,
    }
    return _posts_of(examples, rows).select(_KEY).with_columns(pl.Series(*column) for column in columns.items())


def _judged(posts: pl.DataFrame) -> pl.DataFrame:
    return posts.filter(pl.col("truth").is_not_null())


def _rows_of(examples: Examples, posts: pl.DataFrame) -> Ints:
    """Where some posts stand among the examples, the newest of them if they are very many."""
    every = _posts_of(examples, np.arange(len(examples), dtype=np.int64)).with_row_index("row")
    found = every.join(posts.select(_KEY), on=_KEY, how="semi", maintain_order="left")["row"].tail(BASELINE_POSTS)
    return found.cast(pl.Int64).to_numpy()


def _with_judged(posts: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    known = judged.select(*_KEY, *JUDGED)
    return posts.join(known, on=_KEY, how="left", maintain_order="left").select(list(POSTS))


def _posts_of(examples: Examples, rows: Ints) -> pl.DataFrame:
    named = examples.known[rows].with_columns(pl.col("source").fill_null(DEFAULT_SOURCE))
    return named.select("source", "post_id", "account_id", "published_at")
