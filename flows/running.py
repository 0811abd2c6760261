"""Run a flow from the command line, with what a person watches and a summary at the end."""

from __future__ import annotations

import os
from datetime import date
from typing import Any

from rich.console import Console
from rich.text import Text

from features.errors import ClipcastError
from features.settings import Settings
from features.store import Store
from flows.job import logical_date

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
    # The very first start compiles and migrates; on a busy machine that outlasts Prefect's 20 seconds.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "300")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def run_flow(name: str, platforms: list[str] | None, day: date | None, console: Console) -> int:
    """Run a flow and print what came of each platform; return 0, or 1 if any failed."""
    settings = Settings.load()
    day = logical_date(day)
    if name != "daily" and not Store(settings.data).platforms():
        raise ClipcastError(f"there are no posts in {settings.data}; import some: clipcast import FILE")
    outcomes = outcomes_of(name, platforms, day, console)
    console.print()
    for outcome in outcomes:
        print_outcome(outcome, console)
    failed = [outcome["platform"] for outcome in outcomes if outcome["verdict"] == "failed"]
    if failed:
        console.print(Text.assemble((f"{', '.join(failed)} failed", "red"), "; the others stand"))
    return 1 if failed else 0


def outcomes_of(name: str, platforms: list[str] | None, day: date | None, console: Console) -> list[dict[str, Any]]:
    """Run a flow through Prefect while a person watches, and return what came of each platform."""
    quiet_engines(Settings.load())
    from flows.orchestration import FLOWS
    from flows.progress import watching

    with watching(console) as board:
        board.say(name, "starting Prefect, which takes up to a minute the first time")
        found: list[dict[str, Any]] = FLOWS[name](platforms, day.isoformat() if day else None)
    return found


def print_outcome(outcome: dict[str, Any], console: Console) -> None:
    """Print one platform's lines of the summary."""
    version = f" {outcome['semver']}" if outcome.get("semver") else ""
    console.print(Text.assemble((outcome["platform"], "bold"), f"{version}: ", sentence(outcome)))
    if outcome.get("card"):
        console.print(f"  card: {outcome['card']}")


def sentence(outcome: dict[str, Any]) -> Text:
    """Return the reason with its verdict in front and in colour; the gate's reasons start with theirs already."""
    verdict, reason = outcome["verdict"], outcome["reason"]
    reason = reason.removeprefix(f"{verdict}: ").removeprefix("insufficient evidence: ")
    return Text(reason) if reason.startswith(verdict) else Text.assemble(WORDS[verdict], f": {reason}")
