"""What each address answers, and in which shape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from monitoring.accuracy import Accuracy, write_accuracies
from registry.loading import posts_of_rows
from serving.answers import PerformanceAnswer, PostingTimeAnswer
from serving.app import create_app
from tests.service_world import Workspace, a_workspace


class Service:
    """An app over a workspace, asked in this process."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(self.app), base_url="http://localhost"
            ) as client:
                return await client.request(method, path, json=body)

        return asyncio.run(send())

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.ask("POST", path, body)

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", path)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return a_workspace(tmp_path_factory.mktemp("served"))


def opened(workspace: Workspace, **changed: Any) -> Service:
    settings = workspace.settings
    app = create_app(settings.model_copy(update={"service": settings.service.model_copy(update=changed)}))
    app.state.service.versions.refresh()
    return Service(app)


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    made = opened(workspace)
    yield made
    made.app.state.service.log.close()


def test_a_forecast_has_every_number_with_its_interval_the_version_and_whether_the_account_is_known(
    workspace: Workspace, service: Service
) -> None:
    answer = service.post("/predict_performance", workspace.post(post_id="p1")).json()
    assert PerformanceAnswer.model_validate(answer).model_dump(exclude_none=True) == answer
    for name in ("views", "engagement_rate", "score"):
        assert answer[name]["lower"] <= answer[name]["value"] <= answer[name]["upper"]
    assert (answer["model"], answer["version"], answer["post_id"]) == (workspace.model, "1.0.0", "p1")
    assert (answer["coverage"], answer["account_known"]) == (0.8, True)
    stranger = service.post("/predict_performance", {"platform": "tiktok"}).json()
    assert stranger["account_known"] is False


def test_a_batch_is_answered_as_a_file_of_the_same_posts_is(workspace: Workspace, service: Service) -> None:
    bodies = [workspace.post(post_id=f"p{number}", caption=f"boat {number}") for number in range(5)]
    answers = service.post("/predict_performance/batch", {"posts": bodies}).json()["predictions"]
    model = service.app.state.service.versions.deployed.champions[workspace.model].model
    expected = model.predict(posts_of_rows(bodies, "tiktok"))
    assert [each["views"]["value"] for each in answers] == expected["prediction"].to_list()
    assert [each["post_id"] for each in answers] == [body["post_id"] for body in bodies]


def test_a_call_holds_a_thousand_posts_and_no_more(workspace: Workspace, service: Service) -> None:
    bodies = [workspace.post(post_id=str(number)) for number in range(1_001)]
    assert len(service.post("/predict_performance/batch", {"posts": bodies[:1_000]}).json()["predictions"]) == 1_000
    assert service.post("/predict_performance/batch", {"posts": bodies}).status_code == 422
    assert service.post("/predict_performance/batch", {"posts": []}).status_code == 422
    assert opened(workspace, max_batch=3).post("/predict_performance/batch", {"posts": bodies[:4]}).status_code == 413


def test_when_to_post_is_answered_for_every_hour_of_the_week_with_a_sentence(
    workspace: Workspace, service: Service
) -> None:
    body = {"platform": "tiktok", "artist_name": workspace.post()["account_id"], "target_countries": ["US", "DE"]}
    answer = service.post("/predict_posting_time", body).json()
    assert PostingTimeAnswer.model_validate(answer).model_dump() == answer
    assert {"US_EST", "US_PST", "DE_CET"} <= set(answer["timezone_breakdown"])
    best = datetime.fromisoformat(answer["optimal_time_utc"])
    assert timedelta(0) < best - datetime.now(UTC) <= timedelta(days=7, hours=1)
    for each in answer["timezone_breakdown"].values():
        assert datetime.fromisoformat(each["local_time"]) == best
    assert answer["lower"] <= answer["expected_engagement_boost"] <= answer["upper"]
    assert ("not distinguishable from none" in answer["sentence"]) == (not answer["distinguishable"])
    assert answer["account_known"] is True


def test_a_country_that_does_not_exist_is_named(service: Service) -> None:
    answer = service.post("/predict_posting_time", {"platform": "tiktok", "target_countries": ["XX"]})
    assert answer.status_code == 422
    assert "XX" in answer.json()["detail"]


def test_what_is_wrong_is_told_with_the_place_and_the_next_step(workspace: Workspace, service: Service) -> None:
    answer = service.post("/predict_performance", workspace.post(published_at="yesterday", followers=-3))
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {fault["where"] for fault in problem["faults"]} == {"body.published_at", "body.followers"}
    assert "/docs" in problem["detail"]
    assert "yesterday" not in answer.text


@pytest.mark.parametrize("platform", ["youtube", "instagram"])
def test_a_platform_without_a_model_says_how_to_train_one(service: Service, platform: str) -> None:
    answer = service.post("/predict_performance", {"platform": platform})
    assert answer.status_code == 404
    assert f"clipcast run weekly --platform {platform}" in answer.json()["detail"]


