"""The pictures of a virality model: ladder, reliability, importance and slices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.drawing import BLUE, GREY, INK, Heading, plain, save, titled_figure, whisker
from training.evaluate import Interval, share_with_error
from training.plots import draw_importance, draw_ladder, draw_slices
from training.rated import Rated, RatedReport, bins_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ERRORS_IN_95_PERCENT = 1.96


def write_virality_pictures(
    folder: Path, heading: Heading, report: RatedReport, importance: Mapping[str, float], groups: Mapping[str, str]
) -> dict[str, Path]:
    """Draw all pictures into a folder and return their paths by name, in the order of the card."""
    figures = {
        "ladder": draw_ladder(heading, report.ladder),
        "reliability": draw_reliability(heading, report.model, report.base_rate),
        "importance": draw_importance(heading, importance, groups),
        "slices": draw_slices(heading, report.ladder, "Brier score"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return {name: save(figure, folder / f"{name}.png") for name, figure in figures.items()}


def reliability(rated: Rated) -> list[tuple[float, Interval, int]]:
    """Return mean probability, share that went viral with its 95 % interval by account, and posts of each bin."""
    found = []
    place = bins_of(rated.probability)
    for each in np.unique(place):
        inside = place == each
        share, error = share_with_error(rated.account[inside], rated.truth[inside])
        reach = _ERRORS_IN_95_PERCENT * error
        ends = Interval(share, max(0.0, share - reach), min(1.0, share + reach))
        found.append((float(rated.probability[inside].mean()), ends, int(inside.sum())))
    return found


def draw_reliability(heading: Heading, rated: Rated, base_rate: float) -> Figure:
    """Show how often posts went viral that were given about the same probability, and how many these were."""
    figure = titled_figure(heading, "Do probabilities come true?", (7.6, 6.8))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    bins = reliability(rated)
    ends = [end for _, share, _ in bins for end in (share.value, share.high)]
    most = 100 * max([probability for probability, _, _ in bins] + [end for end in ends if np.isfinite(end)]) + 2
    upper.plot([0, most], [0, most], color=INK, linestyle="--", linewidth=1, label="as promised")
    upper.axhline(100 * base_rate, color=GREY, linewidth=1, label=f"base rate in training, {100 * base_rate:.1f} %")
    for probability, share, _ in bins:
        whisker(upper, share, 100 * probability, BLUE, 100, upright=True)
    upper.set(xlim=(0, most), ylim=(0, most))
    upper.set_ylabel("went viral, % (with 95 % interval by account)", fontsize=9)
    upper.legend(fontsize=8, loc="upper left", frameon=False)
    plain(upper, grid="both")
    lower.hist(100 * rated.probability, bins=np.linspace(0, most, 41).tolist(), color=BLUE)
    lower.set_ylabel("posts", fontsize=9)
    lower.set_xlabel(f"probability given, %  ({len(rated.truth):,} posts)", fontsize=9)
    plain(lower, grid="y")
    return figure
