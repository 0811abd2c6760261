"""Half a year with planted events, looked at every week: what monitoring finds, how soon, and what for nothing.

Simulated posts of TikTok. A model is fitted once to what was known before the first week; each week's version carries
the outcomes known by then, as a daily run would give it, and answers the week's posts through the service's own code.
At each week's end `monitoring.watch` looks. From week 13 on one thing changes:

- quiet: nothing;
- input drift: only the longest third of each account's videos is asked about, which are as hard to tell as the others;
- decay: chance grows, so that outcomes scatter more around the same forecasts;
- broken feature: captions no longer arrive;
- redefined metric: every view counts 2.8 times;
- skew: the service reads one feature otherwise than training does (looked at on the evening of the first day).

With files of real posts as arguments it replays their latest weeks instead, where nothing is planted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from features.known import known_posts
from features.reading import read_posts
from features.schema import COUNTS, Platform
from features.settings import Settings
from features.simulate import SOURCE, World, simulate
from features.store import Store
from features.targets import history_of
from flows.replaying import ask
from monitoring.alerts import Kind
from monitoring.log import PredictionLog
from monitoring.look import Look
from monitoring.watch import look_at
from registry.bundle import publish, write_bundle
from registry.loading import load
from registry.production import Production
from serving.versions import Version
from training.baseline import Baseline
from training.estimators import estimator
from training.examples import build_examples
from training.ladder import markdown_table
from training.performance import Performance
from training.performance_model import PerformanceModel
from training.recipe import Recipe
from training.report import report_on
from training.split import holdout_split

WEEKS, EVENT_WEEK, LEARNED_WEEKS = 26, 13, 16
ACCOUNTS, POSTS_A_WEEK = 160, 5.0
FOLLOWED = 8
"""Weeks that are looked at after an event began."""

WEEK = timedelta(weeks=1)

SCATTER = 0.8
"""Standard deviation of the chance that decay adds, in log; what chance the simulation has is .97."""

FACTOR = 2.8

MIN_POSTS = 100
"""So many of a week's posts are among the longest of their account at least."""

MEANT: dict[str, set[Kind]] = {
    "quiet": set(),
    "input drift": {Kind.DRIFT},
    "decay": {Kind.DECAY},
    "broken feature": {Kind.BROKEN},
    "redefined metric": {Kind.BIAS, Kind.REDEFINED},
    "skew": {Kind.SKEW},
}
"""The kind of alert that is to find each event."""


@dataclass(frozen=True)
class Fitted:
    """What was fitted before the first week."""

    model: PerformanceModel
    baseline: Baseline
    meta: dict[str, Any]


