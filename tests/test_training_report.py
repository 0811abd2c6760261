"""How a model did on rows it had not seen, as numbers."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from tests.training_world import built, known_frame, recipe
from training.evaluate import Scored, ladder
from training.examples import Examples
from training.performance import Performance
from training.report import (
    Report,
    coverage_levels,
    engagement_metrics,
    gain,
    report_on,
    slice_gains,
)
from training.slices import slices_of
from training.split import Split, holdout_split

TASK = Performance()
RESAMPLED = {"replicates": 100, "seed": 7}


@cache
def examples() -> Examples:
    return built(known_frame(accounts=60))


@cache
def split() -> Split:
    return holdout_split(examples().published_s, examples().sources, share=0.2, embargo_days=3)


@cache
def report() -> Report:
    model = TASK.fit(recipe(), examples(), split().train)
    return report_on(TASK, model, examples(), split(), **RESAMPLED)


def shifted(scored: Scored, error: np.ndarray) -> Scored:
    """The same posts, forecast with given errors."""
    return replace(scored, prediction=scored.truth - error)


def test_several_sources_are_measured_apart_too() -> None:
    assert not [name for name in report().metrics() if name.startswith("source.")]
    labels = np.where(np.arange(len(split().judge)) % 2, "a", "b")
    halves = {name: replace(scored, slices={"source": labels}) for name, scored in report().rungs.items()}
    apart = Report(halves, ladder(halves, report().train_median, **RESAMPLED), report().train_median).metrics()
    first = report().model.take(labels == "a")
    assert apart["source.a.mae_log"] == pytest.approx(np.abs(first.truth - first.prediction).mean())
    assert {name for name in apart if name.startswith("source.b.")} == {
        "source.b.r2",
        "source.b.mae_log",
    }


def test_metrics_carry_the_ladder_below_the_model() -> None:
    metrics = report().metrics()
    assert metrics["holdout_posts"] == len(split().judge)
    assert metrics["holdout_accounts"] == len(set(examples().account[split().judge]))
    assert metrics["anchor_mae_log"] < metrics["constant_mae_log"]
    assert metrics["gain_over_anchor"] == report().anchor_gain.value
    assert metrics["mae_log_low"] <= metrics["mae_log"] <= metrics["mae_log_high"]
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())


def test_what_cannot_be_known_is_no_metric() -> None:
    counts = [pl.lit(1000, pl.Int64).alias(f"{look}views") for look in ("", "first_")]
    alike = built(known_frame().with_columns(counts))
    parts = holdout_split(alike.published_s, alike.sources, share=0.2, embargo_days=3)
    model = TASK.fit(recipe(), alike, parts.train)
    metrics = report_on(TASK, model, alike, parts, **RESAMPLED).metrics()
    assert "r2" not in metrics
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_constant_is_the_median_of_the_rows_learned_from_as_known_before_the_split() -> None:
    known = examples().known_by(split().train, split().until_s)
    assert report().train_median == np.median(known.outcome[split().train])
    assert report().train_median != np.median(examples().outcome[split().train])
    assert set(report().rungs["constant"].prediction) == {report().train_median}


def test_a_challenger_that_halves_every_error_gains_half() -> None:
    champion = report().model
    challenger = shifted(champion, champion.losses / 2)
    found = gain(champion, challenger, **RESAMPLED)
    assert found.value == pytest.approx(0.5)
    assert gain(champion, champion, **RESAMPLED).value == 0.0


def test_gated_slices_are_those_large_enough_to_say_something() -> None:
    champion = report().model
    worse = shifted(champion, champion.losses * 2)
    found = slice_gains(champion, worse, min_posts=20, min_accounts=3, **RESAMPLED)
    assert found
    for name, posts, accounts, part in found:
        assert name == "account new" or name.startswith("followers x media type ")
        assert posts >= 20
        assert accounts >= 3
        assert part.value == pytest.approx(-1.0)
    assert slice_gains(champion, worse, min_posts=10_000, min_accounts=3, **RESAMPLED) == []


def test_slices_cut_the_posts_by_account_followers_medium_and_source() -> None:
    slices = report().model.slices
    assert set(slices) == {"account", "followers", "media type", "source", "followers x media type"}
    assert set(slices["source"]) == {"simulated"}
    assert set(slices["account"]) <= {"known", "new"}


def test_a_tier_begins_at_its_round_number_of_followers() -> None:
    counts = [9_999, 10_000, 99_999, 100_000, 999_999, 1_000_000, None]
    known = known_frame().head(len(counts)).with_columns(followers=pl.Series(counts, dtype=pl.Int64))
    tiers = slices_of(built(known), np.arange(len(counts)), np.zeros(len(counts), bool))["followers"]
    expected = ["<10k", "10k-100k", "10k-100k", "100k-1M", "100k-1M", "1M+", "unknown"]
    assert tiers.tolist() == expected


def test_coverage_counts_the_posts_inside() -> None:
    scored = report().model
    promise = scored.promise(0.8)
    assert (promise.check, promise.promised) == ("intervals", 0.8)
    assert promise.kept == np.mean((scored.lower <= scored.truth) & (scored.truth <= scored.upper))
    assert 0 < promise.error < 0.2


def test_wider_levels_cover_more() -> None:
    model = TASK.fit(recipe(), examples(), split().train)
    levels = coverage_levels(TASK, model, examples(), split().judge)
    shares = [share for share, _ in levels.values()]
    assert list(levels) == sorted(levels)
    assert shares == sorted(shares)
    assert levels[0.8][0] == pytest.approx(report().model.promise(0.8).kept)


def test_the_engagement_rate_is_judged_beside_its_anchor() -> None:
    model = TASK.fit(recipe(), examples(), split().train)
    found = engagement_metrics(TASK, model, examples(), split().judge)
    assert 0 < found["engagement_mae_log"] < 1.5 * found["engagement_anchor_mae_log"]
    assert 0.6 < found["engagement_coverage"] < 0.95


def test_an_engagement_rate_that_is_nowhere_known_is_not_judged() -> None:
    model = TASK.fit(recipe(), examples(), split().train)
    unknown = replace(examples(), engagement=np.full(len(examples()), np.nan))
    assert engagement_metrics(TASK, model, unknown, split().judge) == {}
