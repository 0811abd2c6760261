"""How often monitoring cries wolf, and how soon it sees a wolf: `python benchmarks/false_alarms.py [--worlds N]`.

Simulated months of posts whose accounts differ for good, looked at every day. The rates that the sequences of
`monitoring` state are held against the rates measured, and against an ordinary test that is looked at daily.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.comparison import EFFECT, ErrorSums, log_ratio_of_errors
from monitoring.decay import EFFECT_BIAS, EFFECT_COVERAGE, EFFECT_RATIO, bias_threshold
from monitoring.sequential import Floats, Sides, Spread, radius, split_e_value
from monitoring.starts import Sums, difference, expectation, hold_against, log_ratio

RATE = 0.01
WEEKS, CHANGE_WEEK, WEEK_DAYS = 26, 13, 7
MIN_POSTS, MIN_ACCOUNTS = 200, 20
TOLERANCE = 0.05
KEPT = 0.7
"""So many of the holdout's accounts still post; as many as left are new."""

HELD_WEEKS = 8
"""So many weeks the holdout is from."""

INSIDE = 1.6
"""Half the width of the intervals, which then hold about eight outcomes in ten."""

DAYS, POSTS_A_DAY, COMPARED_ACCOUNTS = 60, 30, 100
COMPARED_RATE = 0.05
MIN_GAIN = 0.005

Ints = NDArray[np.int64]
Draw = Callable[[np.random.Generator, Ints, "World", float], Floats]


@dataclass(frozen=True)
class World:
    """How many post how often, how large the holdout was, and how alike the posts of one account are.

    `swing` is by how much all outcomes of a week move together, in log: a whole platform's better and worse weeks.
    """

    accounts: int
    posts_a_week: int
    holdout: int
    alike: float
    swing: float = 0.0

    def words(self) -> str:
        """Name it in a table."""
        return f"{self.accounts:4d} {self.posts_a_week:5d} {self.holdout:6d} {self.alike:6.2f} {self.swing:5.2f}"


WORLDS = (
    World(40, 40, 300, 0.5),
    World(40, 100, 500, 0.2),
    World(60, 300, 400, 0.5),
    World(80, 100, 500, 0.35),
    World(150, 300, 1000, 0.35),
    World(150, 300, 3000, 0.2),
    World(150, 300, 3000, 0.2, swing=0.1),
)


@dataclass(frozen=True)
class Test:
    """A test of `monitoring.decay`: what it measures, how a change is planted, and what it calls one."""

    name: str
    estimate: Callable[[Sums], tuple[Floats, Spread]]
    scale: bool
    effect: float
    sides: Sides
    sign: float
    threshold: float
    plant: Callable[[Floats, float], Floats]
    measure: Callable[[Floats], Floats]
    planted: tuple[float, ...]


def _covered(errors: Floats) -> Floats:
    return (np.abs(errors) < INSIDE).astype(np.float64)


TESTS = (
    Test(
        "error up (times)",
        log_ratio,
        True,
        EFFECT_RATIO,
        Sides.ONE,
        1.0,
        math.log1p(TOLERANCE),
        lambda errors, size: errors * size,
        np.abs,
        (1.15, 1.3, 1.6),
    ),
    Test(
        "outcomes moved (times)",
        difference,
        False,
        EFFECT_BIAS,
        Sides.TWO,
        0.0,
        bias_threshold(TOLERANCE),
        lambda errors, size: errors + math.log(size),
        lambda errors: errors,
        (1.6, 2.8),
    ),
    Test(
        "coverage (errors up, times)",
        difference,
        False,
        EFFECT_COVERAGE,
        Sides.ONE,
        -1.0,
        TOLERANCE,
        lambda errors, size: errors * size,
        _covered,
        (1.3, 1.6),
    ),
)


def scale_spread(alike: float) -> float:
    """Spread of the log of accounts' scales that gives absolute normal errors this intra-class correlation."""
    mean_squared = 2 / math.pi
    return math.sqrt(math.log((1 - alike) * mean_squared / (mean_squared - alike)))


