"""How right the service was, looked up when outcomes are in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from features.columns import Posts
from features.known import known_posts
from features.schema import Platform
from features.simulate import SOURCE, World, simulate
from features.store import Store
from features.targets import mature, populations, primary_log
from flows.looking_back import look_back
from monitoring.log import Prediction, PredictionLog, Role
from monitoring.matured import read_accuracies
from registry.loading import load
from tests.service_world import a_workspace


def test_a_day_tells_how_often_the_service_was_right_about_posts_that_have_matured_since(tmp_path: Path) -> None:
    workspace = a_workspace(tmp_path)
    settings = workspace.settings
    posts = simulate(World(platforms=(Platform.TIKTOK,), accounts=10, weeks=8)).posts
    store = Store(settings.data)
    store.append([posts], SOURCE)
    known = mature(known_posts(store, Platform.TIKTOK)).tail(30)
    production = workspace.registry.ledger.champion(workspace.model)
    assert production is not None
    now = known["known_at"].max() + timedelta(days=1)  # type: ignore[operator]
    reference = load(settings.bundles_dir / str(production.bundle_sha256)).model.reference  # type: ignore[attr-defined]
    truth = reference.score(populations(Posts.from_frame(known)), primary_log(known))
    log = PredictionLog(settings.predictions_uri)
    for number, (row, score) in enumerate(zip(known.to_dicts(), truth.tolist(), strict=True)):
        said = {"score": {"value": 100 - score if number < 6 else score}}
        log.append(
            Prediction(
                id=row["post_id"],
                at=row["published_at"].timestamp(),
                role=Role.CHAMPION,
                model=workspace.model,
                version=1,
                semver="1.0.0",
                sha256=str(production.bundle_sha256),
                platform="tiktok",
                account_id=row["account_id"],
                post_id=row["post_id"],
                published_s=0,
                inputs_sha256="",
                inputs=b"{}",
                features=b"",
                answer=orjson.dumps(said),
                latency_ms=1.0,
                cached=False,
            )
        )
    log.close()
    found = look_back(settings, now)
    assert found[workspace.model].posts == 30
    assert found[workspace.model].accuracy == pytest.approx(24 / 30)
    assert read_accuracies(settings.accuracy_file) == found


def test_a_service_that_nobody_asked_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = a_workspace(tmp_path).settings
    assert look_back(settings, datetime.now(UTC)) == {}
    assert not Path(settings.predictions_uri.removeprefix("sqlite:///")).exists()
    assert not settings.accuracy_file.exists()