@dataclass(frozen=True)
class Replay:
    """A workspace that is replayed, week by week."""

    settings: Settings
    platform: Platform
    fitted: Fitted
    starts: datetime

    @property
    def model(self) -> str:
        """The registered name of the model that answers."""
        return f"clipcast-{self.platform}-performance"

    def week(self, number: int) -> tuple[datetime, datetime]:
        """Return when a week begins and ends, the first being 1."""
        return self.starts + (number - 1) * WEEK, self.starts + number * WEEK

    def known(self, at: datetime) -> pl.DataFrame:
        """Return what was known of all posts at a moment."""
        return known_posts(Store(self.settings.data), self.platform, at, **self.settings.outcome.model_dump())

    def answer(self, number: int, posts: pl.DataFrame) -> None:
        """Let the version of a week answer posts as of their publication."""
        begins, _ = self.week(number)
        with PredictionLog(self.settings.predictions_uri) as log:
            ask(self.version(number, self.known(begins)), posts, log)

    def look(self, at: datetime) -> Look:
        """Look at the model at a moment."""
        found = look_at(self.settings, self.model, self.platform, self.known(at), at)
        if found is None:
            raise RuntimeError("nobody was asked, so the replay is broken")
        return found

    def version(self, number: int, known: pl.DataFrame) -> Version:
        """Publish the fitted model with the outcomes known by now, as the version of a week."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "bundle"
            folder.mkdir()
            model = replace(self.fitted.model, history=history_of(known).snapshot())
            described = model.save(folder)
            self.fitted.baseline.save(folder)
            sha256 = write_bundle(folder, {**self.fitted.meta, **described, "week": number})
            target = publish(folder, self.settings.bundles_dir)
        production = Production(number, f"1.0.{number}", sha256, self.week(number)[0].isoformat())
        return Version(self.model, production, load(target, sha256))


def fit(known: pl.DataFrame, settings: Settings) -> Fitted:
    """Fit the default recipe without a search, and judge it on the latest fifth."""
    examples = build_examples(known, min_posts=settings.training.min_posts, min_accounts=2)
    shares = {"share": settings.training.holdout_share, "embargo_days": float(settings.outcome.maturity_days)}
    split = holdout_split(examples.published_s, examples.sources, **shares)
    recipe = Recipe("lightgbm", dict(estimator("lightgbm").defaults), settings.seed, folds=settings.training.folds)
    task, rows = Performance(), np.arange(len(examples), dtype=np.int64)
    known_then = examples.known_by(split.train, split.until_s)
    unseen = task.out_of_fold(recipe, known_then, split.train)
    evaluated = task.fit(recipe, known_then, split.train, unseen)
    served = task.fit(recipe, examples, rows, unseen.followed_by(task.judged(evaluated, examples, split)))
    report = report_on(task, evaluated, examples, split, replicates=100, seed=settings.seed)
    baseline = task.baseline(served, evaluated, examples, split.judge, report)
    meta = {"recipe": recipe.to_dict(), "outcome": settings.outcome.model_dump(), "trained_through": "", "posts": 0}
    return Fitted(served, baseline, meta)


def replay_seed(seed: int, events: Sequence[str], accounts: int) -> list[dict[str, Any]]:
    """Replay one simulated world with each event, and return what every look found."""
    world = World(seed, (Platform.TIKTOK,), accounts, LEARNED_WEEKS + WEEKS, posts_per_week=POSTS_A_WEEK)
    starts = world.end - WEEKS * WEEK
    posts = of_lasting_accounts(simulate(world).posts, starts)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = workspace(folder / "before", posts)
        before = Replay(settings, Platform.TIKTOK, _fitted(settings, starts), starts)
        rows += [found_in(before, "before", number, _asked(before, number)) for number in range(1, EVENT_WEEK)]
        for event in events:
            changed = changed_by(event, posts, before.week(EVENT_WEEK)[0], seed)
            after = replace(before, settings=workspace(folder / event.replace(" ", "-"), changed, before.settings.home))
            last = {"quiet": WEEKS, "skew": EVENT_WEEK}.get(event, EVENT_WEEK + FOLLOWED - 1)
            numbers = range(EVENT_WEEK, last + 1)
            rows += [found_in(after, event, number, sent(event, _asked(after, number))) for number in numbers]
            shutil.rmtree(after.settings.home.parent)
    return [{"seed": seed, **row} for row in rows]


def of_lasting_accounts(posts: pl.DataFrame, starts: datetime) -> pl.DataFrame:
    """Leave out accounts that had not posted five times when the replay starts: strangers are a drift of their own."""
    earlier = posts.filter(pl.col("published_at") < starts).group_by("account_id")
    lasting = earlier.agg(pl.col("post_id").n_unique()).filter(pl.col("post_id") >= 5)
    return posts.join(lasting, on="account_id", how="semi")


def workspace(folder: Path, posts: pl.DataFrame, earlier: Path | None = None, source: str = SOURCE) -> Settings:
    """Make a workspace with some posts, and with the log of an earlier one."""
    settings = Settings.load(home=folder / "home", data=folder / "data", monitoring={"min_posts": MIN_POSTS})
    if earlier is not None:
        shutil.copytree(earlier, settings.home)
    settings.home.mkdir(parents=True, exist_ok=True)
    Store(settings.data).append([posts], source)
    return settings


def changed_by(event: str, posts: pl.DataFrame, since: datetime, seed: int) -> pl.DataFrame:
    """Change what becomes of the posts published from a moment on."""
    is_later = pl.col("published_at") >= since
    if event == "redefined metric":
        return posts.with_columns(
            pl.when(is_later).then((pl.col("views") * FACTOR).round().cast(pl.Int64)).otherwise("views").alias("views")
        )
    if event != "decay":
        return posts
    names = posts["post_id"].unique().sort()
    chance = np.exp(np.random.default_rng(seed).normal(0, SCATTER, len(names)))
    scattered = posts.join(pl.DataFrame({"post_id": names, "chance": chance}), on="post_id", maintain_order="left")
    counts = [name for name in COUNTS if name != "followers" and name in posts.columns]
    return scattered.with_columns(
        pl.when(is_later).then((pl.col(name) * pl.col("chance")).round().cast(pl.Int64)).otherwise(name).alias(name)
        for name in counts
    ).select(posts.columns)


def sent(event: str, posts: pl.DataFrame) -> pl.DataFrame:
    """Change what the service is asked about some posts."""
    if event == "broken feature":
        return posts.with_columns(pl.lit(None, pl.String).alias("caption"))
    if event == "input drift":
        return posts.filter(pl.col("duration_s") >= pl.col("duration_s").quantile(2 / 3).over("account_id"))
    return posts


def found_in(replay: Replay, event: str, number: int, posts: pl.DataFrame) -> dict[str, Any]:
    """Let a week's posts be asked about, look at its end, and return what was found."""
    _, ends = replay.week(number)
    if event == "skew":
        ends = replay.week(number)[0] + timedelta(days=1)
        posts = posts.filter(pl.col("published_at") < ends)
    replay.answer(number, posts)
    if event == "skew":
        read_otherwise(replay.settings.predictions_uri, replay.fitted.model.names)
    look = replay.look(ends)
    asked = look.matured.filter(pl.col("known_s") >= int((ends - WEEK).timestamp()))
    error = (asked["truth"] - asked["prediction"]).abs()
    return {
        "event": event,
        "week": number,
        "posts": look.window.total,
        "error": float(error.to_numpy().mean()) if len(error) else None,
        "drift": None if look.drift is None else [look.drift.score, look.drift.prediction_distance],
        "kinds": sorted({str(each.kind) for each in look.findings}),
        "sentences": [each.sentence for each in look.findings],
    }


