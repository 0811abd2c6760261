"""Features of the medium: its type, form and length, and the population that the post is counted in."""

from __future__ import annotations

import numpy as np

from features.catalogue import feature
from features.columns import Floats
from features.rows import Rows


@feature(
    "media",
    media_type="Code of the media type (video, image, carousel).",
    form="Code of the stated format (short or long).",
    population="Code of the source and of what its counts mean.",
)
def categories(rows: Rows) -> Floats:
    """Codes of categories; unknown where a value is, or was never seen in training."""
    media_types = rows.fitted.codes("media_type", rows.posts.media_type)
    forms = rows.fitted.codes("form", rows.posts.form)
    codes = np.array([media_types, forms, rows.population_codes])
    return np.where(codes >= 0, codes, np.nan)


@feature("media")
def log_duration(rows: Rows) -> Floats:
    """Natural log of one plus the length in seconds."""
    return np.log1p(rows.posts.duration_s)
