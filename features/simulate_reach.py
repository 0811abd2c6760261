"""How far each simulated post reaches, how that grows with age, and when reach is suppressed or bursts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features import simulate_parameters as p
from features.columns import Bools, Floats, Ints
from features.simulate_parameters import Figures
from features.simulate_posting import Accounts, Calendar, Span, posts_in_week_before

SUPPRESSED = "suppressed"
BURST = "burst"


@dataclass(frozen=True)
class Episode:
    """A time in which an account's posts reach fewer or more people than usual."""

    account: int
    kind: str
    start_s: int
    end_s: int


@dataclass(frozen=True)
class Shifts:
    """The log effects of episodes on each post, which posts are viral, and the episodes as labels."""

    suppressed: Floats
    burst: Floats
    viral: Bools
    episodes: list[Episode]


@dataclass(frozen=True)
class Content:
    """What content brings: effects of caption and trends, media type, and length (nan for none)."""

    caption: Floats
    momentum: Floats
    media_type: list[str]
    duration_s: Floats


Effects = Mapping[str, Floats]
"""What each mechanism adds to log reach, by its name; the sum over the mechanisms is log reach."""


def reach_effects(
    rng: np.random.Generator,
    figures: Figures,
    span: Span,
    accounts: Accounts,
    calendar: Calendar,
    content: Content,
    shifts: Shifts,
) -> Effects:
    """Return what each mechanism adds to the log of reach at the horizon."""
    account, time_s = calendar.account, calendar.published_s
    followers = accounts.followers_at(account, time_s, span)
    size = figures.reach_exponent * np.log(followers / figures.followers_median)
    return {
        "size": np.log(figures.reach_median) + size,
        "account": accounts.effect[account],
        "form": accounts.form_at(account, time_s, span),
        "drift": drift(figures, span.elapsed(time_s)),
        "tempo": tempo(calendar),
        "timing": timing(calendar.hour, calendar.weekday),
        "caption": content.caption,
        "momentum": content.momentum,
        "media": np.array([figures.media_effects[name] for name in content.media_type], np.float64),
        "duration": duration(figures, content.duration_s, span.elapsed(time_s)),
        "suppressed": shifts.suppressed,
        "burst": shifts.burst,
        "chance": chance(rng, figures, len(calendar)),
    }


def drift(figures: Figures, elapsed: Floats) -> Floats:
    """The platform's own level: a slow trend, and one change of its algorithm."""
    return figures.trend * (elapsed - 0.5) + figures.level_shift * (elapsed > p.LEVEL_SHIFT_AT)


def tempo(calendar: Calendar) -> Floats:
    """The gain from posting often, against an account that posts once a week [Buffer 2025a]."""
    gain: Floats = p.TEMPO_EFFECT * (np.log1p(posts_in_week_before(calendar)) - np.log(2))
    return gain


def timing(hour: Floats, weekday: Ints) -> Floats:
    """The small effect of the local hour and weekday of publication."""
    daily = p.HOUR_EFFECT * np.cos((hour - p.PEAK_HOUR) / 24 * 2 * np.pi)
    effect: Floats = daily + np.array(p.WEEKDAY_EFFECTS)[weekday]
    return effect


def duration(figures: Figures, duration_s: Floats, elapsed: Floats) -> Floats:
    """The effect of length, which changes over time [Buffer 2025b]; nothing for a post without length."""
    first, last = figures.duration_slope
    typical_s = np.exp(sum(length.share * np.log(length.median_s) for length in figures.lengths))
    relative: Floats = np.clip(np.log(duration_s / typical_s), -2.5, 2.5)
    return np.nan_to_num((first + (last - first) * elapsed) * relative)


def chance(rng: np.random.Generator, figures: Figures, posts: int) -> Floats:
    """What nothing explains: heavy-tailed noise [Miotto 2017] of the platform's residual spread."""
    unit = np.sqrt(p.RESIDUAL_FREEDOM / (p.RESIDUAL_FREEDOM - 2))
    spreads: Floats = np.clip(rng.standard_t(p.RESIDUAL_FREEDOM, posts) / unit, -p.RESIDUAL_BOUND, p.RESIDUAL_BOUND)
    return figures.residual_spread * spreads


def draw_shifts(
    rng: np.random.Generator, accounts: Accounts, calendar: Calendar, span: Span, suppressed_share: float
) -> Shifts:
    """Draw the episodes of suppressed reach and the bursts."""
    suppressed, periods = draw_suppressed(rng, accounts, calendar, span, suppressed_share)
    burst, viral, bursts = draw_bursts(rng, calendar, span)
    return Shifts(suppressed, burst, viral, [*periods, *bursts])


