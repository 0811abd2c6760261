"""Features per second against a stated peer, on simulated posts, on one core.

The peer is what one would write in pandas: text counts by `str`, an account's earlier outcomes by `groupby` with
`rolling` and `expanding`: about a third of clipcast's features, and none that is dated by when an outcome became known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import polars as pl

from features.build import chunks, feature_names, featurize
from features.columns import Posts
from features.fitted import Fitted
from features.known import known_posts
from features.rows import Rows
from features.schema import Platform
from features.simulate import SOURCE, World, simulate
from features.store import Store
from features.targets import engagement_log, history_of, populations, primary_log

SIZES = (10_000, 30_000, 100_000)
ONE_ROW_ROUNDS = 300


def known_of(size: int) -> pl.DataFrame:
    """Simulate at least `size` TikTok posts and return what is known of them at the end."""
    import tempfile
    from pathlib import Path

    world = World(platforms=(Platform.TIKTOK,), accounts=size // 24, weeks=26)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "data")
        store.append([simulate(world).posts], SOURCE)
        return known_posts(store, Platform.TIKTOK, world.end + timedelta(days=1)).head(size)


def clipcast_features(known: pl.DataFrame) -> Callable[[], int]:
    """Return a function that computes every feature of the posts, in chunks."""
    posts = Posts.from_frame(known)
    names = populations(posts)
    sample = np.arange(0, len(posts), max(1, len(posts) // 5_000))
    part = known[sample]
    fitted = Fitted.fit(
        Posts.from_frame(part),
        [names[row] for row in sample],
        np.nan_to_num(primary_log(part)),
        np.nan_to_num(engagement_log(part)),
        anchor_weight=2.0,
        seed=7,
    )
    columns = feature_names(posts)

    def compute() -> int:
        history = history_of(known)
        for cut in chunks(len(posts)):
            chunk = posts.slice(cut.start, cut.stop)
            featurize(Rows(chunk, names[cut], history, fitted, chunk.published_s), columns)
        return len(columns)

    return compute


def pandas_features(known: pl.DataFrame) -> Callable[[], int]:
    """Return a function that computes the peer's features of the same posts."""
    frame = known.to_pandas()

    def compute() -> int:
        text = frame["caption"].fillna("")
        outcome = np.log1p(frame["views"].astype(float))
        earlier = outcome.groupby(frame["account_id"])
        columns = {
            "length": text.str.len(),
            "words": text.str.split().str.len(),
            "tags": text.str.count("#"),
            "mentions": text.str.count("@"),
            "emoji": text.str.count("[\U0001f300-\U0001faff☀-➿]"),
            "questions": text.str.count(r"\?"),
            "digits": text.str.count(r"\d"),
            "hour": frame["published_at"].dt.hour,
            "weekday": frame["published_at"].dt.dayofweek,
            "followers": np.log1p(frame["followers"].astype(float)),
            "n": earlier.cumcount(),
            "median5": earlier.transform(lambda s: s.shift().rolling(5, min_periods=1).median()),
            "mean": earlier.transform(lambda s: s.shift().expanding().mean()),
            "last": earlier.shift(),
            "max": earlier.transform(lambda s: s.shift().expanding().max()),
            "std": earlier.transform(lambda s: s.shift().expanding().std()),
            "gap": frame.groupby("account_id")["published_at"].diff().dt.total_seconds(),
        }
        return pd.DataFrame(columns).shape[1]

    return compute


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """Return the seconds of one call, and what it answered."""
    started = time.perf_counter()
    answer = work()
    return time.perf_counter() - started, answer


def one_row_us(known: pl.DataFrame) -> float:
    """Return the median microseconds for all features of one post in a warm process."""
    posts = Posts.from_frame(known)
    names = populations(posts)
    history = history_of(known)
    fitted = Fitted.fit(
        posts.slice(0, 5_000),
        names[:5_000],
        np.nan_to_num(primary_log(known[:5_000])),
        np.nan_to_num(engagement_log(known[:5_000])),
        anchor_weight=2.0,
        seed=7,
    )
    columns = feature_names(posts)
    taken = []
    for row in range(len(posts) - ONE_ROW_ROUNDS, len(posts)):
        post = posts.slice(row, row + 1)
        started = time.perf_counter()
        featurize(Rows(post, names[row : row + 1], history, fitted, post.published_s), columns)
        taken.append(time.perf_counter() - started)
    return 1e6 * float(np.median(taken))


def main() -> None:
    """Print posts per second, the ratio to the peer feature by feature, and one row's time."""
    print("features on simulated posts, one core; peer: pandas groupby and str")
    print(f"{'posts':>8} {'clipcast':>16} {'peer':>16} {'time ratio per feature (peer / clipcast)':>42}")
    for size in SIZES:
        known = known_of(size)
        ours_s, ours = timed(clipcast_features(known))
        peer_s, peer = timed(pandas_features(known))
        ratio = (peer_s / peer) / (ours_s / ours)
        print(
            f"{known.height:>8,} {known.height / ours_s:>10,.0f} /s x{ours:<2}"
            f" {known.height / peer_s:>10,.0f} /s x{peer:<2} {ratio:>40.1f}"
        )
    print(f"one post, warm: {one_row_us(known_of(SIZES[0])):.0f} µs for all features")


if __name__ == "__main__":
    main()
