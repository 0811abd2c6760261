"""The demonstration: two simulated weeks replayed, from import to a verdict, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from features.errors import ClipcastError
from features.settings import Settings
from features.simulate import World

MARKER = "this-folder-is-made-anew-by-clipcast-demo"
FEW_POSTS = "CLIPCAST_MONITORING__MIN_POSTS"
SMALL = {
    "CLIPCAST_TRAINING__TRIALS": "4",
    "CLIPCAST_TRAINING__FOLDS": "3",
    "CLIPCAST_VIRALITY__TRIALS": "2",
    "CLIPCAST_GATE__REPLICATES": "500",
    FEW_POSTS: "40",
}
"""Budgets of the demonstration, so that it ends in minutes; `params.yaml` holds those of real runs."""

WORLD = World(accounts=90, weeks=20)
LAST_DAY = WORLD.end.date() - timedelta(days=1)
WEEKS = (LAST_DAY - timedelta(days=14), LAST_DAY)


def run_demo(folder: Path, console: Console) -> None:
    """Simulate posts, retrain on two dates two weeks apart, and show what came of it and what to type next.

    Between the two, posts are asked about as they are published, and at the end monitoring holds the answers against
    what happened.
    """
    from flows.importing import import_sample
    from flows.job import end_of, name_of
    from flows.replaying import ask_production
    from flows.running import outcomes_of, print_outcome
    from flows.watching import monitor

    started = time.monotonic()
    _make_anew(folder)
    os.environ.update(SMALL)
    os.environ["CLIPCAST_HOME"] = str(folder.absolute() / "workspace")
    os.environ["CLIPCAST_DATA"] = str(folder.absolute() / "data")
    console.rule("1. Simulated posts")
    import_sample(WORLD.seed, WORLD.accounts, WORLD.weeks, console)
    outcomes: list[dict[str, Any]] = []
    for number, day in enumerate(WEEKS, start=2):
        console.rule(f"{number}. Weekly retraining as of {day.isoformat()}")
        outcomes = outcomes_of("weekly", None, day, console)
        for outcome in outcomes:
            print_outcome(outcome, console)
        if day != LAST_DAY:
            asked = ask_production(Settings.load(), end_of(day), end_of(LAST_DAY))
            console.print(
                f"the service's code gave {asked:,} answers about the posts of the two weeks that follow, as they were "
                "published"
            )
    _show_ladders(outcomes, console)
    console.rule("5. What came of the service's answers")
    monitor([], LAST_DAY, console, quiet=False)
    _show_next(time.monotonic() - started, console)
    failed = [name_of(outcome) for outcome in outcomes if outcome["verdict"] == "failed"]
    if failed:
        raise ClipcastError(f"the demonstration failed for {', '.join(failed)}; the lines above say why")


def _make_anew(folder: Path) -> None:
    """Empty the demonstration's folder, but never one that it did not make."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise ClipcastError(
                f"{folder.absolute()} holds other files; name an empty folder: clipcast demo --folder F"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def _show_ladders(outcomes: list[dict[str, Any]], console: Console) -> None:
    from flows.job import name_of
    from flows.reporting import show_ladder

    console.rule("4. How good it is, on simulated posts")
    for outcome in outcomes:
        if outcome.get("ladder"):
            show_ladder(name_of(outcome), outcome["ladder"], console)


def _show_next(seconds: float, console: Console) -> None:
    settings = Settings.load()
    clipcast = "clipcast" if shutil.which("clipcast") else ".venv/bin/clipcast"
    console.rule(f"Done in {seconds:.0f} s")
    console.print(f"cards with pictures: {settings.cards_dir}")
    console.print("\nnext, in this shell:\n")
    lines = (
        f"export CLIPCAST_HOME={settings.home} CLIPCAST_DATA={settings.data} {FEW_POSTS}={SMALL[FEW_POSTS]}",
        f"{clipcast} history          # every decision, with its reason",
        f"{clipcast} status           # what is in production",
        f"{clipcast} ui               # runs and versions side by side, in the browser",
        f"{clipcast} serve            # forecasts over HTTP, and a page at http://127.0.0.1:8000",
        f"{clipcast} monitor          # predictions against what happened; the daily run does it too",
        f"{clipcast} import FILE      # your own posts, then: {clipcast} run weekly",
    )
    for line in lines:
        console.print(f"  {line}")
