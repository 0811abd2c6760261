"""Posts together with what they look back on: what every feature function reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from features.captions import Captions
from features.columns import Floats, Ints, Posts
from features.events import Earlier
from features.fitted import Fitted
from features.history import MOMENTUM_DAYS, History
from features.prior import shrunken
from features.records import COUNTS, TOTALS
from features.zones import local_offset_s


@dataclass(frozen=True)
class Rows:
    """Posts, the history before them, and what was fitted in training.

    What several features read is worked out once, when it is first asked for.

    Attributes
    ----------
    known_until_s
        For each post, the time up to which outcomes are known, in seconds; its publication or earlier.
    """

    posts: Posts
    populations: list[str]
    history: History
    fitted: Fitted
    known_until_s: Ints

    @cached_property
    def captions(self) -> Captions:
        """The captions, taken apart."""
        return Captions(self.posts.caption)

    @cached_property
    def clocks_s(self) -> Floats:
        """Publication in seconds of UTC and of local time, shape (2, posts); nan where the zone is not known."""
        utc_s = self.posts.published_s
        return np.array([utc_s, utc_s + local_offset_s(self.posts.country, utc_s)])

    @cached_property
    def log_followers(self) -> Floats:
        """Natural log of one plus the followers."""
        return np.log1p(self.posts.followers)

    @cached_property
    def population_codes(self) -> Ints:
        """Codes of the populations, -1 for one never seen in training."""
        return self.fitted.codes("population", self.populations)

    @cached_property
    def account_codes(self) -> Ints:
        """Codes of the accounts, -1 for one of which the history holds no post."""
        return self.history.accounts.codes(self.posts.account)

    @cached_property
    def earlier_posts(self) -> Earlier:
        """The account's posts before this one, mature or not."""
        return self.history.posts.before(self.account_codes, self.posts.published_s)

    @cached_property
    def outcomes(self) -> Earlier:
        """The account's known outcomes within the post's population."""
        pairs = zip(self.posts.account, self.populations, strict=True)
        codes = self.history.account_populations.codes(pairs)
        return self.history.outcomes.before(codes, self.known_until_s)

    @cached_property
    def any_outcomes(self) -> Earlier:
        """The account's known outcomes in whatever population."""
        return self.history.any_outcomes.before(self.account_codes, self.known_until_s)

    @cached_property
    def records(self) -> Floats:
        """The track record that `outcomes` amount to, shape (records, posts)."""
        return self.history.records.take(self.outcomes.newest, axis=1)

    @cached_property
    def priors(self) -> Floats:
        """Log outcome and log engagement rate expected from population and followers alone, shape (2, posts)."""
        return self.fitted.priors(self.population_codes, self.log_followers)

    @cached_property
    def anchors(self) -> Floats:
        """Means of the known log outcomes and engagement rates, shrunk towards the priors, shape (2, posts)."""
        return shrunken(self.records[TOTALS], self.records[COUNTS], self.priors, self.fitted.anchor_weight)

    @property
    def prior(self) -> Floats:
        """The log outcome expected from population and followers alone."""
        return self.priors[0]

    @property
    def anchor(self) -> Floats:
        """The account's anchor of log outcomes."""
        return self.anchors[0]

    @property
    def engagement_anchor(self) -> Floats:
        """The account's anchor of log engagement rates."""
        return self.anchors[1]

    @cached_property
    def sound_uses(self) -> Floats:
        """Uses of the post's sound in each of `MOMENTUM_DAYS`, shape (days, posts); nan without a sound."""
        codes = self.history.sound_names.codes(self.posts.sound)
        uses = self.history.sounds.before(codes, self.posts.published_s).within(MOMENTUM_DAYS)
        return np.where([sound is None for sound in self.posts.sound], np.nan, uses)

    @cached_property
    def hashtag_uses(self) -> Floats:
        """Uses of the post's most used hashtag in each of `MOMENTUM_DAYS`, shape (days, posts).

        They are 0 without a hashtag and nan where the caption is unknown.
        """
        hashtags = self.captions.hashtags
        sizes = np.array([len(each) for each in hashtags], dtype=np.int64)
        uses = np.where(self.captions.unknown, np.nan, np.zeros((len(MOMENTUM_DAYS), 1)))
        tagged = sizes.nonzero()[0]
        if len(tagged):
            codes = self.history.hashtag_names.codes([hashtag for each in hashtags for hashtag in each])
            times_s = self.posts.published_s.repeat(sizes)
            each_uses = self.history.hashtags.before(codes, times_s).within(MOMENTUM_DAYS)
            uses[:, tagged] = np.maximum.reduceat(each_uses, (sizes.cumsum() - sizes)[tagged], axis=1)
        return uses
