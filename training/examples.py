"""The rows of one platform: posts with outcomes, their history, and the matrices that estimators read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import polars as pl

from features.account import outcomes_known
from features.build import chunks, feature_names, featurize
from features.catalogue import CATALOGUE
from features.columns import DEFAULT_SOURCE, Bools, Floats, Ints, Posts, Texts
from features.errors import NotEnoughDataError
from features.events import DAY_S
from features.fitted import Fitted
from features.history import History
from features.rows import Rows
from features.targets import engagement_log, history_of, mature, populations, primary_log

LEARNED_GROUPS = ("account", "media", "words")
"""Groups of features that read what was fitted in training; the others are the same whatever was fitted."""

HISTORICAL_GROUP = "account"
"""The group that reads earlier outcomes, and so changes with what of them is known."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Mature posts of one platform in order of publication, and the history of all its posts.

    Attributes
    ----------
    outcome
        log1p of the primary count at the mature look nearest to the horizon.
    engagement
        Log of the engagement rate then, nan where a part of it is unknown.
    seen_s
        When that look was made, in seconds.
    first_outcome, first_engagement
        The same at the first mature look, for when that one was not made yet.
    account
        Code of each post's account, for clustering.
    plain
        Columns of the features that nothing fitted changes.
    """

    known: pl.DataFrame
    posts: Posts
    populations: list[str]
    sources: list[str]
    outcome: Floats
    engagement: Floats
    seen_s: Ints
    first_outcome: Floats
    first_engagement: Floats
    account: Ints
    history: History
    names: list[str]
    plain: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.posts)

    @property
    def published_s(self) -> Ints:
        """Publication of each post, in seconds."""
        return self.posts.published_s

    def known_by(self, rows: Ints, times_s: Ints) -> Examples:
        """Return the examples with the outcomes of some rows as they were known by a time for each."""
        unseen = rows[self.seen_s[rows] > times_s]
        outcome, engagement = self.outcome.copy(), self.engagement.copy()
        outcome[unseen], engagement[unseen] = self.first_outcome[unseen], self.first_engagement[unseen]
        return replace(self, outcome=outcome, engagement=engagement)

    def history_of_rows(self, rows: Ints) -> History:
        """Return the history as a model keeps it that learned from `rows`: no outcome but theirs is known."""
        left_out = np.ones(len(self), np.bool_)
        left_out[rows] = False
        if not left_out.any():
            return self.history
        post = {
            "account_id": self.posts.account,
            "population": self.populations,
            "published_s": self.published_s,
        }
        others = pl.DataFrame(post).filter(left_out).unique().with_columns(learned=False)
        table = self.history.table.join(others, on=list(post), how="left")
        learned = pl.col("learned").is_null()
        return History(table.with_columns(pl.when(learned).then(name) for name in ("known_s", "outcome", "engagement")))


@dataclass(frozen=True, eq=False)
class Inputs:
    """What an estimator reads of some rows.

    Attributes
    ----------
    matrix
        Features, shape (rows, names).
    anchor, engagement_anchor
        The account's anchors, to which the estimators' residuals are added.
    is_new
        Whether no outcome of the account was known.
    captions
        What one of the estimators reads letter by letter.
    """

    matrix: Floats
    anchor: Floats
    engagement_anchor: Floats
    is_new: Bools
    captions: Texts

    def __len__(self) -> int:
        return len(self.matrix)

    def take(self, rows: Ints) -> Inputs:
        """Return the inputs at some positions."""
        return Inputs(
            matrix=self.matrix[rows],
            anchor=self.anchor[rows],
            engagement_anchor=self.engagement_anchor[rows],
            is_new=self.is_new[rows],
            captions=[self.captions[row] for row in rows.tolist()],
        )

    @classmethod
    def stack(cls, parts: Sequence[Inputs]) -> Inputs:
        """Join parts, all rows of the first before those of the next."""
        return cls(
            matrix=np.concatenate([part.matrix for part in parts]),
            anchor=np.concatenate([part.anchor for part in parts]),
            engagement_anchor=np.concatenate([part.engagement_anchor for part in parts]),
            is_new=np.concatenate([part.is_new for part in parts]),
            captions=list(chain.from_iterable(part.captions for part in parts)),
        )


def build_examples(known: pl.DataFrame, *, min_posts: int, min_accounts: int) -> Examples:
    """Build the rows of one platform from a frame of `known_posts`.

    Raises
    ------
    NotEnoughDataError
        Fewer mature posts or accounts than asked for, or none at all.
    """
    rows = mature(known)
    accounts = rows["account_id"].n_unique()
    if rows.height < max(min_posts, 1) or accounts < min_accounts:
        raise NotEnoughDataError(
            f"{rows.height} mature posts of {accounts} accounts; training needs {min_posts} posts of "
            f"{min_accounts} accounts: import more posts, or wait until those imported are mature"
        )
    posts = Posts.from_frame(rows)
    names = populations(posts)
    history = history_of(known)
    return Examples(
        known=rows,
        posts=posts,
        populations=names,
        sources=[source or DEFAULT_SOURCE for source in posts.source],
        outcome=primary_log(rows),
        engagement=engagement_log(rows),
        seen_s=_seen_s(rows),
        first_outcome=primary_log(rows, "first_"),
        first_engagement=engagement_log(rows, "first_"),
        account=history.accounts.codes(posts.account),
        history=history,
        names=feature_names(posts),
        plain=_plain_columns(posts, names, history),
    )


def inputs_of(examples: Examples, rows: Ints, fitted: Fitted, *, names: list[str] | None = None) -> Inputs:
    """Compute what an estimator reads of some rows: the examples' features, or those in `names`."""
    view = _view(examples, rows, fitted, examples.published_s[rows])
    plain = {name: column[rows] for name, column in examples.plain.items()}
    return read_inputs(view, names or examples.names, plain)


