"""A tiny model family, which a fresh process can import without the training room."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from features.schema import IMPORT


class Slope:
    """Forecasts `slope` for each second of a video."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> Slope:
        assert meta["family"] == "slope"
        return cls(float((folder / "slope.txt").read_text()))

    def predict(self, posts: pl.DataFrame) -> pl.DataFrame:
        assert posts.columns == list(IMPORT)
        value = pl.col("duration_s").fill_null(1.0) * self.slope
        return posts.select("post_id", value.alias("prediction"), lower=value / 2, upper=value * 2)
