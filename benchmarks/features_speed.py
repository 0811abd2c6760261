"""Features per second, memory and growth from 10,000 to 1,000,000 simulated posts, on one core, against a peer.

The peer is what one would write in pandas: text counts by `str`, an account's earlier outcomes by `groupby` with
`rolling` and `expanding`: about a third of clipcast's features, and none that is dated by when an outcome became known.
The posts are those of ever more accounts of one world. Each size is measured in a process of its own, which reads the
posts from a file, so that its peak memory is that of the features; the quickest of some rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import polars as pl

import processes
from features.build import chunks, feature_names, featurize
from features.columns import Posts
from features.fitted import Fitted
from features.history import History
from features.known import known_posts
from features.rows import Rows
from features.schema import Platform
from features.simulate import SOURCE, World, simulate
from features.store import Store
from features.targets import engagement_log, history_of, populations, primary_log

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
PEER_UP_TO = 100_000
ROUNDS = 2
AT_LEAST_S = 4
FITTED_TO = 5_000
ONE_ROW_ROUNDS = 1_000
Figures: TypeAlias = dict[str, float]

LEAST_PER_S, MOST_ONE_ROW_US, MOST_GIB, MOST_SPREAD = 20_000, 100, 4.0, 0.15


def simulated(size: int) -> pl.DataFrame:
    """Simulate at least `size` TikTok posts and return what is known of them at the end."""
    world = World(platforms=(Platform.TIKTOK,), accounts=size // 24, weeks=26)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "data")
        store.append([simulate(world).posts], SOURCE)
        return known_posts(store, Platform.TIKTOK, world.end + timedelta(days=1))


def of_accounts(known: pl.DataFrame, size: int) -> pl.DataFrame:
    """Return every post of some of the accounts, about `size` posts in all."""
    sizes = known.group_by("account_id", maintain_order=True).len()
    taken = sizes.filter(pl.col("len").cum_sum() <= size)["account_id"]
    return known.filter(pl.col("account_id").is_in(taken.implode()))


def fitted_to(known: pl.DataFrame, posts: Posts, names: list[str]) -> Fitted:
    """Learn what features learn from some of the posts, spread over all times."""
    sample = np.linspace(0, len(posts) - 1, FITTED_TO).astype(np.int64)
    part = known[sample]
    outcome, engagement = np.nan_to_num(primary_log(part)), np.nan_to_num(engagement_log(part))
    chosen = [names[row] for row in sample]
    return Fitted.fit(posts.take(sample), chosen, outcome, engagement, anchor_weight=2.0, seed=7)


def clipcast_features(known: pl.DataFrame) -> Callable[[], int]:
    """Return a function that computes every feature of the posts, in chunks, from the index of the history on."""
    posts = Posts.from_frame(known)
    names = populations(posts)
    fitted = fitted_to(known, posts, names)
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
    """Return the seconds on a processor of the quickest of some calls, and what it answered.

    With one thread that is the time on an idle core, whoever else is at work on the machine.
    """
    taken: list[float] = []
    answer = 0
    while sum(taken) < AT_LEAST_S:
        started = time.process_time()
        answer = work()
        taken.append(time.process_time() - started)
    return min(taken), answer


def one_row_us(known: pl.DataFrame, history: History) -> float:
    """Return the median microseconds for all features of one post in a warm process."""
    posts = Posts.from_frame(known)
    names = populations(posts)
    fitted = fitted_to(known, posts, names)
    columns = feature_names(posts)
    taken = []
    for row in range(len(posts) - ONE_ROW_ROUNDS, len(posts)):
        post = posts.slice(row, row + 1)
        started = time.perf_counter()
        featurize(Rows(post, names[row : row + 1], history, fitted, post.published_s), columns)
        taken.append(time.perf_counter() - started)
    return 1e6 * float(np.median(taken))


def measure(file: Path, out: Path, peer: str) -> None:
    """Measure the posts of a file and write the figures as JSON."""
    known = pl.read_parquet(file)
    seconds, columns = timed((pandas_features if peer else clipcast_features)(known))
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    row_us = 0.0 if peer else one_row_us(known, history_of(known))
    figures = {"posts": known.height, "seconds": seconds, "columns": columns, "peak_gib": peak_gib, "row_us": row_us}
    out.write_text(json.dumps(figures), encoding="utf-8")


def make_files(folder: Path, sizes: tuple[int, ...]) -> None:
    """Write a file of posts for each size; in a process of its own, since a process starts with its parent's peak."""
    world = simulated(max(sizes))
    for size in sizes:
        of_accounts(world, size).write_parquet(folder / f"{size}.parquet")


