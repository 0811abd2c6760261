"""A fitted performance model: forecasts views (or likes), engagement rate and score, with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.build import schema_hash
from features.columns import Bools, Floats, Posts
from features.fitted import Fitted
from features.history import History
from features.targets import Reference
from training.answering import check_schema, forecast_posts
from training.calibration import Calibration
from training.core import Core
from training.cross_validation import FoldScore
from training.estimators import load_regressor, save_regressor
from training.examples import Inputs
from training.experts import Experts
from training.hours import Hours, in_words
from training.judging import spread_columns

FAMILY = "performance"


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecasts of some posts, as arrays: logs for the primary count and the rate, 0 to 100 for the score.

    `expected_error` is how far off `prediction` is expected to be, in log1p of the primary count.
    """

    prediction: Floats
    lower: Floats
    upper: Floats
    engagement: Floats
    engagement_lower: Floats
    engagement_upper: Floats
    score: Floats
    score_lower: Floats
    score_upper: Floats
    anchor: Floats
    expected_error: Floats
    is_new: Bools


@dataclass(frozen=True, eq=False)
class PerformanceModel:
    """Everything needed to answer for one platform.

    Attributes
    ----------
    names
        Ordered features.
    sources
        Sources it was trained on; a post of another is read as one of `default_source`.
    history
        The snapshot it travels with.
    folds
        How its recipe did on the forward-chaining folds of its training rows, and of one that serves on the holdout.
    hours
        What its timing contrasts are worth; None in a version made before that was measured.
    """

    platform: str
    names: list[str]
    sources: tuple[str, ...]
    default_source: str
    core: Core
    calibration: Calibration
    reference: Reference
    history: History
    folds: tuple[FoldScore, ...]
    hours: Hours | None = None

    @property
    def fitted(self) -> Fitted:
        """What its features learned from the training rows."""
        return self.core.fitted

    @property
    def gaps(self) -> tuple[str, ...]:
        """What its card has to admit: what hours are worth."""
        return (in_words(self.hours),)

    def importance(self) -> dict[str, float]:
        """Return each feature's share of what the experts explain, weighed as in the model."""
        shares = self.core.experts.importance(self.calibration.blend.mean)
        return {name: float(share) for name, share in zip(self.names, shares, strict=True)}

    def fold_metrics(self) -> dict[str, float]:
        """Return how the folds did on average, a post counting as much as any other."""
        posts = [fold.judged for fold in self.folds]
        return {
            "folds_mae_log": float(np.average([fold.mae for fold in self.folds], weights=posts)),
            "folds_anchor_mae_log": float(np.average([fold.anchor_mae for fold in self.folds], weights=posts)),
        }

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
            One row per post, in the order given: ``prediction`` with ``lower`` and ``upper`` in plain units,
            ``engagement_rate`` and ``score`` likewise (a rate is null where none was ever known), and whether
            the account was known.
        """
        posts, parts = forecast_posts(self, frame, history, threads)
        return _answer(posts, parts)

    def expected(self, inputs: Inputs) -> Floats:
        """Return the forecast of the primary count in log1p, which may lie below 0."""
        blend = self.calibration.blend
        answers = self.core.experts.answers(inputs, asked=blend.asked(inputs.is_new))
        return inputs.anchor + blend.residual(answers, inputs.is_new)

    def forecast(self, inputs: Inputs, names: list[str]) -> Forecast:
        """Forecast from inputs; `names` are the posts' populations."""
        prediction, scale = self._primary(inputs)
        ends = self.calibration.primary.interval(prediction, scale, inputs.is_new)
        prediction, lower, upper = (np.maximum(log, 0.0) for log in (prediction, *ends))
        engagement = inputs.engagement_anchor + self.core.engagement.predict(inputs.matrix)
        engagement_lower, engagement_upper = self._engagement_ends(engagement, inputs.is_new)
        # In one go, since that takes little longer than one of them.
        scores = self.reference.score([*names] * 3, np.concatenate([prediction, lower, upper]))
        score, score_lower, score_upper = np.split(scores, 3)
        return Forecast(
            prediction=prediction,
            lower=lower,
            upper=upper,
            engagement=engagement,
            engagement_lower=engagement_lower,
            engagement_upper=engagement_upper,
            score=score,
            score_lower=score_lower,
            score_upper=score_upper,
            anchor=inputs.anchor,
            expected_error=scale,
            is_new=inputs.is_new,
        )

    def inside(self, inputs: Inputs, truth: Floats) -> dict[float, Bools]:
        """Return, for each nominal coverage, which of the true outcomes fall into their interval."""
        prediction, scale = self._primary(inputs)
        ends = {
            level: conformal.interval(prediction, scale, inputs.is_new)
            for level, conformal in self.calibration.levels.items()
        }
        return {level: (lower <= truth) & (truth <= upper) for level, (lower, upper) in ends.items()}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write every part as data and return what a bundle's description has to say of them."""
        self.core.experts.save(folder)
        save_regressor(self.core.engagement, folder, "engagement")
        save_regressor(self.calibration.spread, folder, "spread")
        self.history.save(folder / "history.parquet")
        state = {
            "fitted": self.core.fitted.to_dict(),
            "calibration": self.calibration.to_dict(),
            "reference": self.reference.quantiles,
            "sources": list(self.sources),
            "default_source": self.default_source,
            "folds": [fold.to_dict() for fold in self.folds],
            "hours": self.hours.to_dict() if self.hours else None,
        }
        (folder / "model.json").write_text(json.dumps(state, sort_keys=True, allow_nan=False), encoding="utf-8")
        return {
            "family": FAMILY,
            "platform": self.platform,
            "features": self.names,
            "schema_hash": schema_hash(),
        }

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> PerformanceModel:
        """Read what `save` wrote, or refuse a model made for other features."""
        check_schema(folder, meta)
        state = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return cls(
            platform=meta["platform"],
            names=list(meta["features"]),
            sources=tuple(state["sources"]),
            default_source=state["default_source"],
            core=Core(
                fitted=Fitted.from_dict(state["fitted"]),
                experts=Experts.load(folder),
                engagement=load_regressor(folder, "engagement"),
            ),
            calibration=Calibration.from_dict(state["calibration"], load_regressor(folder, "spread")),
            reference=Reference(state["reference"]),
            history=History.load(folder / "history.parquet"),
            folds=tuple(FoldScore.from_dict(fold) for fold in state["folds"]),
            hours=Hours.from_dict(state["hours"]) if state.get("hours") else None,
        )

    def _primary(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Return forecast and expected error of the primary count, in log1p."""
        return self.expected(inputs), self.calibration.scale(spread_columns(self.names, inputs.matrix))

    def _engagement_ends(self, engagement: Floats, is_new: Bools) -> tuple[Floats, Floats]:
        if self.calibration.engagement is None:
            unknown = np.full(len(engagement), np.nan)
            return unknown, unknown
        return self.calibration.engagement.interval(engagement, np.ones(len(engagement)), is_new)


def _answer(posts: Posts, parts: list[Forecast]) -> pl.DataFrame:
    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts] or [np.empty(0)])

    def rate(name: str) -> pl.Series:
        return pl.Series(np.exp(column(name))).fill_nan(None)

    return pl.DataFrame(
        {
            "post_id": list(posts.post_id),
            "prediction": np.expm1(column("prediction")),
            "lower": np.expm1(column("lower")),
            "upper": np.expm1(column("upper")),
            "engagement_rate": rate("engagement"),
            "engagement_rate_lower": rate("engagement_lower"),
            "engagement_rate_upper": rate("engagement_upper"),
            "score": column("score"),
            "score_lower": column("score_lower"),
            "score_upper": column("score_upper"),
            "account_known": ~column("is_new").astype(np.bool_),
        },
        schema_overrides={"post_id": pl.String},
    )
