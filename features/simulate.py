"""A simulated world of posts, for trying clipcast without real data and for tests that need a known truth.

Nothing here is real: accounts, posts and sounds carry identifiers that start with ``sim-``, the source is
called `SOURCE`, and every number made from it is to be labelled so. The same `World` gives the same rows,
byte for byte. What its figures are taken from is written in `features.simulate_parameters` and
docs/simulation.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from features import simulate_parameters as p
from features.columns import Bools, Floats, Ints
from features.errors import SettingsError
from features.schema import IMPORT, TIME, Platform
from features.simulate_captions import Captions, trend_tag, write_captions
from features.simulate_parameters import FIGURES, Figures
from features.simulate_posting import (
    Accounts,
    Calendar,
    Span,
    draw_accounts,
    draw_calendar,
    draw_durations,
    draw_media,
    draw_trends,
    ride,
)
from features.simulate_reach import Content, Effects, Shifts, draw_counts, draw_shifts, reach_effects
from features.simulate_words import PLACES, TOPICS

SOURCE = "simulated"
SHORT_MOST_S = 180.0  # YouTube calls a video of up to three minutes a Short

PARTS = (
    "accounts",
    "calendar",
    "media",
    "sounds",
    "hashtags",
    "captions",
    "shifts",
    "chance",
    "looks",
    "counts",
    "unknown",
)

LABEL = pl.Schema({"platform": pl.String(), "account_id": pl.String(), "kind": pl.String(), "start": TIME, "end": TIME})


@dataclass(frozen=True)
class World:
    """What to simulate: the same world always gives the same posts.

    Attributes
    ----------
    accounts
        Accounts per platform.
    end
        The moment of the last possible look, with its time zone; nothing exists after it.
    posts_per_week
        Mean over the accounts; 1.8 is what brands post on TikTok [Rival IQ].
    suppressed_share
        Share of the accounts with one period of suppressed reach [CDT 2022].
    """

    seed: int = 7
    platforms: tuple[Platform, ...] = tuple(Platform)
    accounts: int = 150
    weeks: int = 26
    end: datetime = datetime(2026, 6, 28, tzinfo=UTC)
    posts_per_week: float = 1.8
    suppressed_share: float = p.SUPPRESSED_SHARE

    def __post_init__(self) -> None:
        if self.end.tzinfo is None:
            raise SettingsError(f"the world's end {self.end} has no time zone; write it as UTC")
        if min(self.seed, self.accounts - 1, self.weeks - 2) < 0 or self.posts_per_week <= 0:
            raise SettingsError(
                f"cannot simulate {self}; give a seed of at least 0, accounts, 2 weeks and posts per week"
            )
        if not self.platforms or len(set(self.platforms)) < len(self.platforms):
            raise SettingsError(f"the world's platforms {self.platforms} are empty or repeated; name each once")

    @property
    def span(self) -> Span:
        """The simulated time."""
        end_s = int(self.end.timestamp())
        return Span(end_s - int(timedelta(weeks=self.weeks).total_seconds()), end_s)


@dataclass(frozen=True)
class Simulated:
    """The simulated posts in the import format, one row per look, and what was done to them.

    `labels` has one row per episode: `kind` is ``suppressed`` or ``burst``, and it concerns the posts that
    the account published from `start` up to, but not including, `end`. Posts of the world's last day have not
    been looked at yet, so an episode that began then has no rows.
    """

    posts: pl.DataFrame
    labels: pl.DataFrame


@dataclass(frozen=True)
class Truth:
    """One platform's posts before anybody looks at them, with the true effects behind their reach."""

    platform: Platform
    figures: Figures
    span: Span
    accounts: Accounts
    calendar: Calendar
    sounds: list[str | None]
    captions: Captions
    content: Content
    shifts: Shifts
    effects: Effects


def simulate(params: World) -> Simulated:
    """Simulate a world: its posts as they were looked at, and the labels of its episodes."""
    truths = [simulate_truth(params, platform) for platform in params.platforms]
    return Simulated(
        posts=pl.concat([observe(truth, params.seed) for truth in truths]),
        labels=pl.concat([label(truth) for truth in truths]),
    )


