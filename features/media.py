"""Features of the medium: its type, form and length, and the population that the post is counted in."""

from __future__ import annotations

import numpy as np

from features.catalogue import feature
from features.columns import Column, choose
from features.rows import Rows


@feature("media")
def media_type(rows: Rows) -> Column:
    """Code of the media type (video, image, carousel)."""
    return _code(rows.codes(rows.fitted.codes["media_type"], rows.posts.media_type))


@feature("media")
def form(rows: Rows) -> Column:
    """Code of the stated format (short or long)."""
    return _code(rows.codes(rows.fitted.codes["form"], rows.posts.form))


@feature("media")
def log_duration(rows: Rows) -> Column:
    """Natural log of one plus the length in seconds."""
    return np.log1p(rows.each(rows.posts.duration_s))


@feature("media")
def population(rows: Rows) -> Column:
    """Code of the source and of what its counts mean."""
    return _code(rows.population)


def _code(codes: Column) -> Column:
    """Return codes as numbers; one is unknown where its value is, or was never seen in training."""
    return choose(codes >= 0, codes, np.nan)
