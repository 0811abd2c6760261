"""clipcast's forecasts against those of others, on the latest fifth of files of posts in the import format.

    python benchmarks/forecasts.py POSTS.csv.gz... [--trials N] [--budget 90] [--only peers] [--keep DIR] [--json FILE]

For each file a workspace is made in which clipcast knows nothing but the posts up to three days before the first
test post. `import`, `run weekly` and `predict` are run there as a user would run them. The peers learn from the
same rows.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from commands import Cost, run_clipcast
from comparison import METRICS, OURS, REPLICATES, SEED, SLICE_AGAINST, Comparison, Part, compare
from features.errors import ClipcastError, SettingsError
from features.telemetry import silence
from holdout import read, split_posts
from peers import CONFORMAL, forecasts
from training.ladder import Interval, markdown_table

Found = dict[str, tuple[Comparison, list[Cost]]]

FORECASTS = ("Set", "Forecast", "R²", "Spearman", "MAE", "clipcast's MAE against it, %", "Seconds")
PARTS = (
    *("Set", "Slice", "Posts", "Accounts", "80 % interval: coverage, %", "Width"),
    *(f"{CONFORMAL}: coverage, %", "Width", *(f"MAE against {peer}, %" for peer in SLICE_AGAINST)),
)
COSTS = ("Set", "Command", "Seconds", "Peak MiB")

NOTE = """R², Spearman and MAE are of log1p of the views (likes on Instagram). In brackets: 95 % intervals from
{replicates:,} resamples of accounts; after ±: standard errors clustered by account; widths are in log1p.
FLAML searched {budget_s} s a set. The split-conformal interval lies around a fit on the first 80 % of the training
rows in time, and is calibrated on the rest; it is not refitted.
"""


def main(
    files: Annotated[list[Path], typer.Argument(help="Posts in the import format, one platform a file.", exists=True)],
    trials: Annotated[int | None, typer.Option(help="Trials of clipcast's search; else as params.yaml says.")] = None,
    budget: Annotated[int, typer.Option(help="Seconds that FLAML may search.")] = 90,
    only: Annotated[Literal["clipcast", "peers"] | None, typer.Option(help="Leave the other side out.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the workspaces here, and reuse the peers' forecasts.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")] = None,
) -> None:
    """Compare clipcast with constant, account median, anchor, LightGBM, CatBoost and FLAML."""
    settings = {"trials": trials, "budget_s": budget, "replicates": REPLICATES, "seed": SEED}
    found: Found = {}
    with folder_of(keep) as folder:
        for name, file in named(files).items():
            print(f"{name}: {file.name}", flush=True)
            found[name] = judge(file, folder / name, trials, budget, only)
            if json_file is not None:
                text = json.dumps(settings | {"sets": plain(found)}, indent=1, ensure_ascii=False)
                json_file.write_text(text + "\n")
    print("", NOTE.format_map(settings), *tables(found), sep="\n")


def judge(
    file: Path, folder: Path, trials: int | None, budget_s: int, only: str | None
) -> tuple[Comparison, list[Cost]]:
    """Forecast the latest fifth of a file, and compare."""
    split = split_posts(read(file))
    folder.mkdir(parents=True, exist_ok=True)
    found = {} if only == "clipcast" else forecasts(split, folder, budget_s)
    costs: list[Cost] = []
    if only != "peers":
        found[OURS], costs = run_clipcast(split, Path(tempfile.mkdtemp(prefix="clipcast-", dir=folder)), trials)
    return compare(split, found), costs


@contextmanager
def folder_of(keep: Path | None) -> Iterator[Path]:
    """Yield the folder to keep, or one that is gone afterwards."""
    if keep is not None:
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="clipcast-forecasts-") as folder:
        yield Path(folder)


def named(files: list[Path]) -> dict[str, Path]:
    """Name each set after its file, without any suffix."""
    sets = {file.name.partition(".")[0]: file for file in files}
    if len(sets) < len(files):
        raise SettingsError("sets are told apart by their files' names, and two files have the same; rename one")
    return sets


def plain(found: Found) -> dict[str, Any]:
    """Return every number by set, as JSON can hold it."""
    return {
        name: comparison.to_dict() | {"costs": [cost._asdict() for cost in costs]}
        for name, (comparison, costs) in found.items()
    }


def tables(found: Found) -> list[str]:
    """Return what was found as markdown: forecasts, intervals and slices, time and memory."""
    rows: dict[tuple[str, ...], list[list[str]]] = {FORECASTS: [], PARTS: [], COSTS: []}
    for name, (comparison, costs) in found.items():
        rows[FORECASTS] += [[name, *cells] for cells in forecast_cells(comparison)]
        rows[PARTS] += [[name, *part_cells(part)] for part in comparison.parts]
        rows[COSTS] += [[name, f"clipcast {c.command}", f"{c.seconds:.1f}", f"{c.peak_mib:,.0f}"] for c in costs]
    return [markdown_table(list(header), lines) for header, lines in rows.items() if lines]


def forecast_cells(comparison: Comparison) -> Iterator[list[str]]:
    """Yield a row for every forecast of a set."""
    for name, metrics in comparison.ladder.rungs.items():
        numbers = [metrics[metric].words() for metric in METRICS]
        yield [name, *numbers, per_cent(comparison.against.get(name)), f"{comparison.seconds[name]:.1f}"]


def part_cells(part: Part) -> list[str]:
    """Return the row of a slice."""
    cells = [part.level if part.slice == part.level else f"{part.slice}: {part.level}"]
    cells += [f"{part.posts:,}", f"{part.accounts:,}"]
    for band in map(part.bands.get, (OURS, CONFORMAL)):
        cells += band.words() if band else ("", "")
    return cells + [per_cent(part.against.get(peer)) for peer in SLICE_AGAINST]


def per_cent(interval: Interval | None) -> str:
    """Write a difference with its sign and its interval."""
    if interval is None:
        return ""
    value, low, high = (f"{100 * number:+z.1f}" for number in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    silence()
    try:
        typer.run(main)
    except ClipcastError as error:
        raise SystemExit(f"error: {error}") from None
