"""The command that forecasts a file of posts with the versions in production."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from features.errors import ImportFileError, NoChampionError, SettingsError
from features.history import History
from features.known import known_posts
from features.reading import read_posts, rejects_name
from features.safety import as_the_user_usually_writes
from features.schema import Platform
from features.settings import Settings
from features.space import told_when_full
from features.spreadsheet import guarded
from features.store import Store
from features.targets import history_of
from flows.screen import set_aside
from registry.bundle import open_bundle
from registry.production import Production, read_production
from registry.tracking import model_name
from training.parallel import in_order
from training.performance_model import FAMILY
from training.task import FAMILIES, load_model

HISTORIES = ("store", "version")


def predict_file(
    file: Path, out: Path, history: str, source: str | None, console: Console, family: str = FAMILY
) -> None:
    """Forecast the posts of a file and write one row for each, in the order of the file.

    Parameters
    ----------
    history
        ``store``: all that the store knows by now; ``version``: the snapshot that each version carries.
    source
        The source that the posts are like; a version that was not trained on it reads them as its default's.
    family
        What is forecast: ``performance`` or ``virality``.
    """
    if family not in FAMILIES:
        raise SettingsError(f"--family {family}: choose {' or '.join(FAMILIES)}")
    if history not in HISTORIES:
        raise SettingsError(f"--history {history}: choose {' or '.join(HISTORIES)}")
    if out.suffix not in (".csv", ".parquet"):
        raise ImportFileError(f"{out}: forecasts are written as .csv or .parquet; give --out such a name")
    settings = Settings.load()
    reading = read_posts(file, for_prediction=True)
    posts = reading.frame().with_columns(source=pl.lit(source, pl.String)).with_row_index("row")
    if reading.rejected:
        rejects = settings.home / "rejects" / rejects_name("predict", file)
        console.print(set_aside(reading.rejected, reading.write_rejects(rejects)))
    parts = [
        _forecast(settings, Platform(group["platform"][0]), group, history, family)
        for group in posts.partition_by("platform", maintain_order=True)
    ]
    answer = pl.concat(parts).sort("row").drop("row")
    _write(answer, out)
    console.print(f"{answer.height:,} forecasts written to {out}")


def _forecast(settings: Settings, platform: Platform, posts: pl.DataFrame, history: str, family: str) -> pl.DataFrame:
    name = model_name(str(platform), family)
    production = champion(settings, name)
    bundle = open_bundle(settings.bundles_dir / production.sha256, production.sha256)
    # A model's libraries take as long to import as the store takes to read, which needs no Python.
    steps: list[Callable[[], Any]] = [
        partial(load_model, bundle.folder, bundle.meta),
        partial(_history, settings, platform, history),
    ]
    model, known = in_order(steps, settings.threads)
    answer: pl.DataFrame = model.predict(posts, known, settings.threads)
    return answer.with_columns(posts["row"], platform=pl.lit(str(platform)), model_version=pl.lit(production.semver))


def champion(settings: Settings, name: str) -> Production:
    """Return what is in production for a model, as the production file says."""
    found = read_production(settings.production_file)
    if name not in found:
        platform = name.split("-")[1]
        raise NoChampionError(
            f"{name} has no production version in {settings.home}; fetch the one that the ledger knows, if "
            f"another workspace trained it: clipcast reconcile; or train one: clipcast run weekly --platform {platform}"
        )
    return found[name]


def _history(settings: Settings, platform: Platform, history: str) -> History | None:
    """Return what the store knows of a platform by now; None where it is not asked or holds nothing of it."""
    store = Store(settings.data)
    if history != "store" or platform not in store.platforms():
        return None
    known = known_posts(store, platform, datetime.now(UTC), **settings.outcome.model_dump())
    return history_of(known) if known.height else None


def _write(answer: pl.DataFrame, out: Path) -> None:
    with told_when_full(out.parent), as_the_user_usually_writes():
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".parquet":
            answer.write_parquet(out)
        else:
            guarded(answer).write_csv(out)