def with_history_until(examples: Examples, rows: Ints, fitted: Fitted, fresh: Inputs, known_until_s: Ints) -> Inputs:
    """Return inputs of the same rows with less history: only columns that read outcomes are computed anew."""
    same = {
        name: fresh.matrix[:, column] for column, name in enumerate(examples.names) if _group(name) != HISTORICAL_GROUP
    }
    until_s = np.minimum(known_until_s, examples.published_s[rows])
    return read_inputs(_view(examples, rows, fitted, until_s), examples.names, same)


def read_inputs(rows: Rows, names: list[str], computed: Mapping[str, Floats] | None = None) -> Inputs:
    """Compute the named features of rows, but for those already computed, with the anchors."""
    return Inputs(
        matrix=featurize(rows, names, computed or {}),
        # A single post's features may be plain numbers instead of columns.
        anchor=np.atleast_1d(rows.anchor),
        engagement_anchor=np.atleast_1d(rows.engagement_anchor),
        is_new=np.atleast_1d(outcomes_known(rows)) == 0,
        captions=rows.posts.caption,
    )


def _view(examples: Examples, rows: Ints, fitted: Fitted, known_until_s: Ints) -> Rows:
    populations_of_rows = [examples.populations[row] for row in rows]
    return Rows(examples.posts.take(rows), populations_of_rows, examples.history, fitted, known_until_s)


def _plain_columns(posts: Posts, names: list[str], history: History) -> dict[str, Floats]:
    """Compute the columns that nothing fitted changes, a chunk of posts at a time."""
    plain = [name for name in feature_names(posts) if _group(name) not in LEARNED_GROUPS]
    parts = []
    for chunk in chunks(len(posts)):
        part = posts.slice(chunk.start, chunk.stop)
        rows = Rows(part, names[chunk], history, Fitted.empty(), part.published_s)
        parts.append(featurize(rows, plain))
    return dict(zip(plain, np.concatenate(parts).T, strict=True))


def _group(name: str) -> str:
    return CATALOGUE[name].group if name in CATALOGUE else "measured"


def _seen_s(known: pl.DataFrame) -> Ints:
    """Return when the look at each outcome was made; where it is also the first, when that counts as made."""
    made = pl.col("published_at").dt.epoch("s") + (pl.col("age_days") * DAY_S).floor().cast(pl.Int64)
    once = pl.col("age_days") == pl.col("first_age_days")
    counted = pl.when(once).then(pl.col("known_at").dt.epoch("s")).otherwise(made)
    return known.select(counted.alias("seen_s"))["seen_s"].to_numpy()