@pytest.mark.parametrize("feature", ["performance", "virality", "posting_time"])
def test_a_feature_that_is_switched_off_answers_404_with_the_reason(workspace: Workspace, feature: str) -> None:
    service = opened(workspace, **{feature: False})
    for path in (f"/predict_{feature}", f"/predict_{feature}/batch"):
        answer = service.post(path, {"platform": "tiktok"})
        assert answer.status_code == 404
        assert f"service.{feature}" in answer.json()["detail"]
    assert f"/predict_{feature}" not in service.get("/openapi.json").json()["paths"]


def test_a_caption_beyond_the_limit_is_refused_in_any_form(workspace: Workspace) -> None:
    service, long = opened(workspace, max_text_bytes=100), "ü" * 51
    assert service.post("/predict_performance", workspace.post(caption="ü" * 50)).status_code == 200
    for path, body in (
        ("/predict_performance", workspace.post(caption=long)),
        ("/predict_performance/batch", {"posts": [workspace.post(), workspace.post(caption=long)]}),
        ("/predict_virality", {"platform": "tiktok", "metadata": {"caption": long}}),
        ("/predict_posting_time", {"platform": "tiktok", "caption": long}),
    ):
        assert service.post(path, body).status_code == 413, path


def test_a_video_is_named_below_the_media_folder_or_refused(workspace: Workspace, service: Service) -> None:
    media: Path = workspace.settings.media
    media.mkdir(exist_ok=True)
    (media / "boat.mp4").write_bytes(b"video")
    for name, status in (("boat.mp4", 200), ("../ledger.db", 422), (str(workspace.settings.home / "ledger.db"), 422)):
        assert service.post("/predict_performance", workspace.post(video_path=name)).status_code == status, name


def test_health_names_what_serves_and_an_empty_service_is_not_well(
    workspace: Workspace, service: Service, tmp_path: Path
) -> None:
    found = service.get("/health").json()
    [model] = found["models"]
    assert (found["status"], found["problems"]) == ("ok", {})
    assert (model["name"], model["version"], len(model["sha256"])) == (workspace.model, "1.0.0", 64)
    assert 0 <= model["age_days"] < 1
    empty = opened(
        Workspace(workspace.settings.model_copy(update={"production_file": None, "home": tmp_path}), "tiktok")
    )
    answer = empty.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "empty")


def test_what_is_not_well_is_told_without_the_places_where_it_lies(workspace: Workspace, tmp_path: Path) -> None:
    settings = workspace.settings.model_copy(update={"home": tmp_path / "deep" / "folder"})
    settings.home.mkdir(parents=True)
    settings.production_file.write_text(workspace.settings.production_file.read_text())
    told = opened(Workspace(settings, "tiktok")).get("/health").json()["problems"][workspace.model]
    assert "bundle.json cannot be read" in told
    assert "deep" not in told


def test_the_service_goes_on_telling_what_it_knows_where_a_file_of_accuracies_is_broken(workspace: Workspace) -> None:
    workspace.settings.accuracy_file.parent.mkdir(exist_ok=True)
    workspace.settings.accuracy_file.write_text("{")
    told = opened(workspace).get("/ml_health")
    assert (told.status_code, told.json()["models_loaded"], told.json()["prediction_accuracy"]) == (200, 1, None)
    workspace.settings.accuracy_file.unlink()


def test_no_more_is_asked_of_the_hours_in_one_call_than_can_be_answered(service: Service) -> None:
    questions = [{"platform": "tiktok"}] * 1_001
    assert service.post("/predict_posting_time/batch", {"posts": questions}).status_code == 422
    found = service.post("/predict_posting_time/batch", {"posts": questions[:3]}).json()["predictions"]
    assert [len(each["surface"]) for each in found] == [168] * 3


def test_models_say_what_they_learned_from(service: Service) -> None:
    [model] = service.get("/models").json()["models"]
    assert (model["role"], model["platform"], model["family"]) == ("champion", "tiktok", "performance")
    assert model["posts"] > 100
    assert model["data_hash"] == "d" * 64


def test_what_is_counted_grows_with_what_is_asked_and_holds_nothing_that_callers_made_up(
    workspace: Workspace, service: Service
) -> None:
    def count(name: str) -> float:
        lines = service.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = count("clipcast_predictions_total")
    service.post("/predict_performance", workspace.post())
    service.post("/predict_performance/batch", {"posts": [workspace.post(), workspace.post()]})
    service.get("/made/up/path")
    assert count("clipcast_predictions_total") == before + 3
    assert "made" not in service.get("/metrics").text
    found = service.get("/ml_health").json()
    assert found["models_loaded"] == 1
    assert 0 < found["inference_latency_ms"]["p50"] <= found["inference_latency_ms"]["p99"]
    assert 0 <= found["cache_hit_rate"] <= 1


def test_how_right_the_models_were_is_told_once_it_is_known(workspace: Workspace, service: Service) -> None:
    assert service.get("/ml_health").json()["prediction_accuracy"] is None
    found = {"one": Accuracy(300, 0.9, "2026-11-22"), "two": Accuracy(100, 0.5, "2026-11-22")}
    write_accuracies(workspace.settings.accuracy_file, found)
    told = service.get("/ml_health").json()
    assert told["prediction_accuracy"] == pytest.approx(0.8)
    assert told["prediction_accuracy_by_model"]["two"]["posts"] == 100