def read_otherwise(uri: str, names: Sequence[str]) -> None:
    """Let the log say that the service took the length of videos in minutes for one in seconds."""
    place = list(names).index("log_duration")
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
        newest = "SELECT id, features FROM predictions WHERE version = (SELECT max(version) FROM predictions)"
        for key, features in database.execute(newest).fetchall():
            values = np.frombuffer(features, "<f8").copy()
            values[place] -= np.log(60)
            database.execute("UPDATE predictions SET features = ? WHERE id = ?", (values.tobytes(), key))


def replay_file(file: Path, weeks: int) -> list[dict[str, Any]]:
    """Replay the latest weeks of real posts with one fit, made from the posts before them."""
    posts = pl.concat(list(read_posts(file)))
    platform = Platform(posts["platform"][0])
    starts = posts["published_at"].max().replace(hour=0, minute=0, second=0, microsecond=0) - weeks * WEEK
    with tempfile.TemporaryDirectory() as temporary:
        settings = workspace(Path(temporary), posts, source=file.name.partition(".")[0])
        known = known_posts(Store(settings.data), platform, starts, **settings.outcome.model_dump())
        replay = Replay(settings, platform, fit(known, settings), starts)
        promised = replay.fitted.baseline.judged
        holdout = float((promised["truth"] - promised["prediction"]).abs().to_numpy().mean())
        rows = []
        for number in range(1, weeks + 1):
            rows.append({"holdout": holdout, **found_in(replay, "real", number, _asked(replay, number, weeks))})
            print(f"  {file.name} week {number}: {rows[-1]['posts']} asked, {rows[-1]['kinds']}", file=sys.stderr)
    return [{"file": file.name, **row} for row in rows]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out, for each event, in how many worlds it was found, how soon, and what else was said of it."""
    lines = []
    for event, meant in MEANT.items():
        here = [row for row in rows if row["event"] == event or (event == "quiet" and row["event"] == "before")]
        if not here:
            continue
        seeds = sorted({row["seed"] for row in here})
        delays = [
            delay for seed in seeds if (delay := _delay([r for r in here if r["seed"] == seed], meant)) is not None
        ]
        others = Counter(kind for row in here for kind in set(row["kinds"]) - {str(each) for each in meant})
        found = f"{len(delays)} of {len(seeds)}" if meant else "nothing to find"
        soon = f"{median(delays):g} (at most {max(delays)})" if delays else ""
        said = ", ".join(f"{kind} {count}" for kind, count in others.most_common()) or "none"
        lines.append([event, found, soon, str(len(here)), said])
    return markdown_table(["Event", "Worlds in which it was found", "Weeks until then", "Looks", "Other alerts"], lines)


def episodes(rows: Sequence[Mapping[str, Any]], kind: Kind) -> int:
    """Count how often an alert opened: looks that found it where the look before had not."""
    opened, before = 0, False
    for row in sorted(rows, key=lambda each: each["week"]):
        opened += str(kind) in row["kinds"] and not before
        before = str(kind) in row["kinds"]
    return opened


def quiet_rates(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out how often each kind of alert opened in quiet worlds."""
    quiet = [row for row in rows if row["event"] in ("before", "quiet")]
    worlds: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in quiet:
        worlds[row["seed"]].append(row)
    lines = []
    for kind in Kind:
        opened = sum(episodes(each, kind) for each in worlds.values())
        shown = sum(str(kind) in row["kinds"] for row in quiet)
        lines.append([str(kind), str(opened), f"{opened / len(quiet):.3f}", f"{shown / len(quiet):.3f}"])
    return markdown_table(["Alert in quiet worlds", "Opened", "Opened per look", "Looks that show it"], lines)


