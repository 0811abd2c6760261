"""Who posts in the simulated world, when, about what, and on which trend."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features import simulate_parameters as p
from features.columns import Bools, Floats, Ints
from features.simulate_parameters import Figures

WEEK_S = 7 * p.DAY_S


@dataclass(frozen=True)
class Span:
    """The simulated time, in seconds since 1970-01-01 UTC."""

    start_s: int
    end_s: int

    @property
    def weeks(self) -> float:
        """Length in weeks."""
        return (self.end_s - self.start_s) / WEEK_S

    def elapsed(self, time_s: Ints) -> Floats:
        """The part of the span that has passed: 0 at its start, 1 at its end."""
        return (time_s - self.start_s) / (self.end_s - self.start_s)

    def days(self, time_s: Ints) -> Floats:
        """Days since the start."""
        return (time_s - self.start_s) / p.DAY_S


@dataclass(frozen=True)
class Accounts:
    """Accounts of one platform, one entry per account.

    Attributes
    ----------
    growth
        Growth of the log of followers per week.
    effect, engagement
        What the account adds to log reach and to the log of likes per view.
    form
        Log reach by account and week of the world: good and bad spells.
    place
        Position in the list of places, which gives language, country and time zone.
    """

    enters_s: Ints
    posts_per_week: Floats
    followers: Floats
    growth: Floats
    effect: Floats
    engagement: Floats
    form: Floats
    place: Ints
    topic: Ints
    tells_language: Bools
    tells_country: Bools

    def followers_at(self, account: Ints, time_s: Ints, span: Span) -> Floats:
        """Followers of each account at each time."""
        weeks = (time_s - span.start_s) / WEEK_S
        followers: Floats = self.followers[account] * np.exp(self.growth[account] * weeks)
        return followers

    def form_at(self, account: Ints, time_s: Ints, span: Span) -> Floats:
        """Form of each account in the week of each time."""
        return self.form[account, (time_s - span.start_s) // WEEK_S]


@dataclass(frozen=True)
class Calendar:
    """Publications of one platform in their order: who, when, and the account's local time."""

    account: Ints
    published_s: Ints
    hour: Floats
    weekday: Ints

    def __len__(self) -> int:
        return len(self.account)


@dataclass(frozen=True)
class Trends:
    """Sounds or hashtags that rise and fade: `popularity` (0 to 1) and `pull` by day and trend."""

    popularity: Floats
    pull: Floats


def draw_accounts(
    rng: np.random.Generator,
    figures: Figures,
    span: Span,
    accounts: int,
    posts_per_week: float,
    place_shares: Floats,
    topics: int,
) -> Accounts:
    """Draw the accounts of one platform; those that enter later enter ever more often."""
    growth = figures.follower_growth + p.GROWTH_SPREAD * rng.standard_normal(accounts)
    spread = p.POSTS_PER_WEEK_SPREAD
    tempo = np.exp(spread * rng.standard_normal(accounts) - spread**2 / 2)
    late = rng.random(accounts) >= p.PRESENT_FROM_START
    entry = np.where(late, np.sqrt(rng.random(accounts)), 0.0)
    return Accounts(
        enters_s=span.start_s + (entry * (span.end_s - span.start_s)).astype(np.int64),
        posts_per_week=posts_per_week * np.where(late, p.NEWCOMER_TEMPO, 1.0) * tempo,
        followers=draw_followers(rng, figures, accounts),
        growth=growth / p.HALF_YEAR_WEEKS,
        effect=figures.account_spread * rng.standard_normal(accounts),
        engagement=p.ENGAGEMENT_ACCOUNT_SPREAD * rng.standard_normal(accounts),
        form=draw_form(rng, figures.form_spread, accounts, weeks=int(span.weeks) + 1),
        place=_pick(rng.random(accounts), place_shares),
        topic=rng.integers(topics, size=accounts),
        tells_language=rng.random(accounts) < p.TELLS_LANGUAGE,
        tells_country=rng.random(accounts) < p.TELLS_COUNTRY,
    )


def draw_followers(rng: np.random.Generator, figures: Figures, accounts: int) -> Floats:
    """Draw followers: log-normal, with a power law for the largest accounts [Cameron 2022]."""
    body = figures.followers_median * np.exp(figures.followers_spread * rng.standard_normal(accounts))
    above = rng.random(accounts)
    tail_start = figures.followers_median * np.exp(1.2816 * figures.followers_spread)  # the body's 90th percentile
    tail = tail_start * (above / p.TAIL_SHARE) ** (-1 / p.TAIL_EXPONENT)
    followers: Floats = np.where(above < p.TAIL_SHARE, tail, np.minimum(body, tail_start))
    return np.clip(followers, p.FOLLOWERS_SMALLEST, p.FOLLOWERS_LARGEST)


def draw_form(rng: np.random.Generator, spread: float, accounts: int, weeks: int) -> Floats:
    """Draw each account's form week by week: an autoregression of constant spread."""
    form = np.empty((accounts, weeks))
    form[:, 0] = spread * rng.standard_normal(accounts)
    innovation = spread * np.sqrt(1 - p.FORM_MEMORY**2)
    for week in range(1, weeks):
        form[:, week] = p.FORM_MEMORY * form[:, week - 1] + innovation * rng.standard_normal(accounts)
    return form


