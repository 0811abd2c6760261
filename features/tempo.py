"""Features of tempo: how often the account posts, known at publication whether its posts are mature or not."""

from __future__ import annotations

from features.catalogue import feature
from features.columns import Column, choose
from features.events import WINDOW
from features.rows import Rows


@feature("tempo")
def hours_since_previous(rows: Rows) -> Column:
    """Hours since the account's previous post, mature or not."""
    return _hours_since(rows, 1)


@feature("tempo")
def hours_since_fifth(rows: Rows) -> Column:
    """Hours since the account's fifth post before this one."""
    return _hours_since(rows, 5)


@feature("tempo")
def hours_since_twentieth(rows: Rows) -> Column:
    """Hours since the account's twentieth post before this one."""
    return _hours_since(rows, 20)


@feature("tempo")
def posts_last_day(rows: Rows) -> Column:
    """The account's posts in the 24 hours before, up to 20."""
    return _at_most(rows.recent_posts[0], WINDOW)


@feature("tempo")
def posts_last_week(rows: Rows) -> Column:
    """The account's posts in the seven days before, up to 20."""
    return _at_most(rows.recent_posts[1], WINDOW)


def _hours_since(rows: Rows, nth: int) -> Column:
    earlier_s = rows.history.posts.values["published_s"][rows.earlier_posts.position(nth)]
    return (rows.published_s - earlier_s) / 3600


def _at_most(count: Column, most: int) -> Column:
    return choose(count < most, count, most)
