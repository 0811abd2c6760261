"""What monitoring a busy day takes: time and peak memory of `clipcast monitor` on one day of predictions.

Simulated posts; the service's own code answers each as it is published, and all of their outcomes have come by the day
that is looked at, so that the look has to do everything at once. With `--earlier` the outcomes of half a year before
are there too, so many a day.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import sqlalchemy as sa

from features.known import known_posts
from features.schema import Platform
from features.settings import Settings
from features.simulate import SOURCE, World, simulate
from features.store import Store
from flows.cli import NEEDS_ATTENTION
from flows.replaying import ask
from monitoring.log import PredictionLog, Role
from monitoring.predictions import TABLES, matured
from monitoring.verdict import LOOK_BACK
from monitoring_replay import Replay, fit, of_lasting_accounts
from processes import CLIPCAST, checkout, run
from registry.database import Database
from registry.production import write_production
from serving.versions import Version

WORLD = World(platforms=(Platform.TIKTOK,), accounts=300, weeks=14, posts_per_week=4.0)
AIM_S, AIM_MIB = 60.0, 2048.0
ACCOUNTS = 5_000
"""So many accounts the outcomes of before are of."""


def busy_day(posts: pl.DataFrame, count: int, begins: datetime) -> pl.DataFrame:
    """Return so many posts published within a day, like some that were published before, each looked at once."""
    rng = np.random.default_rng(7)
    latest = posts.sort("published_at", "observed_at").unique("post_id", keep="last", maintain_order=True).tail(3_000)
    seconds = np.sort(rng.integers(0, 86_400, count))
    published = pl.Series(seconds * 1_000_000).cast(pl.Duration("us")) + begins
    return latest[rng.integers(0, latest.height, count).tolist()].with_columns(
        pl.Series("post_id", [f"busy-{number:07d}" for number in range(count)]),
        published.cast(pl.Datetime("us", "UTC")).alias("published_at"),
        (published + timedelta(days=3, hours=12)).cast(pl.Datetime("us", "UTC")).alias("observed_at"),
    )


def fill(uri: str, version: Version, a_day: int, ends: datetime) -> int:
    """Write down outcomes of half a year before a moment, as far off as is usual, and return how many."""
    rng, count = np.random.default_rng(8), a_day * LOOK_BACK.days
    error, draw, truth = rng.normal(0, 0.8, count), rng.random(count), rng.normal(8, 2, count)
    known_s = np.linspace((ends - LOOK_BACK).timestamp(), ends.timestamp(), count, endpoint=False).astype(np.int64)
    own = {
        "model": version.name,
        "role": str(Role.CHAMPION),
        "source": SOURCE,
        "version": version.production.version,
        "semver": version.production.semver,
        "sha256": version.production.sha256,
        "expected_error": 0.6,
        "score_truth": 50.0,
        "score_prediction": 51.0,
        "slices": json.dumps({"account": "known", "media type": "video", "source": SOURCE}),
    }
    with Database(uri, tables=TABLES).writing() as connection:
        for start in range(0, count, 50_000):
            rows = [
                {
                    **own,
                    "post_id": f"earlier-{number:09d}",
                    "id": f"{number:032x}",
                    "account_id": f"account-{number % ACCOUNTS}",
                    "at": float(known_s[number] - 8 * 86_400),
                    "published_s": int(known_s[number] - 7 * 86_400),
                    "known_s": int(known_s[number]),
                    "seen_s": int(known_s[number]),
                    "truth": float(truth[number]),
                    "prediction": float(truth[number] + error[number]),
                    "lower": float(truth[number] + error[number] - 1),
                    "upper": float(truth[number] + error[number] + 1),
                    "anchor": float(truth[number] + 1.2 * error[number]),
                    "draw": float(draw[number]),
                }
                for number in range(start, min(start + 50_000, count))
            ]
            connection.execute(sa.insert(matured), rows)
    return count


def main() -> None:
    """Make the day, look at it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--earlier", type=int, default=0, help="outcomes a day of the half year before")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        settings = Settings.load(home=Path(temporary) / "home", data=Path(temporary) / "data")
        settings.home.mkdir()
        posts = of_lasting_accounts(simulate(WORLD).posts, WORLD.end - timedelta(weeks=2))
        store = Store(settings.data)
        store.append([posts], SOURCE)
        known = known_posts(store, Platform.TIKTOK, WORLD.end, **settings.outcome.model_dump())
        replay = Replay(settings, Platform.TIKTOK, fit(known, settings), WORLD.end)
        version = replay.version(1, known)
        write_production(settings.production_file, {version.name: version.production})
        day = busy_day(posts, given.predictions, WORLD.end)
        store.append([day], SOURCE)
        asked = known_posts(store, Platform.TIKTOK, **settings.outcome.model_dump())
        asked = asked.filter(pl.col("post_id").str.starts_with("busy-"))
        with PredictionLog(settings.predictions_uri) as log:
            started = time.perf_counter()
            ask(version, asked, log)
            answered_s = time.perf_counter() - started
        print(f"{asked.height:,} posts, answered and logged in {answered_s:.0f} s")
        earlier = fill(settings.predictions_uri, version, given.earlier, WORLD.end)
        print(f"{earlier:,} outcomes of the half year before")
        answer = Path(temporary) / "verdict.json"
        looked = (WORLD.end + timedelta(days=3, hours=12)).date()
        environment = {**checkout(), "CLIPCAST_HOME": str(settings.home), "CLIPCAST_DATA": str(settings.data)}
        words = [*CLIPCAST, "monitor", "--date", str(looked), "--json", str(answer)]
        seconds, peak_mib = run(words, environment, log=Path(temporary) / "log", allowed=(0, NEEDS_ATTENTION))
        [verdict] = json.loads(answer.read_text())["models"]
        print(f"clipcast monitor: {seconds:.1f} s (at most {AIM_S:g}), {peak_mib:,.0f} MiB (at most {AIM_MIB:,.0f})")
        print(f"{verdict['asked']:,} asked about, {verdict['matured']:,} matured read: {verdict['condition']}")


if __name__ == "__main__":
    main()