def draw_calendar(rng: np.random.Generator, accounts: Accounts, span: Span, offsets_hours: Floats) -> Calendar:
    """Draw the publications: a Poisson process per account, thinned to its local day and week."""
    rhythm = np.outer(p.WEEKDAYS, p.HOURS)
    peak = rhythm.max() / rhythm.mean()
    active_weeks = (span.end_s - accounts.enters_s) / WEEK_S
    candidates = rng.poisson(accounts.posts_per_week * active_weeks * peak)
    account = np.repeat(np.arange(len(candidates)), candidates)
    entry = accounts.enters_s[account]
    published_s = entry + (rng.random(len(account)) * (span.end_s - entry)).astype(np.int64)
    hour, weekday = local_time(published_s, offsets_hours[accounts.place[account]])
    kept = rng.random(len(account)) * rhythm.max() < rhythm[weekday, hour.astype(np.int64)]
    order = np.lexsort((account[kept], published_s[kept]))
    return Calendar(*(values[kept][order] for values in (account, published_s, hour, weekday)))


def local_time(time_s: Ints, offset_hours: Floats) -> tuple[Floats, Ints]:
    """Return the local hour (0 to 24) and weekday (Monday is 0); 1970-01-01 was a Thursday."""
    local_s = time_s + (offset_hours * 3600).astype(np.int64)
    return (local_s % p.DAY_S) / 3600, (local_s // p.DAY_S + 3) % 7


def posts_in_week_before(calendar: Calendar) -> Ints:
    """Count, for each post, the account's other posts in the seven days before."""
    order = np.lexsort((calendar.published_s, calendar.account))
    time_s = calendar.published_s[order]
    # One long time line, the accounts so far apart that a week back never reaches the account before.
    line = calendar.account[order] * (time_s.max(initial=0) + 2 * WEEK_S) + time_s
    counts = np.empty(len(calendar), np.int64)
    counts[order] = np.arange(len(line)) - np.searchsorted(line, line - WEEK_S)
    return counts


def draw_trends(rng: np.random.Generator, span: Span) -> Trends:
    """Draw trends that are born through the world and before it, and live some days [Publicis; Asur 2011]."""
    days = int(span.weeks * 7) + 1
    births = int(p.TREND_BIRTHS_PER_DAY * (days + p.TREND_LEAD_DAYS))
    born = rng.uniform(-p.TREND_LEAD_DAYS, days, births)
    life = p.TREND_LIFE_MEDIAN_DAYS * np.exp(p.TREND_LIFE_SPREAD * rng.standard_normal(births))
    age = (np.arange(days)[:, None] + 0.5 - born) / np.clip(life, *p.TREND_LIFE_BOUNDS_DAYS)
    pull = np.exp(p.TREND_PULL_SPREAD * rng.standard_normal(births))
    popularity = bump(age)
    return Trends(popularity, popularity * pull + 1e-9)  # so that a day without trends has a choice as well


def bump(age: Floats) -> Floats:
    """The popularity of a trend over its life from age 0 to 1: a quick rise to 1, a slow fall."""
    top = p.TREND_RISE / (p.TREND_RISE + p.TREND_FALL)
    height = top**p.TREND_RISE * (1 - top) ** p.TREND_FALL
    living = np.clip(age, 0.0, 1.0)
    popularity: Floats = living**p.TREND_RISE * (1 - living) ** p.TREND_FALL / height
    return popularity


def ride(rng: np.random.Generator, trends: Trends, days: Floats, share: float) -> tuple[Ints, Floats]:
    """Pick the trend that each post rides (-1 for none), and say how popular it was on that day."""
    day = days.astype(np.int64)
    chances = np.cumsum(trends.pull, axis=1)
    chances /= chances[:, -1:]
    line = (chances + np.arange(len(chances))[:, None]).ravel()  # one rising line over days and trends
    picked = np.searchsorted(line, day + rng.random(len(day)) * (1 - 1e-9)) - day * trends.pull.shape[1]
    riding = rng.random(len(day)) < share
    return np.where(riding, picked, -1), np.where(riding, trends.popularity[day, picked], 0.0)


def draw_media(rng: np.random.Generator, shares: Mapping[str, float], posts: int) -> list[str]:
    """Draw each post's media type."""
    names = list(shares)
    return [names[position] for position in _pick(rng.random(posts), np.array(list(shares.values())))]


def draw_durations(rng: np.random.Generator, figures: Figures, is_video: Bools) -> Floats:
    """Draw each video's length in seconds, to a tenth; nan for what is no video."""
    kind = _pick(rng.random(len(is_video)), np.array([length.share for length in figures.lengths]))
    median, spread, shortest, longest = (
        np.array([getattr(length, name) for length in figures.lengths])[kind]
        for name in ("median_s", "spread", "shortest_s", "longest_s")
    )
    length_s = np.clip(median * np.exp(spread * rng.standard_normal(len(kind))), shortest, longest)
    return np.where(is_video, np.round(length_s, 1), np.nan)


def _pick(chance: Floats, shares: Floats) -> Ints:
    """Turn chances between 0 and 1 into positions that occur as often as `shares` say."""
    bounds: Floats = np.cumsum(shares / shares.sum())[:-1]
    return np.searchsorted(bounds, chance, side="right")
