"""The pictures of a model: ladder, predicted against actual, calibration, importance and slices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.drawing import (
    BLUE,
    GREY,
    INK,
    PALETTE,
    VERMILION,
    Heading,
    count_ticks,
    inches_for,
    name_rows,
    plain,
    save,
    titled_figure,
    whisker,
)
from training.evaluate import MODEL, Interval, Ladder, Scored, SliceRow
from training.ladder import WORDS
from training.resampling import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Evidence", "Heading", "write_pictures"]

TOP_FEATURES = 20
_BETTER = {"r2": "more", "spearman": "more", "accuracy": "more", "precision_top_fifth": "more"} | {
    "mae_log": "less",
    "mae_score": "less",
    "width": "less",
    "brier": "less",
    "log_loss": "less",
    "auc": "more",
    "calibration_error": "less",
    "precision_top_tenth": "more",
}
_ERRORS_IN_95_PERCENT = 1.96
_WORST_GAIN_PERCENT = -100


@dataclass(frozen=True)
class Evidence:
    """Everything the pictures of one version are drawn from.

    `levels` holds, for each nominal coverage between 0 and 1, the observed coverage and its standard error;
    `importance` the share of each feature; `groups` the group of each feature.
    """

    heading: Heading
    ladder: Ladder
    scored: Scored
    nominal_coverage: float
    levels: Mapping[float, tuple[float, float]]
    importance: Mapping[str, float]
    groups: Mapping[str, str]


def write_pictures(folder: Path, evidence: Evidence) -> dict[str, Path]:
    """Draw all pictures into a folder and return their paths by name, in the order of the card."""
    heading, ladder, nominal = evidence.heading, evidence.ladder, evidence.nominal_coverage
    figures = {
        "ladder": draw_ladder(heading, ladder, nominal),
        "predicted_actual": draw_predicted_actual(heading, evidence.scored),
        "calibration": draw_calibration(heading, ladder, nominal, evidence.levels),
        "importance": draw_importance(heading, evidence.importance, evidence.groups),
        "slices": draw_slices(heading, ladder),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return {name: save(figure, folder / f"{name}.png") for name, figure in figures.items()}


def draw_ladder(heading: Heading, ladder: Ladder, nominal: float | None = None) -> Figure:
    """Show every metric of every rung with its interval, one small panel a metric."""
    title = f"The ladder on a holdout of {ladder.posts:,} posts of {ladder.accounts:,} accounts"
    figure = titled_figure(heading, title, (11.5, 4.9))
    names = ladder.metric_names
    panels = list(figure.subplots(2, math.ceil(len(names) / 2), sharey=True).flat)
    for spare in panels[len(names) :]:
        spare.set_visible(False)
    for panel, name in zip(panels, names, strict=False):
        label, percent = WORDS[name]
        if name == "coverage" and nominal is not None:
            panel.axvline(100 * nominal, color=INK, linestyle="--", linewidth=1)
        for place, (rung, metrics) in enumerate(ladder.rungs.items()):
            colour = BLUE if rung == MODEL else GREY
            whisker(panel, metrics[name], place, colour, 100 if percent else 1)
            if not math.isfinite(metrics[name].value):
                panel.text(0.04, place, "unknown", transform=panel.get_yaxis_transform(), va="center", fontsize=8)
        better = f"  ({_BETTER[name]} is better)" if name in _BETTER else ""
        panel.set_title(f"{label}{', %' if percent else ''}{better}", fontsize=9, color=INK, loc="left")
        panel.margins(x=0.15)
        panel.locator_params(axis="x", nbins=5)
        name_rows(panel, list(ladder.rungs))
    return figure


def draw_predicted_actual(heading: Heading, scored: Scored) -> Figure:
    """Show the forecasts against what came true, on log axes labelled in plain units."""
    title = f"Predicted against actual {heading.outcome}, {len(scored.truth):,} posts"
    figure = titled_figure(heading, title, (7.2, 6.4))
    axes = figure.subplots()
    both = np.concatenate([scored.truth, scored.prediction])
    low, high = float(both.min()) - 0.3, float(both.max()) + 0.3
    _density(axes, scored, (low, high))
    axes.plot([low, high], [low, high], color=VERMILION, linewidth=1.2, label="predicted = actual")
    axes.plot(*_tenths(scored), "o-", color=INK, mfc="white", ms=5, lw=1, label="median of each tenth by forecast")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(*count_ticks(low, high))
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel(f"predicted {heading.outcome}", fontsize=9)
    axes.set_ylabel(f"actual {heading.outcome}", fontsize=9)
    axes.legend(fontsize=8, loc="upper left", frameon=False)
    plain(axes, grid="both")
    return figure


def draw_calibration(
    heading: Heading, ladder: Ladder, nominal: float, levels: Mapping[float, tuple[float, float]]
) -> Figure:
    """Show how often outcomes fell inside: over nominal levels, and by slice at the level served."""
    rows = [("all posts", ladder.rungs[MODEL]["coverage"])]
    rows += [(_words(row), row.rungs[MODEL]["coverage"]) for row in ladder.slices]
    figure = titled_figure(heading, "Do the intervals hold what they promise?", (11.5, max(5.4, inches_for(len(rows)))))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    left.plot([0, 100], [0, 100], color=INK, linestyle="--", linewidth=1, label="as promised")
    observed = {level: _with_error(*found) for level, found in levels.items()} or {nominal: rows[0][1]}
    for level, interval in sorted(observed.items()):
        whisker(left, interval, 100 * level, BLUE, 100, upright=True)
    left.set(xlim=(0, 100), ylim=(0, 101), aspect="equal", anchor="N")
    left.set_xlabel("nominal coverage, %", fontsize=9)
    left.set_ylabel("observed coverage, % (with 95 % interval)", fontsize=9)
    left.legend(fontsize=8, loc="upper left", frameon=False)
    plain(left, grid="both")
    right.axvline(100 * nominal, color=INK, linestyle="--", linewidth=1)
    for place, (_, interval) in enumerate(rows):
        whisker(right, interval, place, BLUE if place else INK, 100)
    right.set_xlabel(f"observed coverage of the {100 * nominal:.0f} % interval by slice, %", fontsize=9)
    name_rows(right, [words for words, _ in rows])
    return figure


def draw_importance(heading: Heading, importance: Mapping[str, float], groups: Mapping[str, str]) -> Figure:
    """Show the features that the model leans on most, coloured by group."""
    top = sorted(importance.items(), key=lambda item: (-item[1], item[0]))[:TOP_FEATURES]
    title = f"The {len(top)} most important of {len(importance)} features" if top else "No feature is used"
    figure = titled_figure(heading, title, (8.2, inches_for(max(len(top), 4))))
    axes = figure.subplots()
    # Over all groups, so that a group keeps its colour whichever of its features are among the top.
    colours = dict(zip(sorted(set(groups.values())), PALETTE, strict=False))
    labelled: set[str] = set()
    for place, (name, share) in enumerate(top):
        group = groups.get(name, "other")
        # A label that starts with an underscore stays out of the legend.
        label = f"_{group}" if group in labelled else group
        labelled.add(group)
        bars = axes.barh(place, 100 * share, color=colours.get(group, GREY), height=0.72, label=label)
        axes.bar_label(bars, fmt="{:.1f}", padding=3, fontsize=7.5, color=INK)
    axes.set_xlabel("share of the total importance, %", fontsize=9)
    axes.margins(x=0.08)
    name_rows(axes, [name for name, _ in top])
    if labelled:
        axes.legend(fontsize=8, loc="lower right", frameon=False, title="group", title_fontsize=8)
    return figure


def draw_slices(heading: Heading, ladder: Ladder, error: str = "MAE of log") -> Figure:
    """Show in every slice by how much the model beats the account anchor."""
    rows = [(f"all posts  ({ladder.posts:,} posts, {ladder.accounts:,} accounts)", ladder.gain)]
    rows += [(f"{_words(row)}  ({row.posts:,} posts, {row.accounts:,} accounts)", row.gain) for row in ladder.slices]
    title = "How much smaller than the account anchor’s is the model’s error?"
    figure = titled_figure(heading, title, (9.2, inches_for(len(rows))))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    for place, (_, gain) in enumerate(rows):
        colour = BLUE if gain.low > 0 else VERMILION if gain.high < 0 else GREY
        whisker(axes, gain, place, colour, 100)
    # A slice of a few posts may reach far below; it must not squeeze the others.
    axes.set_xlim(left=max(axes.get_xlim()[0], _WORST_GAIN_PERCENT))
    axes.set_xlabel(f"gain in {error}, %, with 95 % interval  (blue better, red worse, grey undecided)", fontsize=9)
    name_rows(axes, [words for words, _ in rows])
    return figure


def _density(axes: Axes, scored: Scored, ends: tuple[float, float]) -> None:
    """Draw how many posts lie where, with a scale in plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    cells = axes.hexbin(
        scored.prediction,
        scored.truth,
        gridsize=42,
        mincnt=1,
        bins="log",
        cmap="YlGnBu",
        edgecolors="#BBBBBB",
        linewidths=0.2,
        extent=(*ends, *ends),
    )
    most = float(np.asarray(cells.get_array()).max())
    # A fixed lower end keeps single posts visible on white, and a scale of one value from being empty.
    cells.set_clim(0.5, max(10.0, most))
    bar = axes.figure.colorbar(cells, ax=axes, shrink=0.75)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    bar.ax.set_ylim(1, None)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    bar.set_label("posts in a cell", fontsize=8)


def _tenths(scored: Scored) -> tuple[Floats, Floats]:
    """Return the median forecast and the median outcome of each tenth of the posts, ordered by forecast."""
    order = np.argsort(scored.prediction, kind="stable")
    tenths = [tenth for tenth in np.array_split(order, 10) if tenth.size]
    medians = [(np.median(scored.prediction[tenth]), np.median(scored.truth[tenth])) for tenth in tenths]
    middle, actual = np.array(medians).T
    return middle, actual


def _with_error(observed: float, error: float) -> Interval:
    reach = _ERRORS_IN_95_PERCENT * error
    return Interval(observed, observed - reach, observed + reach)


def _words(row: SliceRow) -> str:
    return f"{row.slice.replace('_', ' ')}: {row.level}"
