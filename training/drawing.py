"""How clipcast draws: one look for every picture, without pyplot, in PNG bytes that repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from training.ladder import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito (jfly.uni-koeln.de/color), told apart with any kind of colour blindness.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, INK = "#CC79A7", "#56B4E9", "#F0E442", "#222222"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, INK)
GREY, PALE = "#767676", "#DDDDDD"

PLATFORM_NAMES = {"tiktok": "TikTok", "instagram": "Instagram", "youtube": "YouTube"}

_DPI = 120
_HEADER_INCHES = 0.72
_LARGEST_POWER_OF_TEN = 10


@dataclass(frozen=True)
class Heading:
    """What every picture says of itself: model, version and data, and whether these are simulated."""

    model: str
    platform: str
    version: str
    source: str
    outcome: str
    simulated: bool

    def words(self) -> str:
        """Write the line under a title."""
        data = f"simulated data ({self.source})" if self.simulated else f"data: {self.source}"
        platform = PLATFORM_NAMES.get(self.platform, self.platform)
        return f"{platform}  ·  {self.model}, version {self.version}  ·  {data}"


def titled_figure(heading: Heading, title: str, inches: tuple[float, float]) -> Figure:
    """Return a white figure with its title and heading, placed in inches from the top."""
    from matplotlib.figure import Figure

    width, height = inches
    figure = Figure(figsize=inches, dpi=_DPI, facecolor="white")
    figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.99 - _HEADER_INCHES / height))
    left, top = 0.12 / width, 1 - 0.12 / height
    figure.text(left, top, title, va="top", fontsize=12, fontweight="bold", color=INK, parse_math=False)
    colour = VERMILION if heading.simulated else GREY
    line = 0.28 / height
    figure.text(left, top - line, heading.words(), va="top", fontsize=9, color=colour, parse_math=False)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG without the metadata that would differ between machines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})
    return path


def inches_for(rows: int) -> float:
    """Return the height of a figure with one line of text a row."""
    return _HEADER_INCHES + 0.9 + 0.27 * rows


def plain(axes: Axes, grid: Literal["x", "y", "both"]) -> None:
    """Take away from a plot whatever does not inform."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, color=PALE)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=PALE, linewidth=0.6)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Label one row each, the first on top."""
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    plain(axes, grid="x")


def whisker(
    axes: Axes, interval: Interval, place: float, colour: str, scale: float = 1, *, upright: bool = False
) -> None:
    """Draw a value with its interval; hollow where the interval is unknown, nothing where the value is."""
    if not math.isfinite(interval.value):
        return
    value, low, high = (scale * number for number in (interval.value, interval.low, interval.high))
    known = math.isfinite(low) and math.isfinite(high)
    reach = [[max(0.0, value - low)], [max(0.0, high - value)]] if known else None
    x, y = (place, value) if upright else (value, place)
    axes.errorbar(
        x,
        y,
        xerr=None if upright else reach,
        yerr=reach if upright else None,
        fmt="o",
        color=colour,
        markerfacecolor=colour if known else "white",
        markersize=5,
        capsize=3,
        linewidth=1.4,
    )


def count_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Return the places on a log1p axis of 0, 1, 10, 100 and so on, with their names in plain units."""
    counts = [0, *(10**power for power in range(_LARGEST_POWER_OF_TEN + 1))]
    shown = [count for count in counts if low <= math.log1p(count) <= high]
    return [math.log1p(count) for count in shown], [_short(count) for count in shown]


def _short(count: int) -> str:
    for size, letter in ((10**9, "bn"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count // size}{letter}"
    return str(count)
