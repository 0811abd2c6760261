"""The model's input: every feature of the catalogue over posts and what they look back on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from features import account, media, momentum, tempo, text, timing
from features.catalogue import CATALOGUE, GROUPS
from features.columns import MEASURED_PREFIXES, Column, Floats, Posts
from features.errors import SchemaError
from features.history import HISTORY_SCHEMA
from features.rows import Rows
from features.schema import IMPORT

MODULES = (account, media, momentum, tempo, text, timing)
"""Every module that declares features: importing them fills the catalogue."""

NAMES = tuple(sorted(CATALOGUE, key=lambda name: GROUPS.index(CATALOGUE[name].group)))
"""Every feature of the catalogue by group, whichever module was imported first."""

CATEGORICAL = ("caption_language", "media_type", "form", "population")
"""Features whose values are codes, not amounts."""

FEATURES_VERSION = 1
"""Raised whenever a feature comes to mean something else under its old name: older models are then refused."""

CHUNK = 10_000
"""Posts whose features are computed at once by a thread, which bounds memory."""


def feature_names(posts: Posts) -> list[str]:
    """Return the ordered names of every feature that `posts` can have: the catalogue's, then what was measured."""
    return [*NAMES, *sorted(posts.measured)]


def featurize(rows: Rows, names: Sequence[str], computed: Mapping[str, Floats] | None = None) -> Floats:
    """Compute the named features, shape (posts, names); what was not measured is nan.

    Columns in `computed` are taken as they stand.

    Raises
    ------
    SchemaError
        A name is that of no feature.
    """
    given = {**rows.posts.measured, **(computed or {})}
    own = CATALOGUE.keys() - given.keys() if given else CATALOGUE
    columns = [CATALOGUE[name].compute(rows) if name in own else _given(rows, name, given) for name in names]
    matrix = np.array(columns, dtype=np.float64).reshape(len(names), len(rows.posts))
    return np.ascontiguousarray(matrix.T)


def schema_hash() -> str:
    """Return the hash of what a model may read: the import format, the history and the features by name."""
    history = {name: str(kind) for name, kind in HISTORY_SCHEMA.items()}
    parts = [FEATURES_VERSION, list(IMPORT), history, list(NAMES)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def chunks(size: int) -> Iterator[slice]:
    """Cut `size` posts into slices of at most `CHUNK`."""
    return (slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK))


def _given(rows: Rows, name: str, given: Mapping[str, Floats]) -> Column:
    if name in given:
        return rows.each(given[name])
    if name.startswith(MEASURED_PREFIXES):
        return rows.each(np.full(len(rows.posts), np.nan))
    raise SchemaError(
        f"there is no feature {name!r}; the model was trained with another clipcast: install that, or train again "
        "with clipcast run weekly"
    )