def real_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out real weeks: how many were asked, how far off forecasts were beside the holdout, and what fired."""
    lines = [
        [
            row["file"],
            str(row["week"]),
            str(row["posts"]),
            "" if row["error"] is None else f"{row['error']:.3f}",
            "" if row["error"] is None else f"{row['error'] / row['holdout']:.2f}",
            ", ".join(row["kinds"]),
        ]
        for row in rows
    ]
    return markdown_table(
        ["File", "Week", "Asked", "MAE of log known that week", "over the holdout's", "Alerts"], lines
    )


def main() -> None:
    """Replay, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="real posts, one platform a file; else simulated")
    parser.add_argument("--seeds", type=int, default=20, help="simulated worlds")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--weeks", type=int, default=WEEKS, help="of real posts")
    parser.add_argument("--events", nargs="*", default=list(MEANT), choices=list(MEANT))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file to write every look to")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        if given.files:
            work = partial(replay_file, weeks=given.weeks)
            parts = pool.map(work, given.files)
        else:
            seeds = range(given.first_seed, given.first_seed + given.seeds)
            parts = pool.map(partial(replay_seed, events=given.events, accounts=given.accounts), seeds)
        for number, part in enumerate(parts, start=1):
            rows += part
            print(f"{number} done", file=sys.stderr, flush=True)
            if given.json is not None:
                given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(real_table(rows) if given.files else f"{table(rows)}\n\n{quiet_rates(rows)}")


def _delay(rows: Sequence[Mapping[str, Any]], meant: set[Kind]) -> int | None:
    """Weeks from the event to the first look that names it; None where none does."""
    weeks = [row["week"] for row in rows if {str(each) for each in meant} & set(row["kinds"])]
    return min(weeks) - EVENT_WEEK + 1 if weeks else None


def _asked(replay: Replay, number: int, weeks: int = WEEKS) -> pl.DataFrame:
    begins, ends = replay.week(number)
    return replay.known(replay.week(weeks + 1)[1]).filter(
        (pl.col("published_at") >= begins) & (pl.col("published_at") < ends)
    )


def _fitted(settings: Settings, starts: datetime) -> Fitted:
    known = known_posts(Store(settings.data), Platform.TIKTOK, starts, **settings.outcome.model_dump())
    return fit(known, settings)


if __name__ == "__main__":
    main()
