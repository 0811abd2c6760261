"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from features.settings import PREFIX, Settings
from features.telemetry import silence

# A busy machine is no reason to fail, and a failure must come back on the next run.
hypothesis_settings.register_profile("clipcast", deadline=None, derandomize=True)
hypothesis_settings.load_profile("clipcast")


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    silence()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty workspace."""
    return Settings.load(home=tmp_path / ".clipcast", data=tmp_path / "data")
