"""Predictions beside what came of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.errors import RegistryError
from features.targets import Reference, mature, primary_log
from monitoring.log import Prediction, PredictionLog, Role
from monitoring.matured import (
    Accuracy,
    accuracies,
    latest_predictions,
    matured,
    read_accuracies,
    write_accuracies,
)
from tests.training_world import known_frame

MODEL = "clipcast-tiktok-performance"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def outcomes() -> pl.DataFrame:
    return mature(known_frame("tiktok")).tail(40)


def reference(sha256: str) -> Reference | None:
    return None if sha256 == "gone" else Reference({"": [float(step) / 10 for step in range(101)]})


def predicted(post: str, at: datetime, score: float, **changed: Any) -> dict[str, Any]:
    row = {"id": f"{post}{at}", "at": at, "role": "champion", "model": MODEL, "sha256": "a", "post_id": post}
    return row | {"answer": json.dumps({"score": {"value": score}}).encode()} | changed


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us", "UTC"), "answer": pl.Binary})


def test_a_prediction_is_right_when_it_puts_a_post_on_the_side_of_the_middle_where_it_came_to_be() -> None:
    rows = outcomes()
    truth = [10 * value for value in primary_log(rows)]  # the reference's percentile of a log outcome
    before = [known_at - timedelta(days=1) for known_at in rows["known_at"]]
    wrong = {0, 3}
    said = [
        predicted(post, at, (100 - score if number in wrong else score))
        for number, (post, at, score) in enumerate(zip(rows["post_id"], before, truth, strict=True))
    ]
    scored = matured(frame(*said), rows, reference)
    assert sorted(scored["score_truth"]) == pytest.approx(sorted(truth))
    assert accuracies(scored, NOW) == {MODEL: Accuracy(40, pytest.approx(38 / 40), NOW.isoformat())}


def test_what_was_said_after_the_outcome_was_known_counts_for_nothing_and_the_last_word_before_counts() -> None:
    post, known_at = outcomes().select("post_id", "known_at").row(0)
    early, late, after = (known_at + timedelta(hours=hours) for hours in (-9, -5, 1))
    said = [predicted(post, early, 10.0), predicted(post, late, 20.0), predicted(post, after, 30.0)]
    assert matured(frame(*said), outcomes(), reference)["score"].to_list() == [20.0]


def test_posts_without_an_outcome_and_versions_that_are_gone_are_left_out() -> None:
    post, known_at = outcomes().select("post_id", "known_at").row(0)
    at = known_at - timedelta(hours=1)
    said = frame(predicted("never seen", at, 10.0), predicted(post, at, 10.0, sha256="gone"))
    assert matured(said, outcomes(), reference).is_empty()
    assert accuracies(matured(said, outcomes(), reference), NOW) == {}


def test_a_shadow_is_not_what_the_service_said() -> None:
    post, known_at = outcomes().select("post_id", "known_at").row(0)
    said = frame(predicted(post, known_at - timedelta(hours=1), 10.0, role="shadow"))
    assert accuracies(matured(said, outcomes(), reference), NOW) == {}


def test_the_latest_predictions_of_a_model_are_read_from_its_log(tmp_path: Path) -> None:
    log = PredictionLog(f"sqlite:///{tmp_path}/predictions.db")
    for number, model in enumerate([MODEL, MODEL, "another"]):
        at = (NOW - timedelta(days=number + 0.5)).timestamp()
        names = ("id", "semver", "sha256", "platform", "account_id", "post_id", "inputs_sha256")
        texts = dict.fromkeys(names, f"{number}")
        blobs = dict.fromkeys(("inputs", "features", "answer"), b"{}")
        log.append(
            Prediction(
                **texts,
                **blobs,
                at=at,
                role=Role.CHAMPION,
                model=model,
                version=1,
                published_s=0,
                latency_ms=1.0,
                cached=False,
            )
        )
    log.close()
    found = latest_predictions(f"sqlite:///{tmp_path}/predictions.db", MODEL, NOW)
    assert found["post_id"].to_list() == ["0", "1"]
    assert "features" not in found.columns


def test_accuracies_are_kept_as_they_were_found_and_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "accuracy.json"
    assert read_accuracies(file) == {}
    kept = {MODEL: Accuracy(40, 0.9, NOW.isoformat())}
    write_accuracies(file, kept)
    assert read_accuracies(file) == kept
    file.write_text("[]")
    with pytest.raises(RegistryError, match=r"accuracy\.json"):
        read_accuracies(file)