def simulate_truth(world: World, platform: Platform) -> Truth:
    """Simulate the posts of one platform, with the effects that made them reach as far as they did."""
    figures, span, seed = FIGURES[platform], world.span, world.seed
    accounts = draw_accounts(
        stream(seed, platform, "accounts"),
        figures,
        span,
        accounts=world.accounts,
        posts_per_week=world.posts_per_week,
        place_shares=np.array([place.share for place in PLACES]),
        topics=len(TOPICS),
    )
    offsets_hours = np.array([place.offset_hours for place in PLACES])
    calendar = draw_calendar(stream(seed, platform, "calendar"), accounts, span, offsets_hours)
    sounds, captions, content = draw_content(seed, platform, figures, span, accounts, calendar)
    shifts = draw_shifts(stream(seed, platform, "shifts"), accounts, calendar, span, world.suppressed_share)
    rng = stream(seed, platform, "chance")
    effects = reach_effects(rng, figures, span, accounts, calendar, content, shifts)
    return Truth(platform, figures, span, accounts, calendar, sounds, captions, content, shifts, effects)


def stream(seed: int, platform: Platform, part: str) -> np.random.Generator:
    """Return the random stream of one part of one platform.

    It is the stream that `SeedSequence(seed).spawn` gives to that platform and then to that part, so that
    neither another platform nor a change of another part moves it. The generator is named, since numpy's
    default may change.
    """
    key = (list(Platform).index(platform), PARTS.index(part))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def draw_content(
    seed: int, platform: Platform, figures: Figures, span: Span, accounts: Accounts, calendar: Calendar
) -> tuple[list[str | None], Captions, Content]:
    """Draw the sounds, the captions, and what the content of each post brings."""
    rng = stream(seed, platform, "media")
    media_type = draw_media(rng, figures.media_shares, len(calendar))
    is_video = np.array([name == "video" for name in media_type], np.bool_)
    duration_s = draw_durations(rng, figures, is_video)

    days = span.days(calendar.published_s)
    sounds, sound_momentum = draw_sounds(stream(seed, platform, "sounds"), figures, platform, span, days, is_video)
    rng = stream(seed, platform, "hashtags")
    hashtag, hashtag_momentum = ride(rng, draw_trends(rng, span), days, p.RIDES_HASHTAG)
    captions = write_captions(
        stream(seed, platform, "captions"),
        languages=[PLACES[place].language for place in accounts.place[calendar.account]],
        topics=accounts.topic[calendar.account],
        trend_tags=[trend_tag(position) if position >= 0 else None for position in hashtag.tolist()],
        typical_words=figures.caption_words,
    )
    momentum = p.SOUND_EFFECT * sound_momentum + p.HASHTAG_EFFECT * hashtag_momentum
    return sounds, captions, Content(captions.effect, momentum, media_type, duration_s)


def draw_sounds(
    rng: np.random.Generator, figures: Figures, platform: Platform, span: Span, days: Floats, is_video: Bools
) -> tuple[list[str | None], Floats]:
    """Draw each post's sound, of a trend or a lasting one, and the momentum of the trend on that day."""
    trending, momentum = ride(rng, draw_trends(rng, span), days, p.RIDES_SOUND)
    # A few of the lasting sounds are used far more than most.
    lasting = (p.LASTING_SOUNDS * rng.random(len(days)) ** 3).astype(np.int64)
    has_sound = is_video & (rng.random(len(days)) < figures.sound_share)
    names = [
        f"sim-{platform}-trend{trend:04d}" if trend >= 0 else f"sim-{platform}-sound{sound:04d}"
        for trend, sound in zip(trending.tolist(), lasting.tolist(), strict=True)
    ]
    sounds = [name if heard else None for name, heard in zip(names, has_sound.tolist(), strict=True)]
    return sounds, np.where(has_sound, momentum, 0.0)


