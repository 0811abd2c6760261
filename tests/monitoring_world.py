"""A workspace whose service was asked about simulated posts that have matured since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from features.known import known_posts
from features.schema import Platform
from features.simulate import SOURCE, World, simulate
from features.store import Store
from flows.replaying import ask
from monitoring.log import PredictionLog, Role
from registry.loading import load
from registry.production import Production
from serving.versions import Version
from tests.service_world import Workspace, a_workspace

PLATFORM = Platform.TIKTOK
WORLD = World(platforms=(PLATFORM,), accounts=90, weeks=13, posts_per_week=5)
OPENS = WORLD.end - timedelta(weeks=5)


@dataclass(frozen=True)
class Watched:
    """A workspace with a version in production and five weeks of posts that it has not seen, from `OPENS` on."""

    workspace: Workspace

    @property
    def settings(self) -> Any:
        return self.workspace.settings

    @property
    def model(self) -> str:
        return self.workspace.model

    @property
    def version(self) -> Version:
        row = self.workspace.registry.ledger.champion(self.model)
        assert row is not None
        assert row.version is not None
        sha256 = str(row.bundle_sha256)
        production = Production(row.version, str(row.semver), sha256, row.at.isoformat())
        return Version(self.model, production, load(self.settings.bundles_dir / sha256))

    def known(self, at: datetime | None = None) -> pl.DataFrame:
        """What is known of the posts at a moment."""
        return known_posts(Store(self.settings.data), PLATFORM, at)

    def ask(self, posts: pl.DataFrame, role: Role = Role.CHAMPION) -> None:
        """Let the version answer posts as of their publication."""
        with PredictionLog(self.settings.predictions_uri) as log:
            ask(self.version, posts, log, role)


def watched(folder: Path, posts: pl.DataFrame | None = None, **settings: Any) -> Watched:
    """Make such a workspace, of which nobody has asked anything yet; `posts` are the world's unless given."""
    store = Store(folder / "data")
    store.append([simulate(WORLD).posts if posts is None else posts], SOURCE)
    return Watched(a_workspace(folder, str(PLATFORM), known_posts(store, PLATFORM, OPENS), **settings))


def published(known: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """The posts of a frame that were published within a time."""
    return known.filter((pl.col("published_at") >= since) & (pl.col("published_at") < until))
