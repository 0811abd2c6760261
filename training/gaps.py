"""The gaps of a model, found in its facts, so that nobody has to remember to admit them."""

from __future__ import annotations

from collections.abc import Iterator

from features.columns import MEASURED_PREFIXES
from training.facts import Card
from training.ladder import MODEL, Interval, SliceRow

# A holdout below these counts does not let one recipe replace another.
SMALL_POSTS = 200
SMALL_ACCOUNTS = 30
# Real reach is not predictable to this degree before posting.
SUSPICIOUS_R2 = 0.9
MOSTLY = 0.5
# Further off than this, a mean probability would mislead a reader.
OFF_PROBABILITY = 0.01
# The slice and the level that measure the cold start.
NEW_ACCOUNTS = ("account", "new")


def find_gaps(card: Card) -> list[str]:
    """Return a sentence for each thing a reader should know before trusting the numbers, worst first."""
    parts = (
        _data_gaps(card),
        _look_gaps(card),
        _input_gaps(card),
        _holdout_gaps(card),
        _promise_gaps(card),
        _slice_gaps(card),
    )
    return [*(gap for part in parts for gap in part), *card.gaps, *_ALWAYS]


_ALWAYS = (
    "Posts deleted or hidden before they were looked at are missing, so failures may be under-counted.",
    "Forecasts and importances describe what went together in the past, not what a changed caption would do.",
    "Nothing is known of the people behind the accounts, so errors by groups of people are not measured.",
)


def _data_gaps(card: Card) -> Iterator[str]:
    data = card.data
    if data.simulated:
        yield "**The data are simulated**: every number describes a made-up world, none describes real posts."
    unknown = [source.name for source in data.sources if source.chosen is None]
    if unknown:
        yield (
            f"How posts were chosen is not recorded for {_names(unknown)}; a source that picks popular posts "
            "makes forecasts for ordinary ones too high."
        )
    mixed = data.regimes.get("mixed", 0)
    if mixed:
        yield (
            f"For {mixed:,} posts it cannot be told which meaning of the {card.outcome} count applies (regime `mixed`)."
        )


def _look_gaps(card: Card) -> Iterator[str]:
    data = card.data
    if data.off_horizon:
        yield (
            f"For {_share(data.off_horizon)} of posts nobody looked within a day of an age of "
            f"{card.horizon_days:g} days; their counts are of other ages and not corrected for it."
        )
    if data.followers_backfilled:
        yield (
            f"For {_share(data.followers_backfilled)} of posts the followers were first seen after "
            "publication, so success may already be in them."
        )
    if data.assumed_known_at:
        yield (
            f"For {_share(data.assumed_known_at)} of posts the time at which their outcome became known is "
            f"assumed ({card.maturity_days:g} days after publication), since they were first looked at later."
        )


def _input_gaps(card: Card) -> Iterator[str]:
    if card.data.missing_columns:
        yield f"The data have no values in {_names(card.data.missing_columns)}."
    measured = [f for f in card.features if f.name.startswith(MEASURED_PREFIXES) and f.missing < 1]
    if not measured:
        yield "No visual or audio features: the model knows the words and the account, not the video itself."
    sparse = [f.name for f in card.features if f.missing > MOSTLY]
    if sparse:
        yield f"Unknown in more than half of the posts: {_names(sparse)}."


def _holdout_gaps(card: Card) -> Iterator[str]:
    ladder, model = card.ladder, card.ladder.rungs[MODEL]
    if not card.data.simulated and "r2" in model and model["r2"].value > SUSPICIOUS_R2:
        yield f"R² is {model['r2'].value:.2f}: on real posts that is a leak until shown otherwise."
    if card.holdout.refitted:
        yield (
            "The numbers are of a fit that had not seen the holdout. The version served is the same recipe "
            "fitted again on all mature posts, which no later posts have judged yet."
        )
    if card.holdout.uses > 1:
        yield (
            f"The holdout has been used {card.holdout.uses} times; each use makes its numbers a little too friendly."
        )
    if ladder.posts < SMALL_POSTS or ladder.accounts < SMALL_ACCOUNTS:
        yield (
            f"The holdout is small ({ladder.posts:,} posts of {ladder.accounts:,} accounts): with fewer than "
            f"{SMALL_ACCOUNTS} accounts the intervals come out too narrow."
        )


def _promise_gaps(card: Card) -> Iterator[str]:
    if card.virality is not None:
        said, found = card.virality.probability, card.virality.share
        if abs(said - found) > OFF_PROBABILITY:
            yield f"On average the probabilities promise {100 * said:.1f} % viral posts, and {100 * found:.1f} % were."
        yield "The interval speaks of the calibration alone: another fit would give some posts other odds."
        return
    coverage = card.ladder.rungs[MODEL]["coverage"]
    if not _holds(coverage, card.nominal_coverage):
        held = coverage.words(percent=True)
        yield f"The interval promises {100 * card.nominal_coverage:g} % of outcomes and held {held}."


def _slice_gaps(card: Card) -> Iterator[str]:
    rows, nominal = card.ladder.slices, card.nominal_coverage
    if not any((row.slice, row.level) == NEW_ACCOUNTS for row in rows):
        yield "The holdout has no posts of new accounts, so the cold start has not been measured."
    with_intervals = [row for row in rows if "coverage" in row.rungs[MODEL]]
    missed = [_name(row) for row in with_intervals if not _holds(row.rungs[MODEL]["coverage"], nominal)]
    if missed:
        yield f"Intervals hold clearly more or fewer outcomes than promised in: {_names(missed)}."
    worse = [_name(row) for row in rows if row.gain.high < 0]
    if worse:
        yield f"The model is clearly worse than the account anchor in: {_names(worse)}."


def _holds(interval: Interval, nominal: float) -> bool:
    """Whether a coverage may be the nominal one; an unknown interval cannot deny it."""
    return not (interval.low > nominal or interval.high < nominal)


def _share(share: float) -> str:
    """Write a share in per cent so that neither a little nor almost all is rounded away."""
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    return f"{100 * min(max(share, 0.001), 0.999):.1f} %"


def _name(row: SliceRow) -> str:
    return f"{row.slice.replace('_', ' ')} {row.level}"


def _names(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