def draw_suppressed(
    rng: np.random.Generator, accounts: Accounts, calendar: Calendar, span: Span, share: float
) -> tuple[Floats, list[Episode]]:
    """Draw one period of suppressed reach for a share of the accounts, from one of their posts on.

    Only an account with some posts before can be seen to fall, so the first posts of an account are spared.
    """
    number = len(accounts.enters_s)
    posts = np.bincount(calendar.account, minlength=number)
    able = np.flatnonzero(posts > p.SUPPRESSED_POSTS_BEFORE)
    chosen = np.sort(rng.permutation(able)[: round(share * number)])
    first = p.SUPPRESSED_POSTS_BEFORE + (rng.random(len(chosen)) * (posts[chosen] - p.SUPPRESSED_POSTS_BEFORE)).astype(
        np.int64
    )
    days = rng.uniform(*p.SUPPRESSED_DAYS, len(chosen))
    deepest, mildest = np.log(p.SUPPRESSED_FACTORS)
    depth = rng.uniform(deepest, mildest, len(chosen))
    effect, periods = np.zeros(len(calendar)), []
    for account, post, length, log_factor in zip(chosen.tolist(), first.tolist(), days, depth, strict=True):
        own = np.flatnonzero(calendar.account == account)
        start_s = int(calendar.published_s[own[post]])
        end_s = min(start_s + int(length * p.DAY_S), span.end_s)
        effect[own[post:][calendar.published_s[own[post:]] < end_s]] = log_factor
        periods.append(Episode(account, SUPPRESSED, start_s, end_s))
    return effect, periods


def draw_bursts(rng: np.random.Generator, calendar: Calendar, span: Span) -> tuple[Floats, Bools, list[Episode]]:
    """Draw viral posts, whose afterglow lifts the account's next posts for some days."""
    viral = rng.random(len(calendar)) < p.BURST_SHARE
    factor = p.BURST_SMALLEST * rng.random(len(calendar)) ** (-1 / p.BURST_EXPONENT)
    boost = np.log(np.minimum(factor, p.BURST_LARGEST))
    effect = np.where(viral, boost, 0.0)
    bursts = []
    for post in np.flatnonzero(viral).tolist():
        start_s = int(calendar.published_s[post])
        end_s = min(start_s + int(p.BURST_DAYS * p.DAY_S), span.end_s)
        last = int(np.searchsorted(calendar.published_s, end_s))
        after = post + 1 + np.flatnonzero(calendar.account[post + 1 : last] == calendar.account[post])
        effect[after] = np.maximum(effect[after], p.BURST_AFTERGLOW * boost[post])
        bursts.append(Episode(int(calendar.account[post]), BURST, start_s, end_s))
    return effect, viral, bursts


def grown(age_days: Floats, half_life_days: Floats, shape: float) -> Floats:
    """The part of its final count that a post has reached at an age: a stretched exponential.

    >>> grown(np.array([4.78]), np.array([4.78]), 0.374).item()
    0.5
    """
    return np.asarray(1 - 2 ** -((age_days / half_life_days) ** shape), np.float64)


def draw_counts(
    rng: np.random.Generator,
    figures: Figures,
    likeability: Floats,
    effects: Effects,
    shifts: Shifts,
    asks: Bools,
    age_days: Floats,
) -> dict[str, Floats]:
    """Return the counts of each post (rows) at each age (columns); a count that the platform hides is absent.

    `likeability` is what each post's account adds to the log of likes per view.
    """
    posts = len(likeability)
    stretch = np.exp(p.HALF_LIFE_SPREAD * rng.standard_normal(posts))
    stretch = np.where(shifts.viral, p.BURST_HALF_LIFE * stretch, stretch)
    views_grow = _relative(age_days, figures.half_life_days * stretch, figures.growth_shape)
    rest_grows = _relative(age_days, figures.engagement_half_life_days * stretch, figures.growth_shape)
    reach: Floats = np.minimum(np.exp(sum(effects.values())), figures.reach_largest)
    unusual = effects["chance"] + effects["burst"]
    liking = likeability + p.ENGAGEMENT_POST_SPREAD * rng.standard_normal(posts) + p.ENGAGEMENT_DILUTION * unusual
    expected = _expected(rng, figures, reach, liking, asks)
    counts = {name: _whole(rng, expected[name], views_grow if name == "views" else rest_grows) for name in expected}
    if "views" in counts:  # nobody likes what they have not seen
        counts["likes"] = np.minimum(counts["likes"], counts["views"])
    return counts


def _expected(
    rng: np.random.Generator, figures: Figures, reach: Floats, liking: Floats, asks: Bools
) -> dict[str, Floats]:
    """Return the counts at the horizon, before rounding."""
    expected = {}
    if figures.likes_per_view is None:
        expected["likes"] = reach
    else:
        expected["views"] = reach
        expected["likes"] = reach * np.minimum(figures.likes_per_view * np.exp(liking), p.LIKES_LARGEST_SHARE)
    rates = {
        "comments": (expected["likes"], figures.comments_per_like),
        "shares": (expected["likes"], figures.shares_per_like),
        "saves": (reach, figures.saves_per_view),
    }
    for name, (base, rate) in rates.items():
        if rate is not None:
            expected[name] = base * rate * np.exp(p.RARE_COUNT_SPREAD * rng.standard_normal(len(reach)))
    expected["comments"] *= np.exp(p.QUESTION_COMMENTS * asks)
    return expected


def _relative(age_days: Floats, half_life_days: Floats, shape: float) -> Floats:
    """Return the counts at each age, relative to the count at the horizon."""
    half_life = half_life_days[:, None]
    return grown(age_days, half_life, shape) / grown(np.full((1, 1), p.HORIZON_DAYS), half_life, shape)


def _whole(rng: np.random.Generator, at_horizon: Floats, relative: Floats) -> Floats:
    """Round counts by a threshold of each post's own: whole, never falling with age, and right on average."""
    threshold = rng.random(len(at_horizon))
    counts: Floats = np.floor(at_horizon[:, None] * relative + threshold[:, None])
    return counts
