"""What a ladder holds, and how it reads as numbers, as JSON, as markdown and on a screen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

CONSTANT, ANCHOR, MODEL = "constant", "account anchor", "model"

BY_SOURCE = "source."
"""How the names of metrics within one source begin: `source.mine.r2`."""

# The name of each metric, the words for it, and whether it is shown in per cent.
METRICS: dict[str, tuple[str, bool]] = {
    "r2": ("R²", False),
    "spearman": ("Spearman", False),
    "mae_log": ("MAE of log", False),
    "mae_score": ("MAE of score (0–100)", False),
    "accuracy": ("Accuracy", True),
    "precision_top_fifth": ("Top-fifth precision", True),
    "coverage": ("Interval coverage", True),
    "width": ("Interval width (log)", False),
}
VIRALITY_METRICS: dict[str, tuple[str, bool]] = {
    "brier": ("Brier score", False),
    "log_loss": ("Log loss", False),
    "auc": ("AUC", False),
    "calibration_error": ("Calibration error", True),
    "precision_top_tenth": ("Top-tenth precision", True),
}
WORDS = {**METRICS, **VIRALITY_METRICS}
"""The words for every metric of every family."""

DIGITS = {"brier": 4, "anchor_brier": 4}
"""Digits of metrics whose differences lie beyond the third."""

# A console of fewer columns cannot hold three rungs with the intervals beside their values.
_WIDE_COLUMNS = 100


@dataclass(frozen=True)
class Interval:
    """A value with the two ends of its 95 % interval; `nan` where it cannot be known."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.words()

    def words(self, percent: bool = False, digits: int = 3) -> str:
        """Write the value and its interval for a reader, saying where either is unknown."""
        if not math.isfinite(self.value):
            return "unknown"
        scale, digits, unit = (100, 1, " %") if percent else (1, digits, "")
        value, low, high = (f"{scale * number:z.{digits}f}" for number in (self.value, self.low, self.high))
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return f"{value}{unit} (no interval)"
        return f"{value}{unit} ({low} to {high})"

    def to_dict(self, name: str) -> dict[str, float | None]:
        """Return `name`, `name_low` and `name_high`, with None for what is unknown, as JSON wants it."""
        numbers = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        return {key: number if math.isfinite(number) else None for key, number in numbers.items()}


Metrics = Mapping[str, Interval]


@dataclass(frozen=True)
class SliceRow:
    """All metrics of every rung on the posts of one slice level, and the model's gain over the anchor."""

    slice: str
    level: str
    posts: int
    accounts: int
    rungs: Mapping[str, Metrics]
    gain: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return the row with plain numbers, None for unknown."""
        names = {"slice": self.slice, "level": self.level, "posts": self.posts, "accounts": self.accounts}
        return names | self.gain.to_dict("gain") | {"rungs": _rung_rows(self.rungs)}


@dataclass(frozen=True)
class Ladder:
    """Every rung's metrics on the same holdout, whole and by slice, with 95 % intervals over accounts."""

    posts: int
    accounts: int
    replicates: int
    rungs: Mapping[str, Metrics]
    gain: Interval
    slices: tuple[SliceRow, ...] = ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics that its rungs have, in the order of the card."""
        return tuple(next(iter(self.rungs.values())))

    def metrics(self, rung: str = MODEL) -> dict[str, float]:
        """Return a rung's known metrics under the tracker's names: `r2`, `r2_low`, `r2_high` and so on."""
        ends = [interval.to_dict(name) for name, interval in self.rungs[rung].items()]
        return {key: number for row in ends for key, number in row.items() if number is not None}

    def table(self) -> list[dict[str, Any]]:
        """Return one row a rung with plain numbers, None for unknown."""
        return _rung_rows(self.rungs)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        counts = {"posts": self.posts, "accounts": self.accounts, "replicates": self.replicates}
        slices = [row.to_dict() for row in self.slices]
        return counts | self.gain.to_dict("gain") | {"rungs": self.table(), "slices": slices}

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows of the ladder as words: a metric a row, a rung a column."""
        rows = [
            [WORDS[name][0], *(in_words(name, rung[name]) for rung in self.rungs.values())]
            for name in self.metric_names
        ]
        return ["Metric", *self.rungs], rows

    def to_markdown(self) -> str:
        """Return the ladder as a markdown table."""
        return markdown_table(*self.cells())

    def render(self, console: Console) -> None:
        """Print the ladder on a rich console, intervals below their values where it is narrow."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        header, rows = self.cells()
        before = "\n(" if console.width < _WIDE_COLUMNS else " ("
        title = f"{self.posts:,} posts of {self.accounts:,} accounts, 95 % intervals over accounts"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
        for number, name in enumerate(header):
            table.add_column(name, justify="right" if number else "left", no_wrap=True)
        for label, *cells in rows:
            table.add_row(label, *(cell.replace(" (", before) for cell in cells))
        console.print(table)


def in_words(metric: str, interval: Interval) -> str:
    """Write a metric and its interval for a reader."""
    return interval.words(WORDS[metric][1], DIGITS.get(metric, 3))


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Lay out words as a markdown table, columns of numbers to the right."""
    columns = list(zip(*rows, strict=True))
    marks = ["--:" if column and all(map(_is_number, column)) else ":--" for column in columns]
    lines = [header, marks or [":--"] * len(header), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell.startswith("-") or cell in {"unknown", "–"}


def _cell(text: str) -> str:
    """Keep text from ending its cell or its row."""
    return " ".join(text.split()).replace("|", "\\|")


def _rung_rows(rungs: Mapping[str, Metrics]) -> list[dict[str, Any]]:
    """Return one plain row a rung."""
    rows: list[dict[str, Any]] = []
    for rung, metrics in rungs.items():
        row: dict[str, Any] = {"rung": rung}
        for name, interval in metrics.items():
            row |= interval.to_dict(name)
        rows.append(row)
    return rows