def measured(file: Path, peer: str = "") -> Figures:
    """Measure the posts of a file in a process of its own."""
    out = file.with_suffix(".json")
    processes.run([__file__, "--file", str(file), "--out", str(out), "--peer", peer])
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    return figures


def best(figures: list[Figures]) -> Figures:
    """Return the least of each figure over the rounds."""
    return {name: min(each[name] for each in figures) for name in figures[0]}


def show(ours: Figures, peer: Figures | None) -> None:
    """Print one size's line of the table."""
    per_post_us = 1e6 * ours["seconds"] / ours["posts"]
    line = (
        f"{ours['posts']:>9,.0f} {ours['posts'] / ours['seconds']:>9,.0f} {per_post_us:>12.1f} "
        f"{ours['peak_gib']:>9.2f} {ours['row_us']:>11.0f}"
    )
    if peer:
        ratio = (peer["seconds"] / peer["columns"]) / (ours["seconds"] / ours["columns"])
        line += f" {peer['posts'] / peer['seconds']:>11,.0f} {ratio:>16.1f}"
    print(line, flush=True)


def grown(sizes: tuple[int, ...]) -> None:
    """Print the table of growth, and whether it is what was aimed at."""
    print("features on simulated posts, one core; peer: pandas groupby and str, features compared one by one")
    print(f"{'posts':>9} {'posts/s':>9} {'µs per post':>12} {'peak GiB':>9} {'one row µs':>11}", end=" ")
    print(f"{'peer post/s':>11} {'peer/ours a column':>16}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        processes.run([__file__, "--make", folder, "--up-to", str(max(sizes))])
        files = [Path(folder) / f"{size}.parquet" for size in sizes]
        # In turn, not one after the other: a machine that others use is not equally quick at all times.
        rounds = [[measured(file) for file in files] for _ in range(ROUNDS)]
        peers = [measured(file, "pandas") for file, size in zip(files, sizes, strict=True) if size <= PEER_UP_TO]
    lines = [best(list(each)) for each in zip(*rounds, strict=True)]
    for line, peer in zip_longest(lines, peers):
        show(line, peer)
    per_post = [each["seconds"] / each["posts"] for each in lines]
    spread = max(per_post) / min(per_post) - 1
    slowest, peak = 1 / max(per_post), max(each["peak_gib"] for each in lines)
    row_us = min(each["row_us"] for each in lines)
    print(_verdict(f"time per post grows or falls by {spread:.0%} between sizes", spread <= MOST_SPREAD, "15 %"))
    print(_verdict(f"at least {slowest:,.0f} posts/s", slowest >= LEAST_PER_S, f"{LEAST_PER_S:,}"))
    print(_verdict(f"peak of {peak:.2f} GiB", peak < MOST_GIB, f"{MOST_GIB:.0f} GiB"))
    print(_verdict(f"one row, warm: {row_us:.0f} µs for all features", row_us <= MOST_ONE_ROW_US, "100 µs"))


def _verdict(words: str, holds: bool, aim: str) -> str:
    return f"{words}: {'within' if holds else 'MISSES'} the aim of {aim}"


def main() -> None:
    """Print posts per second, memory, one row's time and the ratio to the peer, size by size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--up-to", type=int, default=SIZES[-1], help="the largest size to measure")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    sizes = tuple(size for size in SIZES if size <= chosen.up_to)
    if chosen.file:
        measure(chosen.file, chosen.out, chosen.peer)
    elif chosen.make:
        make_files(chosen.make, sizes)
    else:
        grown(sizes)


if __name__ == "__main__":
    main()
