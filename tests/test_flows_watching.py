"""Monitoring within a run: who is retrained because of it, and how often."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from features.settings import Settings
from flows import orchestration
from flows.watching import monitor, to_retrain, watch
from monitoring.alerts import Finding, Kind, alerts_of, update_alerts
from tests.service_world import a_workspace

MODEL = "clipcast-tiktok-performance"
DAY = datetime(2026, 6, 28, tzinfo=UTC)


@pytest.fixture
def decayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A workspace with an open alert of decay, in whose name a retraining was not asked for yet."""
    monkeypatch.setenv("CLIPCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLIPCAST_DATA", str(tmp_path / "data"))
    settings = Settings.load()
    settings.home.mkdir()
    update_alerts(settings.predictions_uri, MODEL, [Finding(MODEL, Kind.DECAY, "error", "it has risen", {})], DAY, 7)
    return settings


def open_alert(settings: Settings) -> int:
    [alert] = alerts_of(settings.predictions_uri, MODEL)
    return alert.id


def test_a_retraining_that_was_killed_or_failed_is_started_again_and_one_that_ended_is_not(
    decayed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def killed(*given: Any) -> list[dict[str, Any]]:
        asked.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(orchestration, "_side_by_side", killed)
    waiting = {"tiktok": [open_alert(decayed)]}
    with pytest.raises(KeyboardInterrupt):
        orchestration.retrain_decayed(waiting, "2026-06-28")
    [alert] = alerts_of(decayed.predictions_uri, MODEL)
    assert alert.retrain_at is None

    failed = [{"platform": "tiktok", "verdict": "failed", "reason": "a full disk", "family": "performance"}]
    monkeypatch.setattr(orchestration, "_side_by_side", lambda *given: (asked.append(given), failed)[1])
    assert orchestration.retrain_decayed(waiting, "2026-06-28") == failed
    [alert] = alerts_of(decayed.predictions_uri, MODEL)
    assert alert.retrain_at is None

    ended = [{"platform": "tiktok", "verdict": "kept", "reason": "", "family": "performance"}]
    monkeypatch.setattr(orchestration, "_side_by_side", lambda *given: (asked.append(given), ended)[1])
    assert orchestration.retrain_decayed(waiting, "2026-06-28") == ended
    [alert] = alerts_of(decayed.predictions_uri, MODEL)
    assert alert.retrain_at is not None
    assert asked == [("weekly", ["tiktok"], "2026-06-28")] * 3


def test_nothing_decayed_starts_nothing(decayed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestration, "_side_by_side", lambda *_: pytest.fail("nobody asked for it"))
    assert orchestration.retrain_decayed({}, "2026-06-28") == []
    assert to_retrain(decayed, []) == {}


def test_a_service_that_nobody_asked_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = a_workspace(tmp_path).settings
    assert watch(settings, None, DAY).looks == []
    assert not Path(settings.predictions_uri.removeprefix("sqlite:///")).exists()
    assert not settings.accuracy_file.exists()
    monkeypatch.setenv("CLIPCAST_HOME", str(settings.home))
    assert monitor([], None, Console(), quiet=False) == []
    assert "clipcast serve" in capsys.readouterr().out
