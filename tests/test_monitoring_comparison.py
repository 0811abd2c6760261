"""The challenger against the champion on posts that have matured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from false_alarms import draw_comparison, looks
from monitoring.comparison import Comparison, compare_shadow, compare_split, find_split_mismatch

ASKED: Mapping[str, Any] = {"false_alarm_rate": 0.01, "min_gain": 0.005, "min_posts": 200, "min_accounts": 20}
ACCOUNTS = 80


def answers(
    role: str, version: int, posts: range, *, save: float = 0.0, known_s: int = 0, seed: int = 1
) -> pl.DataFrame:
    """Answers about posts whose truth and account their number tells; `save` is the share of the error not made."""
    number = np.array(posts)
    rng = np.random.default_rng([seed, version])
    shared = np.random.default_rng(0).standard_normal(100_000)[number]
    truth = 8 + 0.1 * (number % 7)
    error = (1 - save) * (0.9 * shared + 0.4 * rng.standard_normal(len(number)))
    return pl.DataFrame(
        {
            "role": role,
            "version": version,
            "sha256": f"v{version}",
            "account_id": [f"a{each % ACCOUNTS}" for each in number],
            "post_id": [str(each) for each in number],
            "known_s": known_s + number,
            "truth": truth,
            "prediction": truth - error,
            "lower": truth - error - 1,
            "upper": truth - error + 1,
            "anchor": truth - shared,
            "expected_error": pl.Series([None] * len(number), dtype=pl.Float64),
        }
    )


def split(save: float, posts: int = 8000, **changed: Any) -> pl.DataFrame:
    champion = answers("champion", 1, range(posts))
    challenger = answers("challenger", 2, range(posts), save=save, **changed)
    on_second = pl.col("account_id").str.slice(1).cast(pl.Int64) % 2 == 1
    return pl.concat([champion.filter(~on_second), challenger.filter(on_second)])


def shadow(save: float, posts: int = 3000) -> pl.DataFrame:
    return pl.concat([answers("champion", 1, range(posts)), answers("shadow", 2, range(posts), save=save)])


def compared(found: Comparison | None) -> Comparison:
    assert found is not None
    return found


def test_a_challenger_that_errs_less_in_the_shadow_is_better_and_by_how_much() -> None:
    found = compared(compare_shadow(shadow(0.2), **ASKED))
    assert found.verdict == "challenger better"
    assert (found.champion_version, found.challenger_version, found.design) == (1, 2, "shadow")
    assert (found.posts, found.accounts) == (3000, ACCOUNTS)
    assert 0.005 < found.lower < 0.2 < found.upper
    rows = shadow(0.2)
    before, after = (
        (part["truth"] - part["prediction"]).abs().to_numpy().mean()
        for part in rows.partition_by("role", maintain_order=True)
    )
    assert found.gain == pytest.approx(1 - after / before)
    assert "Challenger version 2 against champion version 1" in found.sentence
    assert "the gate" in found.sentence


def test_a_challenger_that_errs_more_is_taken_out() -> None:
    found = compared(compare_shadow(shadow(-0.2), **ASKED))
    assert found.verdict == "champion better"
    assert found.upper < -0.005
    assert compared(compare_split(split(-0.4), **ASKED)).verdict == "champion better"


def test_a_gain_within_the_margin_does_not_make_a_challenger_better() -> None:
    gain = compared(compare_shadow(shadow(0.2), **ASKED)).gain
    assert compared(compare_shadow(shadow(0.2), **(ASKED | {"min_gain": gain - 0.001}))).verdict == "undecided"


def test_versions_that_answer_alike_are_equal() -> None:
    champion = answers("champion", 1, range(500))
    alike = champion.with_columns(role=pl.lit("shadow"), version=pl.lit(2, pl.Int64))
    found = compared(compare_shadow(pl.concat([champion.cast({"version": pl.Int64}), alike]), **ASKED))
    assert found.verdict == "equal within the margin"
    assert found.gain == 0


def test_few_posts_or_accounts_decide_nothing() -> None:
    found = compared(compare_shadow(shadow(0.5, posts=150), **ASKED))
    assert found.verdict == "undecided"
    assert np.isnan(found.gain)
    assert "150 posts of 80 accounts so far, and 200 posts of 20 accounts are needed" in found.sentence
    narrow = shadow(0.5).filter(pl.col("account_id").is_in([f"a{n}" for n in range(19)]))
    assert compared(compare_shadow(narrow, **ASKED)).verdict == "undecided"


def test_without_posts_that_both_forecast_there_is_nothing_to_compare() -> None:
    assert compare_shadow(answers("champion", 1, range(300)), **ASKED) is None
    apart = pl.concat([answers("champion", 1, range(300)), answers("shadow", 2, range(300, 600))])
    assert compare_shadow(apart, **ASKED) is None
    assert compare_split(answers("champion", 1, range(300)), **ASKED) is None


def test_only_posts_of_the_newest_pair_count() -> None:
    rows = pl.concat(
        [
            answers("champion", 1, range(3000)),
            answers("shadow", 2, range(1000), save=0.9),
            answers("shadow", 3, range(1000, 3000), save=-0.3),
        ]
    )
    found = compared(compare_shadow(rows, **ASKED))
    assert (found.challenger_version, found.posts, found.verdict) == (3, 2000, "champion better")
    named = compared(compare_shadow(rows, pair=(1, 2), **ASKED))
    assert (named.challenger_version, named.posts, named.verdict) == (2, 1000, "challenger better")


def test_a_challenger_is_compared_with_the_champion_that_served_beside_it() -> None:
    rows = split(0.3)
    before = answers("champion", 1, range(8000, 9000), save=-5.0, known_s=-20_000)
    old = answers("champion", 0, range(9000, 9500), save=-9.0, known_s=-20_000)
    found = compared(compare_split(pl.concat([rows, before, old]), **ASKED))
    assert (found.champion_version, found.challenger_version) == (1, 2)
    assert found.posts == pytest.approx(rows.height, abs=2)
    assert found.gain == pytest.approx(compared(compare_split(rows, **ASKED)).gain, abs=0.01)


def test_a_better_challenger_is_seen_in_the_split_too() -> None:
    found = compared(compare_split(split(0.4), **ASKED))
    assert found.verdict == "challenger better"
    assert found.lower < 0.4 < found.upper
    assert found.accounts == ACCOUNTS


def test_both_sides_of_a_split_need_enough_accounts() -> None:
    rows = split(0.4).filter((pl.col("role") == "champion") | pl.col("account_id").is_in([f"a{n}" for n in range(30)]))
    assert compared(compare_split(rows, **ASKED)).verdict == "undecided"


def test_what_the_anchor_foretells_makes_the_split_sharper() -> None:
    rows = split(0.0)
    with_anchor = compared(compare_split(rows, **ASKED))
    without = compared(compare_split(rows.with_columns(anchor=pl.lit(None, pl.Float64)), **ASKED))
    assert with_anchor.upper - with_anchor.lower < 0.8 * (without.upper - without.lower)


def test_pairs_of_forecasts_of_the_same_post_tell_more_than_a_split() -> None:
    paired, apart = compared(compare_shadow(shadow(0.0), **ASKED)), compared(compare_split(split(0.0, 3000), **ASKED))
    assert paired.upper - paired.lower < apart.upper - apart.lower


@pytest.mark.parametrize("design", ["shadow", "split"])
def test_equal_versions_looked_at_daily_are_told_apart_far_less_often_than_by_an_ordinary_test(design: str) -> None:
    worlds, rate = 200, 0.05
    told = naive = 0
    for each in range(worlds):
        found = draw_comparison(np.random.default_rng([6, each]), 0.0, design)
        lower, upper, statistic = looks(*found, rate)
        told += bool(((lower > 0) | (upper < 0)).any())
        naive += bool((statistic > 1.96).any())
    assert told / worlds <= rate
    assert naive / worlds > 4 * rate


def test_a_split_that_luck_does_not_explain_is_named_and_a_right_one_is_not() -> None:
    wrong = find_split_mismatch(950, 50, 0.1, 0.01)
    assert wrong.mismatch
    assert wrong.e_value >= 100
    assert "50 of 1000 accounts (5.0%) where 10.0% was asked" in wrong.sentence
    right = find_split_mismatch(895, 105, 0.1, 0.01)
    assert not right.mismatch
    assert not find_split_mismatch(0, 0, 0.1, 0.01).mismatch
