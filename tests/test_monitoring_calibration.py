"""Probabilities of going viral are held against what happened, with no more false alarms than was said."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from monitoring.calibration import Calibration, find_calibration

WEEK_S, MONDAY_S = 7 * 86_400, 1_788_739_200  # 2026-09-07
ASKED: dict[str, Any] = {"false_alarm_rate": 0.01, "min_posts": 100, "min_accounts": 10}


def rated(
    seed: int, weeks: int = 12, *, a_week: int = 100, factor: float = 1.0, since: int = 0, role: str = "champion"
) -> pl.DataFrame:
    """Posts of 40 accounts that go viral as often as was said, times a factor from a week on."""
    rng = np.random.default_rng(seed)
    week = np.arange(weeks).repeat(a_week)
    account = rng.integers(0, 40, len(week))
    chance = np.clip(rng.beta(1.2, 9, len(week)) * (0.8 + 0.01 * account), 0.005, 0.6)
    happens = chance * np.where(week >= since, factor, 1)
    return pl.DataFrame(
        {
            "role": role,
            "sha256": "a" * 64,
            "account_id": [f"a{each}" for each in account],
            "known_s": MONDAY_S + week * WEEK_S + rng.integers(0, WEEK_S, len(week)),
            "truth": (rng.random(len(week)) < happens).astype(np.float64),
            "prediction": chance,
        }
    )


def found_in(posts: pl.DataFrame, weeks: int = 12, **changes: Any) -> Calibration:
    rates = changes.pop("base_rates", {"a" * 64: 0.1})
    return find_calibration(posts, rates, at_s=MONDAY_S + weeks * WEEK_S, **{**ASKED, **changes})


def test_probabilities_that_hold_are_said_to_hold_with_what_they_save() -> None:
    posts = rated(1)
    found = found_in(posts)
    assert (found.measured, found.broken, found.since) == (True, False, None)
    assert found.lower < found.promised < found.upper
    assert found.scores.brier == pytest.approx(float(((posts["truth"] - posts["prediction"]) ** 2).to_numpy().mean()))
    of_base = float(((posts["truth"] - 0.1) ** 2).to_numpy().mean())
    assert found.scores.gain.value == pytest.approx(1 - found.scores.brier / of_base)
    assert found.scores.gain.low < found.scores.gain.value < found.scores.gain.high
    assert found.sentence.startswith("Probabilities of going viral are not shown to be off: ")
    assert f"their squared error is {found.scores.gain.value:.1%} below the base rate's" in found.sentence


@pytest.mark.parametrize("factor", [2.0, 0.3])
def test_a_share_that_leaves_what_was_said_is_told_with_the_week(factor: float) -> None:
    found = found_in(rated(2, factor=factor, since=6))
    assert found.broken
    assert (found.kept > found.promised) is (factor > 1)
    assert found.since is not None
    assert abs((found.since - date(2026, 10, 19)).days) <= 21
    assert f"are off since about {found.since}" in found.sentence


def test_where_nothing_ever_goes_viral_that_is_told_too() -> None:
    found = found_in(rated(3, factor=0.0, since=6))
    assert (found.broken, found.kept) == (True, 0.0)


def test_a_shift_that_has_ended_is_no_alarm() -> None:
    early, late = rated(4, 8, factor=2.5), rated(5, 14).filter(pl.col("known_s") >= MONDAY_S + 8 * WEEK_S)
    assert found_in(early, 8).broken
    assert not found_in(pl.concat([early, late]), 14).broken


def test_probabilities_that_hold_alarm_no_more_often_than_was_said() -> None:
    """Of 25 worlds looked at in each of 12 weeks at 1 % for each start, three that alarm would be a sign."""
    alarms = [any(found_in(posts, week).broken for week in range(2, 13)) for posts in map(rated, range(100, 125))]
    assert sum(alarms) <= 2


def test_too_few_posts_say_nothing_and_what_nobody_saw_does_not_count() -> None:
    few = found_in(rated(1, 1, a_week=99))
    assert (few.measured, few.broken, few.posts) == (False, False, 99)
    assert "It is too early" in few.sentence
    unseen = found_in(rated(1, role="shadow"))
    assert (unseen.measured, unseen.posts) == (False, 0)
    assert math.isnan(unseen.scores.brier)
    assert found_in(rated(1), base_rates={}).measured
    assert "base rate" not in found_in(rated(1), base_rates={}).sentence
