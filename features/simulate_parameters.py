"""The numbers of the simulated world, each with the published figure it comes from, or marked as assumed.

The references in brackets are spelled out in docs/simulation.md. Effects are on the natural logarithm of
reach: of the primary count (views, or likes where a platform gives no views) seven days after publication.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from features.schema import Platform

DAY_S = 86_400
HORIZON_DAYS = 7.0
HALF_YEAR_WEEKS = 26.0


@dataclass(frozen=True)
class Length:
    """A kind of video by its length: log-normal around a median, within bounds."""

    share: float
    median_s: float
    spread: float
    shortest_s: float
    longest_s: float


@dataclass(frozen=True)
class Figures:
    """The numbers of one platform.

    Attributes
    ----------
    followers_median, followers_spread
        Log-normal body of the accounts' followers; the upper tail is a power law.
    follower_growth
        Mean growth of an account's followers in half a year, as a logarithm.
    reach_median, reach_largest
        Reach of a plain post of an account of median size, and the most that any post reaches.
    reach_exponent
        How reach grows with followers: `reach ~ followers ** exponent`.
    account_spread, form_spread, residual_spread
        Standard deviations: between accounts of equal size, of an account's form, and of chance.
    half_life_days, growth_shape, engagement_half_life_days
        Growth with age: `1 - 2 ** -((age / half_life) ** shape)`; engagement comes earlier than views.
    trend, level_shift
        Drift of the whole platform over the world's weeks, and one change of its algorithm.
    duration_slope
        Effect of one unit of log duration at the world's start and at its end.
    saves_per_view, shares_per_like
        None where the platform does not tell them.
    """

    followers_median: float
    followers_spread: float
    follower_growth: float
    reach_median: float
    reach_largest: float
    reach_exponent: float
    account_spread: float
    form_spread: float
    residual_spread: float
    half_life_days: float
    growth_shape: float
    engagement_half_life_days: float
    trend: float
    level_shift: float
    media_shares: Mapping[str, float]
    media_effects: Mapping[str, float]
    lengths: tuple[Length, ...]
    duration_slope: tuple[float, float]
    sound_share: float
    caption_words: float
    likes_per_view: float | None
    comments_per_like: float
    shares_per_like: float | None
    saves_per_view: float | None


TIKTOK = Figures(
    followers_median=3_000.0,  # assumption
    followers_spread=1.7,  # assumption
    follower_growth=0.22,  # 3.7 % a month [Napolify 2025]
    reach_median=275.0,  # so that the median post has the 489 views of [Buffer 2025a]
    reach_largest=2e8,  # assumption
    reach_exponent=0.55,  # assumption: few of the posts in the feed are of followed accounts
    account_spread=1.05,  # assumption; the total spread is that of [Buffer 2025a]
    form_spread=0.3,  # assumption
    residual_spread=0.97,  # assumption, as account_spread
    half_life_days=4.78,  # with the shape: 32 % of views on day 1, 39 by day 2, 55 by day 7 [Trendpop]
    growth_shape=0.374,
    engagement_half_life_days=0.8,  # with the same shape: 53 % of likes on day 1 [Trendpop]
    trend=-0.10,  # assumption
    level_shift=0.0,  # assumption
    media_shares={"video": 1.0},
    media_effects={"video": 0.0},
    lengths=(Length(1.0, 19.0, 1.0, 3.0, 600.0),),  # 27 % below 10 s, 60 % below 30 s, 88 % below 60 s [Buffer 2025b]
    duration_slope=(
        0.05,
        0.28,
    ),  # the end: +95.7 % from 5-10 s to over 60 s [Buffer 2025b]; the start: assumption
    sound_share=0.85,  # videos with music [Pex 2024]
    caption_words=9.0,  # assumption
    likes_per_view=0.0545,  # likes and comments are 5.52 % of views [SocialCrawl 2026]
    comments_per_like=0.014,  # 50 comments to 3,492 likes [Socialinsider 2026]
    shares_per_like=0.071,  # 248 shares to 3,492 likes [Socialinsider 2026]
    saves_per_view=0.0048,  # [CalculateCreator 2026]
)

INSTAGRAM = Figures(
    followers_median=20_000.0,  # assumption
    followers_spread=1.4,  # assumption
    follower_growth=0.13,  # 9.4 to 16 % from January to June [quintly 2019]
    reach_median=115.0,  # so that the median post is liked by 0.60 % of followers [Socialinsider 2023]
    reach_largest=1e7,  # assumption
    reach_exponent=0.81,  # 48 % of 500-1,000 followers, 15 % of 200,000 [Fanpage Karma 2018]
    account_spread=0.75,  # assumption
    form_spread=0.25,  # assumption
    residual_spread=0.93,  # assumption
    half_life_days=0.79,  # 19 hours [Graffius 2018]
    growth_shape=0.5,  # assumption
    engagement_half_life_days=0.79,
    trend=0.0,  # assumption
    level_shift=-0.25,  # assumption
    media_shares={"image": 0.68, "video": 0.18, "carousel": 0.14},  # [quintly 2019]
    media_effects={
        "image": -0.08,
        "video": 0.32,
        "carousel": 0.04,
    },  # video up to 49 % above the rest [quintly 2019]
    lengths=(Length(1.0, 25.0, 0.8, 3.0, 600.0),),  # assumption
    duration_slope=(0.0, 0.10),  # assumption
    sound_share=0.58,  # videos with music [Pex 2024]
    caption_words=18.0,  # assumption
    likes_per_view=None,
    comments_per_like=0.02,  # assumption
    shares_per_like=None,
    saves_per_view=None,
)

YOUTUBE = Figures(
    followers_median=4_000.0,  # assumption
    followers_spread=1.9,  # assumption
    follower_growth=0.10,  # assumption
    reach_median=1_000.0,  # assumption
    reach_largest=2e8,  # assumption
    reach_exponent=0.70,  # assumption
    account_spread=0.85,  # assumption
    form_spread=0.3,  # assumption
    residual_spread=1.15,  # assumption
    half_life_days=6.0,  # [Graffius 2018]
    growth_shape=0.30,  # 64 % of the first week's views come on day 1 [Pew 2019]
    engagement_half_life_days=0.16,  # with the same shape: 79 % of the first week's likes [Pew 2019]
    trend=0.12,  # assumption
    level_shift=0.15,  # assumption
    media_shares={"video": 1.0},
    media_effects={"video": 0.0},
    # Shorts and long videos: assumption, but for the mean of 12 minutes of a long one [Pew 2019].
    lengths=(Length(0.6, 35.0, 0.5, 5.0, 180.0), Length(0.4, 520.0, 0.8, 181.0, 14_400.0)),
    duration_slope=(0.20, 0.05),  # assumption
    sound_share=0.0,  # the platform's interface does not tell the sound
    caption_words=9.0,  # assumption: the title
    likes_per_view=0.0253,  # likes and comments are 2.66 % of views [SocialCrawl 2026]
    comments_per_like=0.05,  # assumption
    shares_per_like=None,
    saves_per_view=None,
)

FIGURES: Mapping[Platform, Figures] = {
    Platform.TIKTOK: TIKTOK,
    Platform.INSTAGRAM: INSTAGRAM,
    Platform.YOUTUBE: YOUTUBE,
}

# Accounts. Followers of the largest accounts follow a power law on every platform [Cameron 2022]; where the
# tail starts, and its exponent, are assumptions, as are the spread of growth and how accounts enter.
TAIL_SHARE = 0.10
TAIL_EXPONENT = 1.1
FOLLOWERS_SMALLEST, FOLLOWERS_LARGEST = 20.0, 5e7
GROWTH_SPREAD = 0.08
POSTS_PER_WEEK_SPREAD = 0.7
PRESENT_FROM_START = 0.40
NEWCOMER_TEMPO = 1.3  # how much more often an account posts that enters later
TELLS_LANGUAGE, TELLS_COUNTRY = 0.26, 0.73  # as on YouTube [Pew 2019]
FORM_MEMORY = 0.85  # correlation of an account's form from one week to the next

# Rhythm of posting by local hour and weekday (Monday first), relative: assumption. The effect on reach peaks
# on Sunday evening [Buffer 2024]; that it is small is an assumption.
HOURS = (3, 2, 1, 1, 1, 2, 4, 6, 8, 9, 10, 11, 12, 11, 10, 10, 11, 13, 15, 16, 15, 13, 9, 5)
WEEKDAYS = (1.0, 1.05, 1.1, 1.1, 1.05, 0.85, 0.85)
PEAK_HOUR = 20.0
HOUR_EFFECT = 0.06
WEEKDAY_EFFECTS = (0.0, 0.02, 0.01, 0.0, -0.03, -0.02, 0.05)

# Tempo: within an account, 2-5 posts a week bring 17 % more views a post than one, 6-10 bring 29 %, more 34 %
# [Buffer 2025a]. These lie on 0.12 * log(1 + posts in the seven days before).
TEMPO_EFFECT = 0.12

# Trends: nearly half of TikTok's trending hashtags are gone within five days, 27 % outlive two weeks
# [Publicis]: a log-normal life of median 5.4 days. How often a trend is used is log-normal [Asur 2011]. The
# rest is assumption.
TREND_LIFE_MEDIAN_DAYS = 5.4
TREND_LIFE_SPREAD = 1.55
TREND_LIFE_BOUNDS_DAYS = (2.0, 120.0)
TREND_BIRTHS_PER_DAY = 0.8
TREND_LEAD_DAYS = 60
TREND_PULL_SPREAD = 1.0
TREND_RISE, TREND_FALL = 1.5, 3.5  # the bump `age ** rise * (1 - age) ** fall` over a life of 1
RIDES_SOUND, SOUND_EFFECT = 0.5, 0.40
RIDES_HASHTAG, HASHTAG_EFFECT = 0.3, 0.30
LASTING_SOUNDS = 300

# Chance is heavy-tailed [Miotto 2017]: Student's t, and now and then a burst. Their sizes are assumptions.
RESIDUAL_FREEDOM, RESIDUAL_BOUND = 5.0, 4.0  # degrees of freedom; largest deviation in spreads
BURST_SHARE = 0.012
BURST_SMALLEST, BURST_EXPONENT, BURST_LARGEST = 6.0, 1.1, 300.0
BURST_DAYS = 3.0
BURST_AFTERGLOW = 0.35  # share of the log effect that the account's next posts inherit during the burst
BURST_HALF_LIFE = 1.8  # a viral post keeps growing for longer

# Suppressed reach: 9.2 % of users believe that it befell them within a year [CDT 2022]; measured penalties
# reach a factor of eight [NDSS 2026]. Length and smallest factor are assumptions.
SUPPRESSED_SHARE = 0.092
SUPPRESSED_FACTORS = (0.125, 0.45)
SUPPRESSED_DAYS = (12.0, 28.0)
SUPPRESSED_POSTS_BEFORE = 4

# An algorithm changes once, late enough to be seen only by the last third of the posts: assumption.
LEVEL_SHIFT_AT = 0.65

# Counts other than the primary: spreads are assumptions, and so is that a post seen by more people than usual
# is liked by a smaller share of them.
ENGAGEMENT_ACCOUNT_SPREAD = 0.3
ENGAGEMENT_POST_SPREAD = 0.3
RARE_COUNT_SPREAD = 0.5
ENGAGEMENT_DILUTION = -0.10
LIKES_LARGEST_SHARE = 0.35
QUESTION_COMMENTS = 0.4  # log effect of a question on comments
HALF_LIFE_SPREAD = 0.25

# Looks at a post: youngest age and the width of its jitter, in days; now and then one is missed. Assumptions.
LOOKS_DAYS = ((0.9, 0.4), (3.05, 0.9), (7.0, 0.6), (14.0, 0.8))
LOOK_MISSED = 0.03

# Values that stay unknown, as a share of posts, and of looks for counts: assumptions.
UNKNOWN_POSTS: Mapping[str, float] = {
    "caption": 0.03,
    "duration_s": 0.04,
    "media_type": 0.01,
    "sound_id": 0.03,
}
UNKNOWN_LOOKS: Mapping[str, float] = {"followers": 0.02, "comments": 0.015, "shares": 0.02, "saves": 0.03}