def observe(truth: Truth, seed: int) -> pl.DataFrame:
    """Look at the posts of one platform as a collector would: the rows of the import format."""
    account, published_s = truth.calendar.account, truth.calendar.published_s
    looked_s, seen = draw_looks(stream(seed, truth.platform, "looks"), published_s, truth.span)
    counts = draw_counts(
        stream(seed, truth.platform, "counts"),
        truth.figures,
        truth.accounts.engagement[account],
        truth.effects,
        truth.shifts,
        truth.captions.asks,
        (looked_s - published_s[:, None]) / p.DAY_S,
    )
    rng = stream(seed, truth.platform, "unknown")
    post, look = np.nonzero(seen)
    observed_s = looked_s[post, look]
    followers = truth.accounts.followers_at(account[post], observed_s, truth.span)
    looks = {"followers": np.rint(followers)} | {name: values[post, look] for name, values in counts.items()}
    rows = _forget(rng, describe(truth), p.UNKNOWN_POSTS)[post].with_columns(
        _times(observed_s).alias("observed_at"),
        *(pl.Series(name, values).cast(pl.Int64) for name, values in looks.items()),
    )
    hidden = [pl.lit(None, dtype).alias(name) for name, dtype in IMPORT.items() if name not in rows.columns]
    return _forget(rng, rows.with_columns(hidden), p.UNKNOWN_LOOKS).select(*IMPORT)


def draw_looks(rng: np.random.Generator, published_s: Ints, span: Span) -> tuple[Ints, Bools]:
    """Draw when each post is looked at, and which of those looks took place."""
    youngest, width = np.array(p.LOOKS_DAYS).T
    age_days = youngest + width * rng.random((len(published_s), len(youngest)))
    looked_s = published_s[:, None] + (age_days * p.DAY_S).astype(np.int64)
    return looked_s, (looked_s <= span.end_s) & (rng.random(looked_s.shape) >= p.LOOK_MISSED)


def describe(truth: Truth) -> pl.DataFrame:
    """What is known of each post at publication, one row per post."""
    accounts, account, name = truth.accounts, truth.calendar.account, truth.platform
    places = [PLACES[place] for place in accounts.place[account].tolist()]
    tells_language = accounts.tells_language[account].tolist()
    tells_country = accounts.tells_country[account].tolist()
    length_s = pl.col("duration_s")
    return pl.DataFrame(
        {
            "platform": [str(name)] * len(account),
            "post_id": [f"sim-{name}-{number:07d}" for number in range(len(account))],
            "account_id": [_account_id(name, number) for number in account.tolist()],
            "published_at": _times(truth.calendar.published_s),
            "media_type": truth.content.media_type,
            "caption": truth.captions.texts,
            "duration_s": pl.Series(truth.content.duration_s).fill_nan(None),
            "sound_id": truth.sounds,
            "language": [place.language if told else None for place, told in zip(places, tells_language, strict=True)],
            "country": [place.country if told else None for place, told in zip(places, tells_country, strict=True)],
        },
        schema_overrides=dict(IMPORT),
    ).with_columns(
        pl.when(length_s > SHORT_MOST_S).then(pl.lit("long")).when(length_s > 0).then(pl.lit("short")).alias("format")
    )


def label(truth: Truth) -> pl.DataFrame:
    """The episodes of one platform as a table."""
    episodes = sorted(truth.shifts.episodes, key=lambda episode: (episode.start_s, episode.account))
    return pl.DataFrame(
        {
            "platform": [str(truth.platform)] * len(episodes),
            "account_id": [_account_id(truth.platform, episode.account) for episode in episodes],
            "kind": [episode.kind for episode in episodes],
            "start": _times(np.array([episode.start_s for episode in episodes], np.int64)),
            "end": _times(np.array([episode.end_s for episode in episodes], np.int64)),
        },
        schema=LABEL,
    )


def _account_id(platform: Platform, number: int) -> str:
    """The identifier of an account."""
    return f"sim-{platform}-account{number:05d}"


def _times(seconds: Ints) -> pl.Series:
    """Seconds since 1970-01-01 UTC as times."""
    return pl.Series(seconds * 1_000_000, dtype=pl.Int64).cast(TIME)


def _forget(rng: np.random.Generator, frame: pl.DataFrame, shares: Mapping[str, float]) -> pl.DataFrame:
    """Make a share of the values of some columns unknown."""
    known = {name: pl.Series(rng.random(frame.height) >= share) for name, share in shares.items()}
    return frame.with_columns(pl.when(mask).then(pl.col(name)) for name, mask in known.items())
