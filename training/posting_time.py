"""When to post: the forecast of one post at every hour of the coming week, and how much of that to believe.

The log of what a post reaches at an hour of the week, less its mean over the week, is taken to be

    slope * (the model's timing contrast) + effects of the account's own hour block and weekday

with normal beliefs in slope and effects: the slope as measured out of fold (`training.hours`), the effects drawn around
0 as widely as accounts were seen to differ (`training.audience`). The account's matured outcomes turn these beliefs
into others, all at once, by linear regression. The answer is the mean of these, and a band that holds all 168 hours
together in `COVERAGE` of cases: the quantile of the largest deviation over the hours, in standard deviations, drawn
from the beliefs (Montiel Olea & Plagborg-Moller, 2019, "Simultaneous confidence bands").

So the best of 168 is honest about having been picked, twice over. Means that are shrunk need no correction for it
where the beliefs are right (Efron, 2011, "Tweedie's formula and selection bias"); and because the band holds at all
hours together it holds at whichever is picked, also where they are too bold: with nothing to find it lies above 0 for
at most a tenth of accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from features.columns import Floats, Ints, Posts
from features.countries import local_times, main_zones, offsets_s
from features.errors import SchemaError
from features.events import LONG_WINDOW
from features.history import History
from features.schema import primary
from training.answering import inputs_for, read_posts
from training.audience import EFFECTS, Evidence, Spread, effects_of, evidence_of
from training.contrasts import moved
from training.examples import Inputs
from training.hours import LEAST_CONTRAST, UNMEASURED
from training.performance_model import PerformanceModel

WEEK_HOURS = 168
COVERAGE = 0.8
DEFAULT_COUNTRY = "US"

_HOUR_S = 3600
_DRAWS = 2_000
_SEED = 7


@dataclass(frozen=True)
class Band:
    """Gains over the mean of the week by hour, in logs, and the ends of a band that holds them all together."""

    gain: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True)
class PostingTime:
    """When to post in the coming week, and what that is worth against an average hour of it.

    Attributes
    ----------
    boost
        Gain of each of the 168 hours from `start` on, as a fraction: 0.04 is 4 % more. It is that of a typical
        outcome, a geometric mean.
    lower, upper
        Ends of its interval; together they hold all hours in 80 % of cases.
    best
        Position of the best hour.
    measured
        Whether it was measured for this version what its timing contrasts are worth, or it has none.
    audience_posts
        Matured outcomes of the account that bear on the answer.
    """

    start: datetime
    boost: Floats
    lower: Floats
    upper: Floats
    best: int
    outcome: str
    measured: bool
    account_known: bool
    audience_posts: int
    timezone_breakdown: Mapping[str, Mapping[str, str]]

    @property
    def times(self) -> list[datetime]:
        """The 168 hours in UTC."""
        return [self.start + timedelta(hours=hour) for hour in range(len(self.boost))]

    @property
    def optimal_time_utc(self) -> datetime:
        """The hour that is forecast best."""
        return self.times[self.best]

    @property
    def distinguishable(self) -> bool:
        """Whether the best hour's gain can be told from none."""
        return self.measured and bool(self.lower[self.best] > 0)

    @property
    def sentence(self) -> str:
        """The answer in words, with its doubt."""
        when = f"{self.optimal_time_utc:%A %Y-%m-%d %H:%M} UTC"
        if not self.measured:
            return (
                f"{when} is forecast best, but what hours are worth was not measured for this version, which was made "
                "before that was done or from too few accounts: train again with clipcast run weekly."
            )
        gain, low, high = (100 * ends[self.best] for ends in (self.boost, self.lower, self.upper))
        told = "" if self.distinguishable else ": not distinguishable from none"
        return (
            f"Posting on {when} is forecast to bring {gain:.0f} % more {self.outcome} than an average hour of the week "
            f"({low:+.0f} % to {high:+.0f} %){told}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain JSON."""
        columns = zip(self.times, self.boost.tolist(), self.lower.tolist(), self.upper.tolist(), strict=True)
        return {
            "optimal_time_utc": _iso(self.optimal_time_utc),
            "timezone_breakdown": {key: dict(value) for key, value in self.timezone_breakdown.items()},
            "expected_engagement_boost": float(self.boost[self.best]),
            "lower": float(self.lower[self.best]),
            "upper": float(self.upper[self.best]),
            "distinguishable": self.distinguishable,
            "measured": self.measured,
            "sentence": self.sentence,
            "account_known": self.account_known,
            "audience_posts": self.audience_posts,
            "surface": [
                {"time_utc": _iso(time), "boost": boost, "lower": lower, "upper": upper}
                for time, boost, lower, upper in columns
            ],
        }


def posting_time(
    model: PerformanceModel,
    *,
    now: datetime,
    account: str | None = None,
    post: Mapping[str, Any] | None = None,
    countries: Sequence[str] = (),
    history: History | None = None,
) -> PostingTime:
    """Say when to post within the 168 hours from the next full hour on.

    The post is forecast once as if published at the first of these hours, and then with nothing but its timing
    columns changed (`training.contrasts.moved`): its tempo and history are those of the first hour, as contrasts were
    measured. Only outcomes that had matured by `now` are read.

    Parameters
    ----------
    account
        The account; without one, or of one never seen, nobody's own audience is known.
    post
        Whatever else of the import format is known: caption, duration_s, media_type, followers, country, source, …
    countries
        Target countries, ISO 3166-1 alpha-2, for the breakdown; unless given that of the post, else the US.
    history
        What is known of earlier posts; the model's own snapshot unless given.

    Raises
    ------
    SchemaError
        `now` has no time zone, or a country is not known.
    """
    post = post or {}
    targets = list(countries) or [post.get("country") or DEFAULT_COUNTRY]
    start = _next_hour(now)
    local_times(start, targets)  # refuses an unknown country before anything is computed
    hours, known = model.hours or UNMEASURED, model.history if history is None else history
    now_s, times_s = int(now.timestamp()), int(start.timestamp()) + np.arange(WEEK_HOURS) * _HOUR_S
    draft = {"post_id": "draft", **post, "account_id": account, "published_at": start, "platform": model.platform}
    posts, names = read_posts(model, pl.DataFrame({name: [value] for name, value in draft.items()}))
    inputs = inputs_for(model, posts, names, known, known_until_s=np.array([now_s]))
    contrast = _contrast(model, posts, inputs, times_s)
    past_s, outcome = _matured(known, account, names[0], now_s)
    zone = next(iter(_zones_or_none(post.get("country"))), "UTC")
    evidence = _evidence(contrast, times_s, past_s, outcome, zone, hours.audience.luck)
    effects = effects_of(times_s + offsets_s(zone, times_s))
    is_new = bool(inputs.is_new[0])
    band = weigh(contrast, effects, hours.belief(is_new), hours.audience, evidence)
    best = int(np.lexsort((-contrast, -band.gain))[0])
    return PostingTime(
        start=start,
        boost=np.expm1(band.gain),
        lower=np.expm1(band.lower),
        upper=np.expm1(band.upper),
        best=best,
        outcome=primary(model.platform),
        measured=model.hours is not None
        and (hours.slope(is_new) is not None or bool(np.ptp(contrast) < LEAST_CONTRAST)),
        account_known=not is_new,
        audience_posts=0 if evidence is None else len(outcome),
        timezone_breakdown=local_times(start + timedelta(hours=best), targets),
    )


def weigh(
    contrast: Floats, effects: Floats, slope: tuple[float, float], spread: Spread, evidence: Evidence | None
) -> Band:
    """Join what the model says of each hour with what the account's past says.

    Parameters
    ----------
    contrast, effects
        What the model forecasts at each hour, in logs, and which of the account's effects bear on it.
    slope
        Mean and variance of the slope as believed without the account's past.
    evidence
        What the account's outcomes say of slope and effects, in this order.
    """
    design = np.column_stack([contrast, effects])
    design = design - design.mean(axis=0)
    variances = np.maximum(np.append(slope[1], spread.variances), 1e-9)
    precision, pull = np.diag(1 / variances), np.zeros(1 + EFFECTS)
    pull[0] = slope[0] / variances[0]
    if evidence is not None:
        noise = evidence.noise(spread)
        precision, pull = precision + evidence.products / noise, pull + evidence.answers / noise
    root = np.linalg.inv(np.linalg.cholesky(precision)).T
    gain = design @ (root @ (root.T @ pull))
    deviation = design @ root
    spread_of_gain = np.maximum(np.sqrt((deviation**2).sum(axis=1)), 1e-12)
    drawn = np.random.default_rng(_SEED).standard_normal((_DRAWS, root.shape[1])) @ deviation.T
    reach = np.quantile(np.abs(drawn / spread_of_gain).max(axis=1), COVERAGE) * spread_of_gain
    return Band(gain, gain - reach, gain + reach)


def _contrast(model: PerformanceModel, posts: Posts, inputs: Inputs, times_s: Ints) -> Floats:
    """Return the log forecast of a post at some times less their mean."""
    copies = np.zeros(len(times_s), np.int64)
    log = model.expected(moved(inputs.take(copies), model.names, posts.take(copies), times_s))
    return np.asarray(log - log.mean())


def _matured(history: History, account: str | None, population: str, now_s: int) -> tuple[Ints, Floats]:
    """Return the account's latest outcomes that are known by now, in order of publication, with their times."""
    code = history.within_population(history.accounts.code(account), history.populations.code(population))
    outcomes = history.outcomes
    start, stop = outcomes.before(code, now_s)
    latest = slice(max(start, stop - LONG_WINDOW), stop)
    published_s, outcome = (outcomes.values[name][latest] for name in ("published_s", "outcome"))
    order = np.argsort(published_s, kind="stable")
    return published_s[order].astype(np.int64), outcome[order]


def _evidence(
    contrast: Floats, times_s: Ints, past_s: Ints, outcome: Floats, zone: str, luck: float
) -> Evidence | None:
    """Weigh past outcomes against the model's contrast at their hour of the week, and the account's own effects."""
    local_s = past_s + offsets_s(zone, past_s)
    same_hour = (past_s - times_s[0]) // _HOUR_S % WEEK_HOURS
    return evidence_of(local_s, outcome, np.column_stack([contrast[same_hour], effects_of(local_s)]), luck)


def _zones_or_none(country: str | None) -> Sequence[str]:
    """Return the zones of a post's country, none where it is unknown: a post may say anything."""
    try:
        return list(main_zones(country).values()) if country else []
    except SchemaError:
        return []


def _next_hour(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise SchemaError(f"the moment {now} has no time zone; give one, as datetime.now(UTC) does")
    return datetime.fromtimestamp(-(-now.timestamp() // _HOUR_S) * _HOUR_S, UTC)


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
