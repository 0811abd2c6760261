"""The commands a person waits for, from the command line, as ratios to peers measured in the same run.

`clipcast --help` and `clipcast status` against starting Python with the libraries that any forecast needs, and
`clipcast predict` on 100,000 posts against reading and writing the same files with pandas.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import timedelta
from pathlib import Path

import polars as pl

import processes
from features.schema import OUTCOMES, Platform
from features.simulate import World, simulate

ROUNDS = 5
LEARNED_FROM = 20  # one account in so many, for the training is not what is measured
STATUS_AIM_S, PREDICT_AIM_S = 1.5, 15.0
LIBRARIES = "import lightgbm, polars"
COPY = "import sys, pandas; pandas.read_csv(sys.argv[1]).to_csv(sys.argv[2], index=False)"


def make_posts(folder: Path, size: int) -> tuple[Path, Path, Path]:
    """Write simulated posts to learn from, the rest of the history, and `size` posts of its accounts to forecast."""
    posts = simulate(World(platforms=(Platform.TIKTOK,), accounts=size // 16, weeks=26)).posts
    accounts = posts["account_id"].unique(maintain_order=True)
    is_learned = pl.col("account_id").is_in(accounts[: len(accounts) // LEARNED_FROM].implode())
    learned, history, drafts = folder / "learned.parquet", folder / "history.parquet", folder / "drafts.csv"
    posts.filter(is_learned).write_parquet(learned)
    posts.filter(~is_learned).write_parquet(history)
    latest = posts.unique("post_id", keep="first", maintain_order=True).sort("published_at").tail(size)
    later = latest.drop(*OUTCOMES, "observed_at").with_columns(
        pl.concat_str(pl.lit("draft-"), pl.col("post_id")).alias("post_id"),
        pl.col("published_at") + timedelta(days=1),
    )
    later.write_csv(drafts)
    return learned, history, drafts


def quickest(arguments: list[str], environment: dict[str, str], rounds: int = ROUNDS) -> float:
    """Return the seconds of the quickest of some runs."""
    return min(processes.run(arguments, environment).seconds for _ in range(rounds))


def show(name: str, seconds: float, peer: str, peer_s: float, aim_s: float | None = None) -> None:
    """Print a command's seconds, the ratio to its peer, and whether it is as quick as aimed at."""
    verdict = f"; aim {aim_s:g} s: {'met' if seconds <= aim_s else 'MISSED'}" if aim_s else ""
    print(f"{name:<34} {seconds:>6.2f} s, {seconds / peer_s:>5.1f} x {peer} ({peer_s:.2f} s){verdict}", flush=True)


def main() -> None:
    """Train on simulated posts in an empty workspace, then time the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=100_000, help="posts to forecast")
    size = parser.parse_args().posts
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = processes.workspace(folder, trials=2)
        learned, history, drafts = make_posts(folder, size)
        processes.run([*processes.CLIPCAST, "import", str(learned), "--source", "simulated"], environment)
        processes.run([*processes.CLIPCAST, "run", "weekly"], environment)
        processes.run([*processes.CLIPCAST, "import", str(history), "--source", "simulated"], environment)
        start_s = quickest(["-c", LIBRARIES], environment)
        for name, aim_s in (("--help", None), ("status", STATUS_AIM_S)):
            seconds = quickest([*processes.CLIPCAST, name], environment)
            show(f"clipcast {name}", seconds, f'python -c "{LIBRARIES}"', start_s, aim_s)
        print(f"to forecast: {size:,} posts")
        copy_s = quickest(["-c", COPY, str(drafts), str(folder / "copy.csv")], environment, 2)
        predict = [*processes.CLIPCAST, "predict", str(drafts), "--out", str(folder / "forecasts.csv")]
        for known in ("store", "version"):
            seconds = quickest([*predict, "--source", "simulated", "--history", known], environment, 2)
            name = f"clipcast predict --history {known}"
            show(name, seconds, "pandas reading and writing the file", copy_s, PREDICT_AIM_S)


if __name__ == "__main__":
    main()
