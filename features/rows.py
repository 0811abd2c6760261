"""Posts together with what they look back on: what every feature function reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.captions import Captions
from features.columns import Column, Floats, Ints, Posts
from features.events import Earlier, Keys
from features.fitted import Fitted
from features.history import MOMENTUM_DAYS, History
from features.lazy import Lazy
from features.prior import Lines, shrunken
from features.records import Likeness, Record, Standing
from features.zones import local_offsets_s

TEMPO_DAYS = (1, 7)
"""The short and the long time in which the posts of an account are counted."""


@dataclass(eq=False)
class Rows:
    """Posts, the history before them, and what was fitted in training.

    What several features read is worked out once, when it is first asked for. A single post stands alone: as plain
    numbers instead of arrays, with which the same expressions cost a tenth of what they cost with arrays of one.

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

    @Lazy
    def alone(self) -> bool:
        """Whether there is a single post."""
        return len(self.posts) == 1

    def each(self, column: Sequence[Any] | NDArray[Any]) -> Column:
        """Return a column, or an array over the posts, as it stands, or what it holds of the post that stands alone."""
        if not self.alone:
            return column
        return column[..., 0].tolist() if isinstance(column, np.ndarray) else column[0]

    def looked_up(self, table: Floats, rows: Column) -> list[Column]:
        """Return what each column of a table says in the given rows, one for each post."""
        return table[rows].tolist() if self.alone else [*table[rows].T]

    def codes(self, keys: Keys, names: Sequence[object]) -> Column:
        """Return the code of each post's name."""
        return keys.code(names[0]) if self.alone else keys.codes(names)

    @Lazy
    def published_s(self) -> Column:
        """Publication, in seconds since 1970-01-01 UTC."""
        return self.each(self.posts.published_s)

    @Lazy
    def until_s(self) -> Column:
        """The time up to which outcomes are known, in seconds."""
        return self.each(self.known_until_s)

    @Lazy
    def local_s(self) -> Column:
        """Publication in seconds of the local time where the account lives, nan where its zone is not known."""
        offsets_s = local_offsets_s(self.posts.country, self.posts.published_s)
        return self.published_s + self.each(offsets_s)

    @Lazy
    def log_followers(self) -> Column:
        """Natural log of one plus the followers."""
        return self.each(np.log1p(self.posts.followers))

    @Lazy
    def population(self) -> Column:
        """Code of the population, -1 for one never seen in training."""
        return self.codes(self.fitted.codes["population"], self.populations)

    @Lazy
    def account(self) -> Column:
        """Code of the account, -1 for one of which the history holds no post."""
        return self.codes(self.history.accounts, self.posts.account)

    @Lazy
    def earlier_posts(self) -> Earlier:
        """The account's posts before this one, mature or not."""
        return self.history.posts.before(self.account, self.published_s)

    @Lazy
    def account_population(self) -> Column:
        """Code of the account within the post's population, -1 where the history lacks either."""
        population = self.codes(self.history.populations, self.populations)
        return self.history.within_population(self.account, population)

    @Lazy
    def outcomes(self) -> Earlier:
        """The account's known outcomes within the post's population."""
        return self.history.outcomes.before(self.account_population, self.until_s)

    @Lazy
    def record(self) -> Record:
        """The track record that `outcomes` amount to."""
        return Record(*self.looked_up(self.history.records, self.outcomes.position(1)))

    @Lazy
    def likeness(self) -> Likeness:
        """What the account's known outcomes within population and media type amount to."""
        media_type = self.codes(self.history.media_types, self.posts.media_type)
        codes = self.history.within_media(self.account_population, media_type)
        events = self.history.media_outcomes.before(codes, self.until_s).position(1)
        return Likeness(*self.looked_up(self.history.likenesses, events))

    @Lazy
    def standing(self) -> Standing:
        """What the account's known outcomes in whatever population amount to."""
        total, *counts = self.looked_up(self.history.standings, self.latest_outcome)
        return Standing(total, counts)

    @Lazy
    def latest_outcome(self) -> Column:
        """Position among `History.any_outcomes` of the account's latest one in whatever population, -1 for none."""
        return self.history.any_outcomes.before(self.account, self.until_s).position(1)

    @Lazy
    def outcome_lines(self) -> Lines:
        """The line of the log outcome in each post's population."""
        return Lines(*self.looked_up(self.fitted.outcome_lines, self.population))

    @Lazy
    def prior(self) -> Column:
        """The log outcome expected from population and followers alone."""
        return self.outcome_lines.at(self.log_followers)

    @Lazy
    def anchor(self) -> Column:
        """Mean of the known log outcomes, shrunk towards the prior."""
        return shrunken(self.record.total, self.record.known, self.prior, self.fitted.anchor_weight)

    @Lazy
    def engagement_anchor(self) -> Column:
        """Mean of the known log engagement rates, shrunk towards their prior."""
        prior = Lines(*self.looked_up(self.fitted.engagement_lines, self.population)).at(self.log_followers)
        record = self.record
        return shrunken(record.engagement_total, record.engagements_known, prior, self.fitted.anchor_weight)

    @Lazy
    def recent_posts(self) -> list[Column]:
        """The account's posts in each of the `TEMPO_DAYS` before."""
        return self.history.posts.within(self.account, self.published_s, TEMPO_DAYS)

    @Lazy
    def sound_uses(self) -> list[Column]:
        """Uses of the post's sound in each of the `MOMENTUM_DAYS` before; nan without a sound."""
        codes = self.codes(self.history.sound_names, self.posts.sound)
        uses = self.history.sounds.within(codes, self.published_s, MOMENTUM_DAYS)
        if self.alone:
            return [np.nan if self.posts.sound[0] is None else each for each in uses]
        silent = [sound is None for sound in self.posts.sound]
        return [np.where(silent, np.nan, each) for each in uses]

    @Lazy
    def hashtag_uses(self) -> list[Column]:
        """Uses of the post's most used hashtag in each of the `MOMENTUM_DAYS` before.

        They are 0 without a hashtag and nan where the caption is unknown.
        """
        if self.alone:
            return self._hashtag_uses_alone()
        names: list[str | None] = []
        starts, sizes = [], []
        for hashtags in self.captions.hashtags:
            starts.append(len(names))
            sizes.append(1 + len(hashtags))
            names += (None, *hashtags)  # None was never used
        codes = self.history.hashtag_names.codes(names)
        uses = self.history.hashtags.within(codes, self.posts.published_s.repeat(sizes), MOMENTUM_DAYS)
        return [self.captions.where_known(np.maximum.reduceat(each, starts)) for each in uses]

    def _hashtag_uses_alone(self) -> list[Column]:
        """Return `hashtag_uses` of the post that stands alone."""
        none = np.nan if self.posts.caption[0] is None else 0
        codes = map(self.history.hashtag_names.code, self.captions.hashtags[0])
        uses = [self.history.hashtags.within(code, self.published_s, MOMENTUM_DAYS) for code in codes]
        return [max(each) for each in zip(*uses, strict=True)] or [none] * len(MOMENTUM_DAYS)

    @Lazy
    def captions(self) -> Captions:
        """The captions, taken apart."""
        return Captions(self.posts.caption)

    @Lazy
    def characters(self) -> Column:
        """How often each `Kind` of character occurs in the captions."""
        return self.each(self.captions.counts)

    @Lazy
    def word_topics(self) -> Column:
        """Place of each caption along each topic."""
        return self.each(self.fitted.words.transform(self.captions))
