"""Run a flow from the command line, with what a person watches and a summary at the end."""

from __future__ import annotations

import os
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from features.errors import ClipcastError
from features.settings import Settings
from features.space import told_when_full
from features.store import Store
from flows.job import logical_date, name_of
from flows.server import own_server

WORDS = {
    "promoted": ("promoted", "green"),
    "kept": ("champion kept", "cyan"),
    "insufficient": ("insufficient evidence", "yellow"),
    "refused": ("refused", "yellow"),
    "busy": ("busy", "yellow"),
    "superseded": ("superseded", "yellow"),
    "idle": ("nothing to do", "dim"),
    "failed": ("failed", "red"),
}
"""A verdict in words, with its colour."""


def quiet_engines(settings: Settings) -> None:
    """Give Prefect its home in the workspace and keep the engines' own logs from the screen.

    Call it before Prefect or MLflow is imported. What fails is told by the flow itself, with the traceback in a file.
    """
    settings.prefect_home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(settings.prefect_home))
    # Where whoever configured Prefect lets it start its own server, a busy machine needs more than its 20 seconds.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "300")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def prepare_databases(settings: Settings) -> None:
    """Make all tables before platforms race for it, and fail now if a database cannot be reached."""
    from registry.address import making_tables
    from registry.database import Database
    from registry.tracking import Tracking
    from training.tune import open_storage

    Database(settings.database_uri)
    Tracking(settings.tracking_uri, settings.artifacts_uri, settings.locks_dir).ping()
    with making_tables(settings.studies_uri, settings.locks_dir / "studies.lock", "CLIPCAST_STUDIES_URI"):
        open_storage(settings.studies_uri)


def written_to(settings: Settings) -> tuple[Path, Path, Path]:
    """Return the places that a run writes to, any of which may be full."""
    return settings.home, settings.data.parent, Path(tempfile.gettempdir())


def run_flow(name: str, platforms: list[str] | None, day: date | None, console: Console) -> int:
    """Run a flow and print what came of each model; return 0, or 1 if any failed."""
    settings = Settings.load()
    day = logical_date(day)
    if name != "daily" and not Store(settings.data).platforms():
        raise ClipcastError(f"there are no posts in {settings.data}; import some: clipcast import FILE")
    outcomes = outcomes_of(name, platforms, day, console)
    console.print()
    for outcome in outcomes:
        print_outcome(outcome, console)
    failed = [name_of(outcome) for outcome in outcomes if outcome["verdict"] == "failed"]
    if failed:
        console.print(Text.assemble((f"{', '.join(failed)} failed", "red"), "; the others stand"))
    return 1 if failed else 0


def outcomes_of(name: str, platforms: list[str] | None, day: date | None, console: Console) -> list[dict[str, Any]]:
    """Run a flow through Prefect while a person watches, and return what came of each model."""
    settings = Settings.load()
    quiet_engines(settings)
    from flows.progress import watching

    with watching(console) as board, told_when_full(*written_to(settings)):
        prepare_databases(settings)
        board.say(name, "starting Prefect, which takes up to a minute the first time")
        server = own_server(settings)
        from flows.orchestration import FLOWS

        if server:
            server.wait()
        found: list[dict[str, Any]] = FLOWS[name](platforms, day.isoformat() if day else None)
    return found


def print_outcome(outcome: dict[str, Any], console: Console) -> None:
    """Print one model's lines of the summary."""
    version = f" {outcome['semver']}" if outcome.get("semver") else ""
    console.print(Text.assemble((name_of(outcome), "bold"), f"{version}: ", sentence(outcome)))
    if outcome.get("card"):
        console.print(f"  card: {outcome['card']}")


def sentence(outcome: dict[str, Any]) -> Text:
    """Return the reason with its verdict in front and in colour; the gate's reasons start with theirs already."""
    verdict, reason = outcome["verdict"], outcome["reason"]
    reason = reason.removeprefix(f"{verdict}: ").removeprefix("insufficient evidence: ")
    return Text(reason) if reason.startswith(verdict) else Text.assemble(WORDS[verdict], f": {reason}")