def draw_month(rng: np.random.Generator, world: World) -> tuple[int, Ints, Ints, Floats, Ints, Floats]:
    """Number of accounts; account, day and error of the posts; account and error of the holdout's posts.

    Errors are normal times a scale of the account, which is lognormal, plus a bias of the account: heavy-tailed and
    alike. How often accounts post differs about as an exponential does.
    """
    pool = round(world.accounts * (2 - KEPT))
    scale = np.exp(scale_spread(world.alike) * rng.standard_normal(pool))
    bias = 0.3 * scale * rng.standard_normal(pool)
    pace = rng.gamma(1.0, 1.0, pool) + 0.1

    def draw(members: slice, posts: int) -> tuple[Ints, Floats]:
        share = pace[members] / pace[members].sum()
        account = np.arange(pool)[members][rng.choice(len(share), posts, p=share)]
        return account, bias[account] + scale[account] * rng.standard_normal(posts)

    posts = world.posts_a_week * WEEKS
    account, error = draw(slice(0, world.accounts), posts)
    held, held_error = draw(slice(pool - world.accounts, pool), world.holdout)
    day = np.sort(rng.integers(0, WEEKS * WEEK_DAYS, posts))
    week = world.swing * rng.standard_normal(WEEKS + HELD_WEEKS)
    held_error = held_error + week[WEEKS + rng.integers(0, HELD_WEEKS, world.holdout)]
    return pool, account, day, error + week[day // WEEK_DAYS], held, held_error


def follow(rng: np.random.Generator, world: World, test: Test, size: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Follow every sequence through all days: change beyond none, its lower end, and whether it speaks.

    All of shape (starts, days).
    """
    pool, account, day, error, held, held_error = draw_month(rng, world)
    error = np.where(day >= CHANGE_WEEK * WEEK_DAYS, test.plant(error, size), error)
    held_values, values = test.measure(held_error), test.measure(error)
    unit = held_values.mean() if test.scale else 1.0
    promise = expectation(held, held_values / unit, pool)
    days = WEEKS * WEEK_DAYS
    cell = account * days + day
    value, posts = (
        np.bincount(cell, weights, pool * days).reshape(pool, days).cumsum(axis=1)
        for weights in (values / unit, np.ones(len(cell)))
    )
    shape = (WEEKS, days)
    moved, low, speaks = np.full(shape, -np.inf), np.full(shape, -np.inf), np.zeros(shape, bool)
    for week in range(WEEKS):
        first = week * WEEK_DAYS
        before = [part[:, [first - 1]] if week else 0.0 for part in (value, posts)]
        sums = hold_against(promise, value[:, first:] - before[0], posts[:, first:] - before[1])
        found, spread = test.estimate(sums)
        bad = np.abs(found) if not test.sign else test.sign * found
        width = radius(spread, effect=test.effect, rate=RATE, sides=test.sides)
        speaks[week, first:] = (sums.posts.sum(axis=0) >= MIN_POSTS) & (sums.accounts >= MIN_ACCOUNTS)
        moved[week, first:], low[week, first:] = bad, bad - width
    return moved, low, speaks


def alarms(moved: Floats, low: Floats, speaks: NDArray[np.bool_], threshold: float) -> tuple[float, float | None]:
    """Share of the sequences that ever alarm, and the day of the first verdict, which the latest posts bear out."""
    telling = speaks & (low > threshold)
    spoken = speaks.any(axis=1)
    rate = float(telling.any(axis=1)[spoken].mean()) if spoken.any() else 0.0
    latest = WEEKS - 1 - np.argmax(speaks[::-1], axis=0)
    recent = np.take_along_axis(moved, latest[None], axis=0)[0] > threshold
    days = np.flatnonzero(telling.any(axis=0) & recent)
    return rate, float(days[0] + 1) if len(days) else None


def report_decay(worlds: int) -> None:
    """Print false alarms where nothing changes, and delays of what was planted."""
    print(f"each test against the holdout, every day of {WEEKS} weeks; stated rate {RATE} per week started")
    print("false alarms at the edge: all that rises above none counts; with tolerance: as the alerts are")
    print("delay: median weeks of those seen; seen: share within 13 weeks\n")
    for test in TESTS:
        print(test.name)
        print("accounts posts holdout alike swing | edge ± error  tolerance  in 26 weeks | planted: delay (seen)")
        for number, world in enumerate(WORLDS):
            edge, tolerated, ever = [], [], 0
            for each in range(worlds):
                followed = follow(np.random.default_rng([7, number, each]), world, test, 1.0)
                edge.append(alarms(*followed, 0.0)[0])
                rate, day = alarms(*followed, test.threshold)
                tolerated.append(rate)
                ever += day is not None
            words = [f"{np.mean(edge):.4f} ± {np.std(edge) / math.sqrt(worlds):.4f}", f"{np.mean(tolerated):.4f}"]
            words += [f"{ever / worlds:.3f}"]
            for size in test.planted:
                found = [
                    alarms(*follow(np.random.default_rng([8, number, each]), world, test, size), test.threshold)[1]
                    for each in range(max(worlds // 6, 10))
                ]
                weeks = [day / WEEK_DAYS - CHANGE_WEEK for day in found if day is not None]
                seen = [delay for delay in weeks if delay > 0]
                words.append(f"{size}: {np.median(seen) if seen else math.nan:.1f} ({len(seen) / len(found):.2f})")
            print(f"{world.words()} | {'  '.join(words)}", flush=True)
        print()


def draw_comparison(rng: np.random.Generator, gain: float, design: str) -> tuple[ErrorSums, ErrorSums | None]:
    """Sums by account and day of champion and challenger, which saves a share `gain`, and of the anchor in a split."""
    scale = np.exp(scale_spread(0.35) * rng.standard_normal(COMPARED_ACCOUNTS))
    pace = rng.gamma(1.0, 1.0, COMPARED_ACCOUNTS) + 0.1
    posts = DAYS * POSTS_A_DAY
    account = rng.choice(COMPARED_ACCOUNTS, posts, p=pace / pace.sum())
    shared, *own = rng.standard_normal((4, posts))
    champion, challenger, anchor = (np.abs(scale[account] * (0.9 * shared + 0.44 * each)) for each in own)
    challenger = challenger * (1 - gain)
    cell = account * DAYS + np.sort(rng.integers(0, DAYS, posts))

    def add(weights: Floats) -> Floats:
        summed = np.bincount(cell, weights, COMPARED_ACCOUNTS * DAYS)
        return summed.reshape(COMPARED_ACCOUNTS, DAYS).cumsum(axis=1)

    if design == "shadow":
        return ErrorSums(add(champion), add(np.ones(posts)), add(challenger), add(np.ones(posts))), None
    second = (rng.random(COMPARED_ACCOUNTS) < 0.5)[account].astype(float)
    first = 1 - second
    sums = ErrorSums(add(champion * first), add(first), add(challenger * second), add(second))
    return sums, ErrorSums(add(anchor * first), add(first), add(anchor * second), add(second))


def looks(sums: ErrorSums, anchors: ErrorSums | None, rate: float) -> tuple[Floats, Floats, Floats]:
    """Lower and upper end of the gain at each day, and the ordinary statistic of a test of none."""
    moved, spread = log_ratio_of_errors(sums, anchors)
    width = radius(spread, effect=EFFECT, rate=rate, sides=Sides.TWO)
    speaks = (sums.champion_posts + sums.challenger_posts).sum(axis=0) >= MIN_POSTS
    width = np.minimum(width, 100.0)
    lower, upper = (np.where(speaks, -np.expm1(moved + side * width), -side * np.inf) for side in (1, -1))
    return lower, upper, np.where(speaks, np.abs(moved) / spread.error, 0.0)


def report_comparison(worlds: int) -> None:
    """Print how often equal versions are told apart, and how soon better ones are."""
    print(f"challenger against champion, every day of {DAYS}: {POSTS_A_DAY} posts a day, {COMPARED_ACCOUNTS} accounts")
    print("design  rate | equal, yet told apart: sequence  ordinary test daily | better seen by gain (median day)")
    for number, design in enumerate(("shadow", "split")):
        for rate, ordinary in ((COMPARED_RATE, 1.96), (RATE, 2.576)):
            told = naive = 0
            for each in range(2 * worlds):
                found = draw_comparison(np.random.default_rng([9, number, each]), 0.0, design)
                lower, upper, statistic = looks(*found, rate)
                told += bool(((lower > 0) | (upper < 0)).any())
                naive += bool((statistic > ordinary).any())
            words = [f"{told / worlds / 2:.4f}  {naive / worlds / 2:.3f}"]
            for gain in (0.02, 0.05, 0.1, 0.2):
                days = []
                for each in range(worlds // 2):
                    found = draw_comparison(np.random.default_rng([10, number, each]), gain, design)
                    days.append(_first(looks(*found, rate)[0] > MIN_GAIN))
                seen = [day for day in days if day is not None]
                words.append(f"{gain}: {len(seen) / len(days):.2f} ({np.median(seen) if seen else math.nan:.0f})")
            print(f"{design:6s} {rate:5.2f} | {'  '.join(words)}", flush=True)
    print()


def report_split(worlds: int) -> None:
    """Print how often a right split is called broken, and how soon a wrong one is."""
    print("split asked at 10 %, looked at after each of 2000 accounts; median accounts until it is seen")
    for share in (0.1, 0.05, 0.08, 0.15):
        seen = []
        for each in range(worlds):
            got = np.cumsum(np.random.default_rng([11, each]).random(2000) < share)
            broken = [split_e_value(int(got[n]), n + 1 - int(got[n]), 0.1) >= 1 / RATE for n in range(2000)]
            seen.append(_first(np.array(broken)))
        told = [each for each in seen if each is not None]
        print(
            f"truly {share:.2f}: called broken {len(told) / worlds:.3f} ({np.median(told) if told else math.nan:.0f})"
        )


def _first(found: NDArray[np.bool_]) -> int | None:
    return int(found.argmax()) + 1 if found.any() else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200, help="half-years simulated for each rate (default 200)")
    asked = parser.parse_args()
    start = time.perf_counter()
    report_decay(asked.worlds)
    report_comparison(asked.worlds)
    report_split(min(asked.worlds, 200))
    print(f"\n{time.perf_counter() - start:.0f} s")
