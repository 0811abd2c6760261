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
        """The versions among some rows, by hash, that follow the recipe of the one that answers; itself at least."""
        own = self.answering.sha256
        wanted = self.versions.recipe(own)

        def follows(sha256: str) -> bool:
            return sha256 == own or (wanted is not None and self.versions.recipe(sha256) == wanted)

        return [each for each in rows["sha256"].unique() if follows(each)]

    @property
    def reign(self) -> pl.DataFrame:
        """What came of answers since another recipe last answered, the champion's under the number of its last refit.

        A challenger is compared with the recipe: with daily refits no version lives long enough.
        """
        is_champion = pl.col("role") == str(Role.CHAMPION)
        of_line = pl.col("sha256").is_in(self.line(self.matured))
        others = self.matured.filter(is_champion & ~of_line)["at"].max()
        since = self.matured if others is None else self.matured.filter(pl.col("at") > others)
        number = pl.when(is_champion).then(self.answering.version).otherwise("version")
        return since.with_columns(number.alias("version"))

    @property
    def challenger(self) -> int | None:
        """The challenger that was asked last, to answer or as a shadow; None where none was in the champion's reign."""
        is_other = ~pl.col("sha256").is_in(self.line(self.matured))
        asked = self.reign.filter(is_other & pl.col("role").is_in([str(Role.CHALLENGER), str(Role.SHADOW)]))
        return None if asked.is_empty() else int(asked.sort("at", "version")["version"][-1])

    @property
    def holdouts(self) -> dict[str, pl.DataFrame]:
        """What each version was judged on, by its hash; versions that are gone or kept nothing are left out."""
        found = {sha256: self.versions.judged(sha256) for sha256 in self.tested["sha256"].unique()}
        return {sha256: each for sha256, each in found.items() if each is not None and each.height}

    def finding(self, kind: Kind, subject: str, sentence: str, evidence: Mapping[str, Any]) -> Finding:
        """Tell what was found wrong."""
        return Finding(self.model, kind, subject, sentence, plain(evidence))
