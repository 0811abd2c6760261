"""What came of predictions, as rows: whose they are, and what they hold."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from monitoring.matured import MATURED
from monitoring.performance import LEAST_POSTS, Row, account_table, performance
from monitoring.verdict import ALL

MONDAY = datetime(2026, 9, 7, tzinfo=UTC)


def matured(posts: int = 240, **changes: Any) -> pl.DataFrame:
    """Posts of 20 accounts over four weeks, by version 1 in the first two and version 2 in the others."""
    rng = np.random.default_rng(3)
    number = np.arange(posts)
    is_late = number >= posts // 2
    truth = rng.normal(7, 1.5, posts)
    columns: dict[str, Any] = {
        "role": ["champion"] * posts,
        "source": ["simulated"] * posts,
        "post_id": [f"p{each}" for each in number],
        "id": [f"i{each}" for each in number],
        "at": np.full(posts, MONDAY.timestamp()),
        "version": 1 + is_late,
        "semver": np.where(is_late, "1.0.1", "1.0.0"),
        "sha256": ["a" * 64] * posts,
        "account_id": [f"a{each % 20}" for each in number],
        "published_s": int(MONDAY.timestamp()) - 8 * 86_400 + number,
        "known_s": int(MONDAY.timestamp()) + number * (28 * 86_400 // posts),
        "seen_s": int(MONDAY.timestamp()) + number * (28 * 86_400 // posts),
        "truth": truth,
        "prediction": truth + np.where(is_late, 0.5, 0.25),
        "lower": truth - 1,
        "upper": truth + np.where(number % 4 == 0, -0.5, 1),
        "anchor": truth - 1,
        "expected_error": np.full(posts, 0.4),
        "score_truth": np.where(number % 2 == 0, 60.0, 40.0),
        "score_prediction": np.where(number % 8 == 0, 40.0, np.where(number % 2 == 0, 60.0, 40.0)),
        "slices": [json.dumps({"account": "known", "media type": ["video", "image"][each % 2]}) for each in number],
        **changes,
    }
    return pl.DataFrame(columns).select(pl.col(name).cast(kind) for name, kind in MATURED.items() if name in columns)


def rows(frame: pl.DataFrame) -> dict[tuple[str, ...], Row]:
    found = performance(frame, replicates=50, seed=1)
    keyed = {(row.role, row.week, row.version, row.slice, row.level): row for row in found}
    assert len(keyed) == len(found)
    return keyed


def test_there_is_a_row_for_everything_every_week_every_slice_and_each_version_by_week() -> None:
    weeks = [str((MONDAY + timedelta(weeks=number)).date()) for number in range(4)]
    found = rows(matured())
    whole = {(ALL, ALL), *((week, ALL) for week in weeks)}
    of_versions = {(ALL, "1.0.0"), (ALL, "1.0.1"), *zip(weeks, ["1.0.0"] * 2 + ["1.0.1"] * 2, strict=True)}
    assert {key[1:3] for key in found if key[3] == ALL} == whole | of_versions
    assert {key[3:] for key in found if key[3] != ALL} == {
        ("account", "known"),
        ("media type", "video"),
        ("media type", "image"),
    }
    assert {key[1:3] for key in found if key[3] != ALL} == {(ALL, ALL)}


def test_a_row_holds_what_its_posts_say() -> None:
    found = rows(matured())
    everything = found["champion", ALL, ALL, ALL, ALL]
    assert (everything.posts, everything.accounts) == (240, 20)
    assert everything.metrics["mae_log"].value == pytest.approx(0.375)
    assert everything.metrics["coverage"].value == pytest.approx(0.75)
    assert everything.metrics["accuracy"].value == pytest.approx(7 / 8)
    assert (everything.anchor_error, everything.expected_error) == (pytest.approx(1), pytest.approx(0.4))
    assert everything.gain.value == pytest.approx(0.625)
    second = found["champion", "2026-09-28", "1.0.1", ALL, ALL]
    assert (second.posts, second.metrics["mae_log"].value) == (60, pytest.approx(0.5))
    assert second.flat()["mae_log"] == pytest.approx(0.5)
    video = found["champion", ALL, ALL, "media type", "video"]
    assert (video.posts, video.metrics["coverage"].value) == (120, pytest.approx(0.5))


def test_few_posts_make_no_row_and_roles_are_kept_apart() -> None:
    few = matured(4 * LEAST_POSTS - 20)
    assert {key[1:3] for key in rows(few) if key[3] == ALL} == {(ALL, ALL), (ALL, "1.0.0"), (ALL, "1.0.1")}
    both = pl.concat([matured(), matured(60, role=["shadow"] * 60)])
    assert rows(both)["champion", ALL, ALL, ALL, ALL] == rows(matured())["champion", ALL, ALL, ALL, ALL]
    assert rows(both)["shadow", ALL, ALL, ALL, ALL].posts == 60


def test_rows_that_versions_told_too_little_of_are_left_out() -> None:
    frame = matured()
    untold = frame.with_columns(anchor=pl.when(pl.col("version") == 1).then(None).otherwise("anchor"))
    found = rows(untold)
    assert found["champion", ALL, ALL, ALL, ALL].posts == 120
    unknown = replace(found["champion", ALL, ALL, ALL, ALL], expected_error=float("nan"))
    assert unknown.flat()["expected_error"] is None


def test_accounts_are_told_how_often_their_posts_were_forecast_right() -> None:
    found = account_table(pl.concat([matured(), matured(60, role=["shadow"] * 60)]))
    assert found["posts"].to_list() == [12] * 20
    first = found.filter(pl.col("account_id") == "a0").row(0, named=True)
    assert first["inside"] == pytest.approx(0)  # each fourth post is outside, and those are of every fourth account
    assert first["right"] == pytest.approx(0.5)
