"""A fitted performance model: forecasts views (or likes), engagement rate and score, with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.build import chunks, schema_hash
from features.columns import Bools, Floats, Ints, Posts
from features.errors import BundleError, SchemaError
from features.fitted import Fitted
from features.history import History
from features.rows import Rows
from features.targets import Reference, populations
from training.calibration import Calibration
from training.core import Core
from training.cross_validation import FoldScore
from training.estimators import load_regressor, save_regressor
from training.examples import Inputs, read_inputs
from training.experts import Experts
from training.hours import Hours
from training.judging import spread_columns
from training.parallel import in_order

FAMILY = "performance"


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecasts of some posts, as arrays: logs for the primary count and the rate, 0 to 100 for the score."""

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
        posts, names = self.read(frame)
        context = (self.history if history is None else history).joined(posts, names)

        def part(cut: slice) -> Forecast:
            return self.forecast(self.inputs(posts.slice(cut.start, cut.stop), names[cut], context), names[cut])

        calls = [partial(part, cut) for cut in chunks(len(posts))]
        # The first by itself: it works out what all look up in the history, which threads would each do for themselves.
        return _answer(posts, [*(call() for call in calls[:1]), *in_order(calls[1:], threads)])

    def answer(self, posts: Posts, *, together: bool) -> tuple[Inputs, Forecast]:
        """Forecast some posts from the model's own snapshot, and return what was read of them too.

        Posts asked `together` know of one another as in `predict`; others are each forecast as if asked alone.
        """
        posts = self._with_known_sources(posts)
        names = populations(posts)
        inputs = self.inputs(posts, names, self.history.joined(posts, names) if together else self.history)
        return inputs, self.forecast(inputs, names)

    def read(self, frame: pl.DataFrame) -> tuple[Posts, list[str]]:
        """Read posts in the import format, each with its population."""
        posts = self._with_known_sources(Posts.from_frame(frame))
        if len(posts) and posts.platform != self.platform:
            raise SchemaError(f"this model forecasts {self.platform}; give it no posts of {posts.platform}")
        return posts, populations(posts)

    def inputs(self, posts: Posts, names: list[str], history: History, known_until_s: Ints | None = None) -> Inputs:
        """Compute what the model reads of posts of some populations that look back on a history.

        Outcomes are read that were known when a post was published, or by the time given for it, in seconds.
        """
        until_s = posts.published_s if known_until_s is None else known_until_s
        return read_inputs(Rows(posts, names, history, self.core.fitted, until_s), self.names)

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
        return Forecast(
            prediction=prediction,
            lower=lower,
            upper=upper,
            engagement=engagement,
            engagement_lower=engagement_lower,
            engagement_upper=engagement_upper,
            score=self.reference.score(names, prediction),
            score_lower=self.reference.score(names, lower),
            score_upper=self.reference.score(names, upper),
            anchor=inputs.anchor,
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
        if meta["schema_hash"] != schema_hash():
            raise BundleError(
                f"the model in {folder} reads features of schema {meta['schema_hash'][:12]}, this clipcast "
                f"builds {schema_hash()[:12]}; install the clipcast it was trained with, or train again: "
                "clipcast run weekly"
            )
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

    def _with_known_sources(self, posts: Posts) -> Posts:
        known = set(self.sources)
        sources = [source if source in known else self.default_source for source in posts.source]
        return replace(posts, source=sources)


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
