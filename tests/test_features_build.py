"""Every feature: the same for one row as for many, blind to the future, unknown where its input is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import build
from features.build import CATEGORICAL, NAMES, chunks, feature_names, featurize, schema_hash
from features.captions import READ_CHARACTERS
from features.catalogue import CATALOGUE, GROUPS, feature
from features.errors import SchemaError
from features.fitted import Fitted
from features.history import History
from features.rows import Rows
from features.targets import history_of, populations
from tests.features_world import (
    DAY_S,
    HOUR_S,
    Made,
    assert_same_features,
    features_of,
    fit,
    known_frame,
    rows_of,
    worlds,
)

THOROUGH = settings(max_examples=40)

OUTCOME_COLUMNS = ("views", "likes", "comments", "shares", "saves")

READ_FROM = {
    "caption": {name for name in NAMES if CATALOGUE[name].group in ("text", "words")} - {"caption_language"}
    | {"hashtag_uses", "hashtag_momentum"},
    "sound_id": {"sound_uses", "sound_momentum"},
    "duration_s": {"log_duration"},
    "format": {"form"},
    "media_type": {"media_type"},
    "country": {"local_hour", "local_weekday"},
    "followers": {"log_followers"},
}
"""The features that are unknown for certain when an optional input is."""


def part_of(rows: Rows, start: int, stop: int) -> Rows:
    """Return some of the rows, in a request of their own."""
    return replace(
        rows,
        posts=rows.posts.slice(start, stop),
        populations=rows.populations[start:stop],
        known_until_s=rows.known_until_s[start:stop],
    )


def without_outcomes(known: pl.DataFrame, gone: pl.Expr) -> pl.DataFrame:
    """Return the frame as it was when the outcomes of some posts were not known."""
    names = [f"{look}{name}" for look in ("first_", "") for name in OUTCOME_COLUMNS]
    return known.with_columns(pl.when(~gone).then(pl.col("known_at", *names)))


def seen_at(known: pl.DataFrame, at: Any) -> pl.DataFrame:
    """Return the frame as it was at a time: later posts and outcomes do not exist."""
    earlier = known.filter(pl.col("published_at") <= at)
    return without_outcomes(earlier, (pl.col("known_at") >= at).fill_null(False))


@given(worlds)
@THOROUGH
def test_one_row_has_the_features_it_has_among_many_to_the_last_bit(world: list[Made]) -> None:
    rows = rows_of(known_frame(world))
    together = featurize(rows, NAMES)
    alone = [featurize(part_of(rows, row, row + 1), NAMES) for row in range(len(rows.posts))]
    np.testing.assert_array_equal(np.concatenate(alone), together, strict=True)


@given(worlds, st.integers(0, 45))
@THOROUGH
def test_rows_cut_in_two_have_the_features_they_have_together(world: list[Made], cut: int) -> None:
    rows = rows_of(known_frame(world))
    parts = [featurize(part_of(rows, start, stop), NAMES) for start, stop in ((0, cut), (cut, len(world)))]
    np.testing.assert_array_equal(np.concatenate(parts), featurize(rows, NAMES), strict=True)


@given(worlds, st.integers(0, 44))
@THOROUGH
def test_features_of_the_past_do_not_know_the_future(world: list[Made], moment: int) -> None:
    known = known_frame(world)
    at = known["published_at"][moment % known.height]
    past = known.filter(pl.col("published_at") <= at)
    then = rows_of(past, history=history_of(seen_at(known, at)))
    assert_same_features(features_of(then), features_of(rows_of(past, history=history_of(known))))


@given(worlds, st.integers(0, 44), st.integers(0, 10**6))
@THOROUGH
def test_an_outcome_changes_no_feature_of_posts_published_before_it_became_known(
    world: list[Made], number: int, views: int
) -> None:
    known = known_frame(world)
    row = number % known.height
    became_known = known["known_at"][row]
    if became_known is None:
        return
    changed = known.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.lit(views)).otherwise(name).alias(name)
        for name in ("first_views", "first_likes")
    )
    before = known.filter(pl.col("published_at") <= became_known)
    assert_same_features(
        features_of(rows_of(before, history=history_of(changed))),
        features_of(rows_of(before, history=history_of(known))),
    )


@given(worlds, st.randoms(use_true_random=False))
@THOROUGH
def test_the_order_in_which_posts_stand_in_a_history_does_not_matter(world: list[Made], random: Any) -> None:
    known = known_frame(world)
    table = history_of(known).table
    shuffled = random.sample(range(table.height), table.height)
    rows = rows_of(known)
    assert_same_features(features_of(replace(rows, history=History(table[shuffled]))), features_of(rows))


@given(worlds)
@THOROUGH
def test_features_are_finite_or_unknown(world: list[Made]) -> None:
    for name, column in features_of(rows_of(known_frame(world))).items():
        assert not np.isinf(column).any(), name


@given(worlds, st.integers(0, 3_000))
@THOROUGH
def test_less_knowledge_of_outcomes_changes_the_account_group_alone(world: list[Made], stale_hours: int) -> None:
    known = known_frame(world)
    fresh = rows_of(known)
    stale = replace(fresh, known_until_s=fresh.known_until_s - stale_hours * HOUR_S)
    left, right = features_of(fresh), features_of(stale)
    others = [name for name in NAMES if CATALOGUE[name].group != "account"]
    assert_same_features({name: left[name] for name in others}, {name: right[name] for name in others})


def test_without_known_outcomes_an_account_stands_at_its_prior() -> None:
    known = known_frame([Made(hour=day * 24, views=10**6) for day in range(30)])
    rows = rows_of(known)
    nothing = features_of(replace(rows, known_until_s=np.zeros(known.height, np.int64)))
    assert (nothing["outcomes_known"] == 0).all()
    np.testing.assert_array_equal(nothing["anchor"], nothing["prior"])
    for name in ("last_outcome", "best_outcome", "outcome_spread", "other_population_mean", "outcome_age_days"):
        assert np.isnan(nothing[name]).all(), name
    assert features_of(rows)["outcomes_known"][-1] == 20


@pytest.mark.parametrize("column", READ_FROM)
def test_what_is_unknown_stays_unknown_and_is_never_0(column: str) -> None:
    known = known_frame(
        [
            Made(hour=hour, caption="hello #you?", sound="s1", form="short", country="DE", language="en")
            for hour in (0, 5)
        ]
    )
    full = features_of(rows_of(known))
    assert not any(np.isnan(full[name]).any() for name in READ_FROM[column])
    for missing in (known.with_columns(pl.lit(None).cast(known.schema[column]).alias(column)), known.drop(column)):
        lacking = features_of(rows_of(missing))
        for name in NAMES:
            if name in READ_FROM[column]:
                assert np.isnan(lacking[name]).all(), name
            elif name not in ("anchor", "prior", "engagement_anchor", "population"):
                np.testing.assert_array_equal(lacking[name], full[name], err_msg=name)


def test_the_language_is_unknown_when_neither_stated_nor_to_be_guessed() -> None:
    languages = [("en", None), (None, "was ist das und wie"), (None, None), (None, "???"), ("zz", "the way")]
    known = known_frame([Made(hour=n, language=said, caption=text) for n, (said, text) in enumerate(languages)])
    codes = features_of(rows_of(known))["caption_language"]
    np.testing.assert_array_equal(np.isnan(codes), [False, False, True, True, True])


def test_posts_of_no_rows_have_features_of_no_rows() -> None:
    empty = known_frame([]).head(0)
    rows = rows_of(empty)
    assert featurize(rows, NAMES).shape == (0, len(NAMES))
    assert populations(rows.posts) == []
    assert len(np.atleast_1d(rows.anchor)) == 0


def test_an_empty_history_serves_any_post() -> None:
    rows = rows_of(known_frame([Made(caption="#a", sound="s"), Made(hour=3)]), history=History.empty())
    features = features_of(rows)
    assert features["sound_uses"][0] == 0
    assert features["hashtag_uses"].tolist() == [0, 0]
    assert np.isnan(features["hours_since_previous"]).all()


def test_a_caption_of_a_megabyte_is_read_in_part_and_measured_in_full() -> None:
    text = "the #fyp 😂 " * 100_000  # eleven characters, again and again
    features = features_of(rows_of(known_frame([Made(caption=text), Made(hour=1, caption="the #fyp 😂 ")])))
    assert features["caption_length"][0] == len(text)
    assert features["emoji_count"][0] == READ_CHARACTERS // 11
    assert features["word_topic_00"][0] == features["word_topic_00"][1]


def test_measured_columns_are_taken_as_they_stand_and_unknown_where_missing() -> None:
    known = known_frame([Made(), Made(hour=1)]).with_columns(
        visual_brightness=pl.Series([0.5, None]), audio_tempo=pl.Series([float("inf"), 120.0])
    )
    rows = rows_of(known)
    names = feature_names(rows.posts)
    assert names == [*NAMES, "audio_tempo", "visual_brightness"]
    np.testing.assert_array_equal(featurize(rows, names)[:, -2:], [[np.nan, 0.5], [120.0, np.nan]])
    np.testing.assert_array_equal(featurize(part_of(rows, 1, 2), names)[:, -2:], [[120.0, np.nan]])
    unmeasured = rows_of(known.drop("visual_brightness", "audio_tempo"))
    assert np.isnan(featurize(unmeasured, ["visual_brightness", "audio_tempo"])).all()
    assert np.isnan(featurize(part_of(unmeasured, 0, 1), ["visual_brightness"])).all()


def test_computed_columns_are_taken_as_they_stand() -> None:
    rows = rows_of(known_frame([Made(), Made(hour=1)]))
    given_hours = {"hour": np.array([7.0, 8.0])}
    assert featurize(rows, ["weekday", "hour"], given_hours)[:, 1].tolist() == [7.0, 8.0]
    assert featurize(part_of(rows, 0, 1), ["hour"], {"hour": np.array([7.0])}).tolist() == [[7.0]]


def test_a_name_of_no_feature_is_refused_by_that_name() -> None:
    with pytest.raises(SchemaError, match="no feature 'mood'"):
        featurize(rows_of(known_frame([Made()])), ["hour", "mood"])


@given(worlds)
@settings(max_examples=15)
def test_fitted_and_history_come_back_from_disk_with_the_same_features(
    tmp_path_factory: pytest.TempPathFactory, world: list[Made]
) -> None:
    rows = rows_of(known_frame(world))
    path = tmp_path_factory.mktemp("history") / "history.parquet"
    rows.history.save(path)
    text = json.dumps(rows.fitted.to_dict(), allow_nan=False)
    again = replace(rows, history=History.load(path), fitted=Fitted.from_dict(json.loads(text)))
    assert_same_features(features_of(again), features_of(rows))


def test_a_history_of_the_same_rows_is_saved_as_the_same_bytes(tmp_path: Path) -> None:
    table = rows_of(known_frame([Made(hour=hour, views=hour) for hour in range(50)])).history.table
    History(table).save(tmp_path / "one.parquet")
    History(table.reverse()).save(tmp_path / "other.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()


def test_fitting_to_the_same_rows_gives_the_same_parameters() -> None:
    known = known_frame([Made(account=f"a{n % 7}", hour=n, followers=n * n, views=7 * n) for n in range(100)])
    assert json.dumps(fit(known).to_dict()) == json.dumps(fit(known).to_dict())


def test_every_feature_has_a_meaning_and_a_group() -> None:
    assert set(NAMES) == set(CATALOGUE)
    for name, declared in CATALOGUE.items():
        assert declared.name == name
        assert declared.group in GROUPS
        assert declared.meaning.endswith(".")
    assert set(CATEGORICAL) < set(NAMES)


def test_features_stand_by_group_whatever_module_was_imported_first() -> None:
    places = [GROUPS.index(CATALOGUE[name].group) for name in NAMES]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("group", "name", "meaning"), [("mood", "a", "A."), ("text", "hour", "Twice."), ("text", "b", "")]
)
def test_a_feature_without_group_name_or_meaning_of_its_own_is_refused(group: str, name: str, meaning: str) -> None:
    with pytest.raises(ValueError, match="needs a name of its own"):
        feature(group, name, meaning)(lambda rows: rows.published_s)
    assert "a" not in CATALOGUE


def test_the_schema_hash_changes_with_what_a_model_may_read(monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema_hash()
    assert before == schema_hash()
    monkeypatch.setattr(build, "FEATURES_VERSION", build.FEATURES_VERSION + 1)
    assert schema_hash() != before


def test_chunks_cover_every_post_once() -> None:
    size = 2 * build.CHUNK + 5
    cuts = list(chunks(size))
    assert [cut.start for cut in cuts] == [0, build.CHUNK, 2 * build.CHUNK]
    assert sum(cut.stop - cut.start for cut in cuts) == size
    assert list(chunks(0)) == []


def test_a_look_that_ends_a_day_early_sees_what_was_known_then() -> None:
    rows = rows_of(known_frame([Made(hour=0, known_after_days=3.0), Made(hour=4 * 24)]))
    early = replace(rows, known_until_s=rows.known_until_s - DAY_S)
    assert features_of(rows)["outcomes_known"].tolist() == [0, 1]
    assert features_of(early)["outcomes_known"].tolist() == [0, 0]
