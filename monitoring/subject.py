"""The model that is looked at: who answered, which versions follow its recipe, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from features.schema import Platform
from features.settings import Settings
from monitoring.alerts import Finding, Kind
from monitoring.look import plain
from monitoring.predictions import (
    AnsweringVersion,
    Role,
)
from monitoring.versions import Versions


@dataclass(frozen=True, eq=False)
class Subject:
    """The model that is looked at, and with what."""

    settings: Settings
    model: str
    platform: Platform
    at: datetime
    answering: AnsweringVersion
    versions: Versions
    matured: pl.DataFrame

    @property
    def tested(self) -> pl.DataFrame:
        """What came of the champion's recipe: another one that a retraining promotes is judged anew."""
        of_line = pl.col("sha256").is_in(self.line(self.matured))
        return self.matured.filter(of_line & (pl.col("role") == str(Role.CHAMPION)))

    def line(self, rows: pl.DataFrame) -> list[str]:
        """The versions among some rows, by hash, that follow the recipe of the one that answers."""
        wanted = self.versions.recipe(self.answering.sha256)
        return [each for each in rows["sha256"].unique() if wanted is not None and self.versions.recipe(each) == wanted]

    @property
    def under_one_number(self) -> pl.DataFrame:
        """What has matured, the champion's recipe under the number of the version that answers, whichever refit it was.

        A challenger is compared with the recipe: with daily refits no version lives long enough.
        """
        of_line = pl.col("sha256").is_in(self.line(self.matured)) & (pl.col("role") == str(Role.CHAMPION))
        return self.matured.with_columns(
            pl.when(of_line).then(self.answering.version).otherwise("version").alias("version")
        )

    @property
    def holdouts(self) -> dict[str, pl.DataFrame]:
        """What each version was judged on, by its hash; versions that are gone or kept nothing are left out."""
        found = {sha256: self.versions.judged(sha256) for sha256 in self.tested["sha256"].unique()}
        return {sha256: each for sha256, each in found.items() if each is not None and each.height}

    def finding(self, kind: Kind, subject: str, sentence: str, evidence: Mapping[str, Any]) -> Finding:
        """Tell what was found wrong."""
        return Finding(self.model, kind, subject, sentence, plain(evidence))
