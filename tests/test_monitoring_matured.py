"""Predictions beside what came of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from features.errors import RegistryError
from features.targets import Reference, mature, primary_log
from monitoring.accuracy import Accuracy, accuracy_of, read_accuracies, write_accuracies
from monitoring.log import Prediction, PredictionLog, Role
from monitoring.matured import MATURED, read_matured, write_outcomes
from tests.predictions_world import prediction
from tests.training_world import known_frame

MODEL = "clipcast-tiktok-performance"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
KNOWN = known_frame("tiktok")
HORIZON = timedelta(days=7)
WATCHED = mature(KNOWN).filter(~pl.col("assumed_known_at"))
LAST = WATCHED.filter(pl.col("published_at") <= WATCHED["published_at"].max() - HORIZON).tail(12)
AT = LAST["published_at"].max() + timedelta(days=21)  # type: ignore[operator]
GONE = "0" * 64


def reference(sha256: str) -> Reference | None:
    return None if sha256 == GONE else Reference({"": [float(step) / 10 for step in range(101)]})


def said(row: dict[str, Any], hours_before: float = 9, value: float = 1000.0, **changed: Any) -> Prediction:
    """An answer about a post, so many hours before its outcome was known."""
    answer = {
        "views": {"value": value, "lower": value / 2, "upper": value * 2},
        "score": {"value": 40.0},
        "account_anchor": 500.0,
        "expected_error": 0.7,
        "account_known": True,
    }
    at = (row["known_at"] - timedelta(hours=hours_before)).timestamp()
    fields = {
        "id": f"{row['post_id']} {at} {changed.get('role')} {changed.get('account_id')}",
        "post_id": row["post_id"],
        "at": at,
    }
    fields |= {"account_id": row["account_id"], "answer": orjson.dumps(answer)}
    return prediction(1, **{**fields, **changed})


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/predictions.db"


def settled(uri: str, *rows: Prediction, known: pl.DataFrame = KNOWN, at: datetime = AT) -> pl.DataFrame:
    with PredictionLog(uri) as log:
        for row in rows:
            log.append(row)
    write_outcomes(uri, MODEL, known, reference, at)
    return read_matured(uri, MODEL, since=at - timedelta(days=90), until=at)


def test_a_prediction_stands_beside_what_came_true_on_the_scale_of_the_model(uri: str) -> None:
    rows = LAST.to_dicts()
    found = settled(uri, *map(said, rows))
    assert found.schema == dict(MATURED)
    found = found.sort("post_id")
    expected = LAST.sort("post_id")
    assert found["post_id"].to_list() == expected["post_id"].to_list()
    assert found["truth"].to_list() == primary_log(expected).tolist()
    assert found["score_truth"].to_list() == pytest.approx(reference("a").score([""] * 12, primary_log(expected)))
    first = found.row(0, named=True)
    logs = [first[name] for name in ("lower", "prediction", "upper", "anchor")]
    assert logs == pytest.approx([6.2166, 6.9088, 7.6014, 6.2166], abs=1e-4)
    assert first["expected_error"] == 0.7
    assert orjson.loads(first["slices"])["account"] == "known"


def test_what_was_said_after_the_outcome_was_known_counts_for_nothing_and_the_last_word_before_counts(uri: str) -> None:
    [row] = LAST.tail(1).to_dicts()
    found = settled(uri, said(row, 9, 10.0), said(row, 5, 20.0), said(row, -1, 30.0))
    assert found["prediction"].to_list() == pytest.approx([3.0445], abs=1e-4)


def test_outcomes_that_come_late_or_twice_or_never_are_written_down_once(uri: str) -> None:
    rows = LAST.to_dicts()
    early = KNOWN.filter(~pl.col("post_id").is_in(LAST["post_id"].head(4).implode()))
    assert settled(uri, *map(said, rows), known=early).height == 8
    assert write_outcomes(uri, MODEL, KNOWN, reference, AT) == 4
    assert write_outcomes(uri, MODEL, pl.concat([KNOWN, LAST]), reference, AT) == 0
    assert settled(uri, said({**rows[0], "post_id": "never seen"})).height == 12


def test_an_outcome_seen_again_nearer_to_the_horizon_replaces_the_earlier_one(uri: str) -> None:
    [row] = LAST.tail(1).to_dicts()
    settled(uri, said(row))
    is_it = pl.col("post_id") == row["post_id"]
    later, earlier = (
        KNOWN.with_columns(
            pl.when(is_it).then(views).otherwise("views").alias("views"),
            pl.when(is_it).then(pl.col("age_days") + days).otherwise("age_days").alias("age_days"),
        )
        for views, days in ((4321, 1.0), (12, -0.5))
    )
    before = read_matured(uri, MODEL, since=AT - timedelta(days=90), until=AT)
    in_two_days = AT + timedelta(days=2)
    assert write_outcomes(uri, MODEL, later, reference, in_two_days) == 1
    found = read_matured(uri, MODEL, since=AT - timedelta(days=90), until=in_two_days)
    assert found["truth"].to_list() == pytest.approx([8.3715], abs=1e-4)
    assert write_outcomes(uri, MODEL, earlier, reference, AT) == 1
    assert read_matured(uri, MODEL, since=AT - timedelta(days=90), until=in_two_days).equals(found)
    seen_then = row["published_at"] + timedelta(days=row["age_days"])
    assert before.equals(read_matured(uri, MODEL, since=AT - timedelta(days=90), until=seen_then))


def test_a_post_that_is_watched_has_no_outcome_before_the_horizon_and_one_seen_once_late_has_at_maturity(
    uri: str,
) -> None:
    rows = LAST.to_dicts()
    soon = LAST["published_at"].max() + timedelta(days=6)  # type: ignore[operator]
    due = LAST.filter(pl.col("published_at") <= soon - HORIZON).height
    settled(uri, *map(said, rows), known=KNOWN.clear())
    assert write_outcomes(uri, MODEL, KNOWN, reference, soon) == due < 12
    once = KNOWN.with_columns(pl.lit(True).alias("assumed_known_at"))
    write_outcomes(uri, MODEL, once, reference, soon)
    assert read_matured(uri, MODEL, since=AT - timedelta(days=90), until=AT).height == 12


def test_answers_of_versions_that_are_gone_unknown_or_no_performance_neither_fail_nor_pass_for_right(uri: str) -> None:
    first, second, third = LAST.tail(3).to_dicts()
    rows = (
        said(first, sha256=GONE, version=99),
        said(second, answer=b'{"virality_score": 0.1}'),
        said(third, answer=b"no JSON"),
    )
    found = settled(uri, *rows)
    assert found["version"].to_list() == [99]
    assert found["score_truth"].to_list() == [None]
    assert accuracy_of(found, NOW) is None


def test_a_probability_of_going_viral_stands_beside_whether_the_post_did(uri: str) -> None:
    row, above = LAST.to_dicts()[0], math.expm1(primary_log(LAST)[0])
    for number, (viral_above, viral) in enumerate(((above - 1, 1), (above + 1, 0))):
        answer = {
            "virality_score": 0.25,
            "virality_interval": {"value": 0.25, "lower": 0.2, "upper": 0.3},
            "viral_above": viral_above,
            "account_known": False,
        }
        log = f"{uri}.{number}"
        [found] = settled(log, said(row, answer=orjson.dumps(answer))).to_dicts()
        assert (found["truth"], found["prediction"], found["lower"], found["upper"]) == (viral, 0.25, 0.2, 0.3)
        assert (found["anchor"], found["expected_error"], found["score_prediction"]) == (None, None, 25)
        assert orjson.loads(found["slices"])["account"] == "new"


def test_the_posts_of_another_account_with_the_same_id_are_other_posts(uri: str) -> None:
    [row] = LAST.tail(1).to_dicts()
    assert settled(uri, said(row, account_id="somebody else")).is_empty()
    assert settled(uri, said(row, account_id="")).height == 1


def test_nothing_of_the_future_is_known_to_a_look_at_the_past(uri: str) -> None:
    rows = LAST.to_dicts()
    settled(uri, *map(said, rows))
    until = LAST["published_at"].sort()[8] + HORIZON
    found = read_matured(uri, MODEL, since=AT - timedelta(days=90), until=until)
    seen = pl.col("published_at") + pl.duration(seconds=(pl.col("age_days") * 86_400).cast(pl.Int64))
    known = LAST.filter((pl.col("published_at") + HORIZON <= until) & (seen.dt.truncate("1s") <= until))
    assert 0 < found.height == known.height < 12


def test_of_a_busy_week_the_same_sample_is_read_each_time(uri: str) -> None:
    settled(uri, *map(said, LAST.to_dicts()))
    few = [read_matured(uri, MODEL, since=AT - timedelta(days=90), until=AT, most_a_week=2) for _ in range(2)]
    assert few[0].equals(few[1])
    assert 2 <= few[0].height < 12


def test_a_shadow_is_not_what_the_service_said_and_the_middle_divides_right_from_wrong(uri: str) -> None:
    rows = LAST.to_dicts()
    found = settled(uri, *map(said, rows), *(said(row, role=Role.SHADOW) for row in rows))
    assert sorted(found["role"].unique()) == ["champion", "shadow"]
    right = (reference("a").score([""] * 12, primary_log(LAST)) <= 50).sum()
    assert accuracy_of(found, NOW) == Accuracy(12, pytest.approx(right / 12), NOW.isoformat())
    assert accuracy_of(found.filter(pl.col("role") == "shadow"), NOW) is None


def test_accuracies_are_kept_as_they_were_found_and_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "accuracy.json"
    assert read_accuracies(file) == {}
    kept = {MODEL: Accuracy(40, 0.9, NOW.isoformat())}
    write_accuracies(file, kept)
    assert read_accuracies(file) == kept
    file.write_text("[]")
    with pytest.raises(RegistryError, match=r"accuracy\.json"):
        read_accuracies(file)
