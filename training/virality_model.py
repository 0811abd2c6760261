"""A fitted virality model: how likely a post is to land in the top tenth beside its account's anchor, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.build import schema_hash
from features.columns import Bools, Floats
from features.fitted import Fitted
from features.history import History
from training.account_line import AccountLine
from training.answering import check_schema, forecast_posts
from training.estimators import BINARY
from training.examples import Inputs
from training.factors import FACTORS, Factors, column_of
from training.odds import Judged, Odds
from training.venn_abers import Calibrated, VennAbers
from training.yardstick import Yardstick

FAMILY = "virality"

TREES_FILE = f"odds{BINARY.suffix}"


@dataclass(frozen=True)
class FoldScore:
    """Brier scores on the later rows of one fold, before calibration: of the trees and of the account's line.

    Attributes
    ----------
    learned, judged
        How many posts the odds rest on, and how many were forecast.
    base_rate, share
        Share of viral posts among both.
    """

    learned: int
    judged: int
    base_rate: float
    share: float
    brier: float
    anchor_brier: float

    @classmethod
    def of(cls, fold: Judged) -> FoldScore:
        """Score what a fold judged."""
        trees, line = (1 / (1 + np.exp(-margin)) for margin in (fold.margin, fold.line))
        return cls(
            learned=fold.learned,
            judged=len(fold),
            base_rate=fold.base_rate,
            share=float(fold.viral.mean()),
            brier=float(np.mean((trees - fold.viral) ** 2)),
            anchor_brier=float(np.mean((line - fold.viral) ** 2)),
        )


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecasts of some posts, as arrays.

    Attributes
    ----------
    probability, lower, upper
        Of going viral, from 0 to 1, with the interval.
    viral_above
        The log outcome that a post has to exceed to count as viral.
    factors
        Each factor from 0 to 1, nan where nothing is known of it.
    """

    probability: Floats
    lower: Floats
    upper: Floats
    viral_above: Floats
    is_new: Bools
    factors: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class ViralityModel:
    """Everything needed to answer for one platform.

    Attributes
    ----------
    names
        Ordered features.
    sources
        Sources it was trained on; a post of another is read as one of `default_source`.
    calibration, line_calibration
        From the log odds of the model, and from those of the account's line alone, to probabilities.
    history
        The snapshot it travels with.
    folds
        How its recipe did on the forward-chaining folds of its training rows, and of one that serves on the holdout.
    """

    platform: str
    names: list[str]
    sources: tuple[str, ...]
    default_source: str
    odds: Odds
    calibration: VennAbers
    line_calibration: VennAbers
    factors: Factors
    history: History
    folds: tuple[FoldScore, ...]

    @property
    def fitted(self) -> Fitted:
        """What its features learned from the training rows."""
        return self.odds.fitted

    @property
    def gaps(self) -> tuple[str, ...]:
        """What its card has to admit beside what its facts show: nothing."""
        return ()

    def predict(self, frame: pl.DataFrame, history: History | None = None, threads: int = 1) -> pl.DataFrame:
        """Forecast posts in the import format, outcomes not needed.

        Parameters
        ----------
        history
            What is known of earlier posts; the model's own snapshot unless given.
        threads
            Chunks of posts that are forecast side by side; they change no forecast.

        Returns
        -------
        pl.DataFrame
            One row per post, in the order given: ``virality_score``, the probability of going viral, with its ends
            ``virality_lower`` and ``virality_upper``; ``confidence``, 1 less their distance; whether the account was
            known; ``viral_above``, the count beyond which the post counts as viral; and a column ``factor_…`` for each
            factor, null where nothing is known of it.
        """
        posts, parts = forecast_posts(self, frame, history, threads)
        return answer_of(posts.post_id, parts)

    def forecast(self, inputs: Inputs, names: list[str]) -> Forecast:
        """Forecast from inputs; `names` are the posts' populations."""
        calibrated = self.probabilities(inputs)
        return Forecast(
            probability=calibrated.probability,
            lower=calibrated.lower,
            upper=calibrated.upper,
            viral_above=np.maximum(inputs.anchor + self.odds.yardstick.threshold(names), 0.0),
            is_new=inputs.is_new,
            factors=self.factors.values(inputs.matrix, self.contributions(inputs.matrix)),
        )

    def probabilities(self, inputs: Inputs) -> Calibrated:
        """Return the probability of going viral with its interval, without the factors, which take longest."""
        return self.calibration.at(self.odds.margin(self.names, inputs.matrix))

    def line_probabilities(self, inputs: Inputs) -> Calibrated:
        """Return what the account's line alone says, calibrated as it would serve."""
        return self.line_calibration.at(self.odds.line_margin(self.names, inputs.matrix))

    def contributions(self, matrix: Floats) -> Floats:
        """Return what each feature adds to the log odds, shape (rows, names); the line's sum stands at its anchor."""
        if self.odds.trees is not None:
            return self.odds.trees.contributions(matrix)
        found = np.zeros((len(matrix), len(self.names)))
        found[:, self.names.index("anchor")] = self.odds.line_margin(self.names, matrix) - self.odds.line.intercept
        return found

    def with_factors(self, factors: Factors) -> ViralityModel:
        """Return the model with other factors."""
        return replace(self, factors=factors)

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the trees' total gain; nothing where the account's line speaks alone."""
        if self.odds.trees is None:
            return {}
        return {name: float(share) for name, share in zip(self.names, self.odds.trees.importance(), strict=True)}

    def fold_metrics(self) -> dict[str, float]:
        """Return how the folds did on average, a post counting as much as any other."""
        posts = [fold.judged for fold in self.folds]
        return {
            "folds_brier": float(np.average([fold.brier for fold in self.folds], weights=posts)),
            "folds_anchor_brier": float(np.average([fold.anchor_brier for fold in self.folds], weights=posts)),
        }

    def save(self, folder: Path) -> dict[str, Any]:
        """Write every part as data and return what a bundle's description has to say of them."""
        if self.odds.trees is not None:
            self.odds.trees.save(folder / TREES_FILE)
        self.history.save(folder / "history.parquet")
        state = {
            "fitted": self.odds.fitted.to_dict(),
            "thresholds": dict(self.odds.yardstick.thresholds),
            "base_rate": self.odds.base_rate,
            "line": self.odds.line.to_dict(),
            "calibration": self.calibration.to_dict(),
            "line_calibration": self.line_calibration.to_dict(),
            "factors": dict(self.factors.quantiles),
            "sources": list(self.sources),
            "default_source": self.default_source,
            "folds": [asdict(fold) for fold in self.folds],
        }
        (folder / "model.json").write_text(json.dumps(state, sort_keys=True, allow_nan=False), encoding="utf-8")
        return {"family": FAMILY, "platform": self.platform, "features": self.names, "schema_hash": schema_hash()}

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> ViralityModel:
        """Read what `save` wrote, or refuse a model made for other features."""
        check_schema(folder, meta)
        state = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        trees = folder / TREES_FILE
        return cls(
            platform=meta["platform"],
            names=list(meta["features"]),
            sources=tuple(state["sources"]),
            default_source=state["default_source"],
            odds=Odds(
                fitted=Fitted.from_dict(state["fitted"]),
                yardstick=Yardstick(state["thresholds"]),
                base_rate=state["base_rate"],
                trees=BINARY.load(trees) if trees.is_file() else None,
                line=AccountLine.from_dict(state["line"]),
            ),
            calibration=VennAbers.from_dict(state["calibration"]),
            line_calibration=VennAbers.from_dict(state["line_calibration"]),
            factors=Factors(list(meta["features"]), state["factors"]),
            history=History.load(folder / "history.parquet"),
            folds=tuple(FoldScore(**fold) for fold in state["folds"]),
        )


def answer_of(post_ids: Sequence[str | None], parts: Sequence[Forecast]) -> pl.DataFrame:
    """Return forecasts as the frame that a model answers, one row per post."""

    def column(name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in parts] or [np.empty(0)])

    def factor(name: str) -> pl.Series:
        return pl.Series(np.concatenate([part.factors[name] for part in parts] or [np.empty(0)])).fill_nan(None)

    lower, upper = column("lower"), column("upper")
    return pl.DataFrame(
        {
            "post_id": list(post_ids),
            "virality_score": column("probability"),
            "virality_lower": lower,
            "virality_upper": upper,
            "confidence": 1 - (upper - lower),
            "account_known": ~column("is_new").astype(np.bool_),
            "viral_above": np.expm1(column("viral_above")),
            **{column_of(name): factor(name) for name in FACTORS},
        },
        schema_overrides={"post_id": pl.String},
    )
