"""How far groups of posts are apart, and what is usual between groups of which nothing sets one apart.

The distance of a column is Kolmogorov and Smirnov's, with what is unknown as its lowest value, or for codes the
total variation: 0 is alike, 1 is apart. Posts of one account resemble each other, so what is usual comes from whole
accounts of the baseline drawn anew (cluster bootstrap: Field and Welsh, 2007, "Bootstrapping clustered data",
J. R. Statist. Soc. B 69(3), 369-390), never from tables that take posts to be independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.columns import Bools, Floats, Ints

SPARED = 2
"""Of an account of the baseline, one in so many posts at most stands for those asked about, beside the others."""

_DRAWS_AT_ONCE = 500

Weights: TypeAlias = NDArray[np.float32]


def distance(baseline: Floats, current: Floats, *, is_code: bool) -> float:
    """Return how far the values of two groups of posts are apart."""
    weights = np.concatenate([np.full(len(baseline), -1 / len(baseline)), np.full(len(current), 1 / len(current))])
    [distance] = _Sorted.of(np.concatenate([baseline, current])).distances(weights[:, None], is_code=is_code)
    return min(max(float(distance), 0.0), 1.0)


@dataclass(frozen=True)
class Groups:
    """Posts by account and then by time.

    Attributes
    ----------
    order
        Position of each post in the frame.
    names, code, starts, sizes
        The accounts, the place there of each post's account, and where each one's posts begin and how many they are.
    """

    order: Ints
    names: list[str | None]
    code: Ints
    starts: Ints
    sizes: Ints
    published_s: Floats

    @classmethod
    def of(cls, posts: pl.DataFrame) -> Groups:
        """Group posts; one without an account is by itself."""
        rows = posts.select(
            account=pl.when(pl.col("account_id").fill_null("") != "").then("account_id"),
            published_s=pl.col("published_at").dt.epoch("us") / 1e6,
        ).with_row_index("row")
        known = rows.with_columns(alone=pl.when(pl.col("account").is_null()).then("row"))
        ordered = known.sort("account", "alone", "published_s", "row", nulls_last=False)
        code = ordered.select(pl.struct("account", "alone").rle_id())["account"].cast(pl.Int64).to_numpy()
        sizes = np.bincount(code)
        return cls(
            order=ordered["row"].cast(pl.Int64).to_numpy(),
            names=ordered["account"].gather(np.cumsum(sizes) - sizes).to_list(),
            code=code,
            starts=np.cumsum(sizes) - sizes,
            sizes=sizes,
            published_s=ordered["published_s"].to_numpy(),
        )


@dataclass(frozen=True)
class Null:
    """What is usual between two groups of posts of the baseline."""

    baseline: Groups
    current: Groups
    replicates: int
    seed: int

    def usual(self, columns: list[tuple[Floats, bool]]) -> Usual:
        """Return how far columns, each with whether it holds codes, are apart in each draw and each stretch."""
        sorted_columns = [(_Sorted.of(values[self.baseline.order]), is_code) for values, is_code in columns]

        def distances(differences: Weights) -> Floats:
            found = np.empty((differences.shape[1], len(sorted_columns)))
            for place, (column, is_code) in enumerate(sorted_columns):
                found[:, place] = column.distances(differences, is_code=is_code)
            return found

        return Usual(np.concatenate([distances(block) for block in self._drawn()]), distances(self._windows()))

    def _drawn(self) -> Iterator[Weights]:
        """Yield how much more each post weighs in one drawn group than in the other, a column for each draw.

        One group has the accounts and posts of the current window: of an account that the baseline knows, as many of
        its posts there, one after the other, or as it can spare, and then each for several; for any other account,
        those of one drawn at random. The other group is the rest of the baseline, whose accounts are drawn anew in
        so far as strangers were asked about: beside posts of the same accounts it makes no difference which accounts
        the baseline happens to hold.
        """
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.replicates, _DRAWS_AT_ONCE):
            size = min(_DRAWS_AT_ONCE, self.replicates - start)
            yield np.stack([self._draw(rng) for _ in range(size)], axis=1, dtype=np.float32)

    def _draw(self, rng: np.random.Generator) -> Floats:
        baseline, sizes, own = self.baseline, self.current.sizes, self._own
        posts, accounts = len(baseline.code), len(baseline.sizes)
        is_known = own >= 0
        of_own = baseline.starts[own] + rng.integers(baseline.sizes[own])
        taken = np.where(is_known, np.minimum(sizes, baseline.sizes[own] // SPARED), sizes)
        first = np.where(is_known, of_own, rng.integers(0, posts, len(sizes))).repeat(taken)
        owner = baseline.code[first]
        nth = np.arange(len(first)) - (np.cumsum(taken) - taken).repeat(taken)
        chosen = baseline.starts[owner] + (first - baseline.starts[owner] + nth) % baseline.sizes[owner]
        drawn = np.bincount(chosen, (sizes / taken / sizes.sum()).repeat(taken), posts)

        rest = np.ones(posts)
        rest[chosen[is_known.repeat(taken)]] = 0  # an account's posts are held against its others, which stand for all
        rest *= (baseline.sizes / np.bincount(baseline.code, rest))[baseline.code]
        whole = np.bincount(rng.integers(0, accounts, accounts), minlength=accounts)[baseline.code]
        strangers = sizes[~is_known].sum() / sizes.sum()
        difference: Floats = drawn - (1 - strangers) * rest / posts - strangers * whole / whole.sum()
        return difference

    @cached_property
    def _own(self) -> Ints:
        """Return for each current account the same one of the baseline, -1 where that has too few posts to spare."""
        places = {name: place for place, name in enumerate(self.baseline.names) if name is not None}
        own = np.array([-1 if name is None else places.get(name, -1) for name in self.current.names], dtype=np.int64)
        found: Ints = np.where(self.baseline.sizes[own] >= SPARED, own, -1)
        return found

    def _windows(self) -> Weights:
        """Return the same for stretches of the baseline and the rest of it, a column for each stretch.

        Each lasts as long as the middle nine tenths of the current window would in full, and has as many posts.
        """
        low, high = np.quantile(self.current.published_s, [0.05, 0.95])
        masks = _stretches(self.baseline.published_s, (high - low) / 0.9, len(self.current.code))
        columns = [mask / mask.sum() - ~mask / (~mask).sum() for mask in masks]
        return np.array(columns, dtype=np.float32).reshape(len(columns), len(self.baseline.code)).T


@dataclass(frozen=True)
class Usual:
    """Distances of columns where nothing changed, of shapes (draws, columns) and (stretches, columns)."""

    drawn: Floats
    stretches: Floats

    def weighed(self, weights: Floats, false_alarm_rate: float) -> tuple[float, float]:
        """Return what the weighted sum is in the middle, and what it exceeds by chance at the rate."""
        drawn = self.drawn @ weights
        largest = float((self.stretches @ weights).max(initial=0.0))
        return float(np.median(drawn)), max(_exceeded(drawn, false_alarm_rate), largest)

    def excess(self, distances: Floats) -> Floats:
        """Return by how much distances are beyond what is usual of their column."""
        usual: Floats = np.maximum(np.median(self.drawn, axis=0), self.stretches.max(axis=0, initial=0.0))
        return np.asarray(distances - usual, dtype=np.float64)

    def excess_by_chance(self, wanted: Bools, false_alarm_rate: float) -> float:
        """Return what the largest excess of some columns exceeds by chance at the rate."""
        return _exceeded(self.excess(self.drawn)[:, wanted].max(axis=1, initial=-1.0), false_alarm_rate)


def _exceeded(drawn: Floats, false_alarm_rate: float) -> float:
    """Return what draws exceed at a rate."""
    place = min(math.ceil((1 - false_alarm_rate) * (len(drawn) + 1)), len(drawn))
    return float(np.sort(drawn)[place - 1])


@dataclass(frozen=True)
class _Sorted:
    """A column in ascending order, what is unknown first, with where each distinct value begins."""

    order: Ints
    starts: Ints

    @classmethod
    def of(cls, values: Floats) -> _Sorted:
        lowest = np.where(np.isnan(values), -np.inf, values)
        order = np.argsort(lowest, kind="stable")
        ascending = lowest[order]
        return cls(order, np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1])))

    def distances(self, differences: NDArray[np.floating], *, is_code: bool) -> Floats:
        """Return the distance that each column of weights, those of one group less the other's, makes."""
        moved = differences[self.order]
        if len(self.starts) < len(self.order):
            moved = np.add.reduceat(moved, self.starts, axis=0)
        if is_code:
            return np.asarray(np.abs(moved).sum(axis=0) / 2, dtype=np.float64)
        up_to = np.cumsum(moved, axis=0)
        return np.asarray(np.maximum(up_to.max(axis=0), -up_to.min(axis=0)), dtype=np.float64)


def _stretches(published_s: Floats, least_s: float, least_posts: int) -> list[Bools]:
    """Cut times into stretches of at least a length and a number, and leave out one that is most of them."""
    ascending = np.sort(published_s)
    bounds = [0]
    while True:
        late_enough = int(np.searchsorted(ascending, ascending[bounds[-1]] + least_s))
        end = max(late_enough, bounds[-1] + least_posts)
        if end >= len(ascending):
            break
        bounds.append(end)
    # What begins at the last bound is too short to stand for itself, and belongs to the stretch before.
    starts = ascending[bounds[:-1]]
    pairs = zip(starts, [*starts[1:], np.inf], strict=False)
    masks = [(published_s >= start) & (published_s < end) for start, end in pairs]
    return [mask for mask in masks if 0 < 2 * mask.sum() <= len(mask)]
