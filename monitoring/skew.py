"""Skew: whether the features that the service read of a post are those that the batch path builds for it.

The batch path is the one that training and `clipcast` files take: from the import format through its parser into
columns, and from there to features. It shares nothing with the service's own reading of a request.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import polars as pl

from features.columns import Floats
from features.errors import SchemaError
from monitoring.log import unpack
from monitoring.predictions import FLOAT_BYTES
from registry.loading import Loaded, posts_of_rows
from training.answering import Answering, inputs_for, read_posts

EXAMPLES = 10

LOGGED_WITHIN = timedelta(seconds=5)
"""Within this time all rows of a batch are answered and written."""

Row: TypeAlias = dict[str, Any]


class Example(NamedTuple):
    """A feature of a prediction as it was logged, and as the batch path builds it; nan is unknown."""

    prediction_id: str
    feature: str
    logged: float
    built: float


@dataclass(frozen=True)
class Skew:
    """What became of predictions whose features were built again.

    Attributes
    ----------
    checked, different
        Posts whose features were compared, and those of which at least one differs.
    features
        How many posts differ in a feature, for each that does, the worst first.
    examples
        The first few differences.
    left_out
        How many posts could not be compared, for each reason.
    """

    checked: int
    different: int
    features: Mapping[str, int]
    examples: tuple[Example, ...]
    left_out: Mapping[str, int]


def find_skew(
    predictions: pl.DataFrame, loaded: Loaded, *, sample: int, seed: int, until: datetime | None = None
) -> Skew:
    """Build the features of predictions again and compare them to what was logged, to the last bit.

    Numbers are equal when they are the same float64, or both unknown; 0 and -0 are the same to any model. Posts
    that were asked together are drawn and built together, since they know of one another.

    Parameters
    ----------
    predictions
        Rows of `read_predictions` of the version that is `loaded`.
    sample
        About how many posts to compare: batches are never cut.
    until
        Up to when the log was read: a batch answered just before may go on beyond that and is left out.
    """
    model = cast("Answering[Any]", loaded.model)
    left_out: Counter[str] = Counter()
    own = _of_version(predictions, loaded.bundle.sha256, left_out)
    units = _drawn(_whole(_units(own), until, left_out), sample, seed)
    ids: list[str] = []
    logged: list[Floats] = []
    built: list[Floats] = []
    for rows in _asked_at_once(units, model, left_out):
        right = [len(row["features"]) == len(model.names) * FLOAT_BYTES for row in rows]
        for row in (row for row, is_right in zip(rows, right, strict=True) if not is_right):
            found = len(row["features"]) // FLOAT_BYTES
            left_out[f"{found} logged features, and the version reads {len(model.names)}"] += 1
        kept = [row for row, is_right in zip(rows, right, strict=True) if is_right]
        if kept:
            ids += [row["id"] for row in kept]
            frame = pl.DataFrame({"features": [row["features"] for row in kept]}, {"features": pl.Binary()})
            logged.append(unpack(frame, model.names).to_numpy())
            built.append(_build(rows, model)[right])
    return _compare(ids, model.names, _stacked(logged, model.names), _stacked(built, model.names), left_out)


def _of_version(predictions: pl.DataFrame, sha256: str, left_out: Counter[str]) -> pl.DataFrame:
    own = predictions.filter(pl.col("sha256") == sha256)
    if own.height < predictions.height:
        left_out[f"answered by another version than {sha256[:12]}"] = predictions.height - own.height
    return own


def _units(predictions: pl.DataFrame) -> list[list[Row]]:
    """Return the rows that belong together, each unit in the order in which its posts were asked about.

    Ids count up, so that their order is that of the questions.
    """
    rows = predictions.select("id", "role", "at", "batch", "account_id", "post_id", "inputs", "features")
    units: dict[tuple[str, str, bool], list[Row]] = {}
    for row in rows.sort("id", "role").to_dicts():
        is_batch = row["batch"] is not None
        units.setdefault((row["batch"] if is_batch else row["id"], row["role"], is_batch), []).append(row)
    return [*units.values()]


def _whole(units: Sequence[list[Row]], until: datetime | None, left_out: Counter[str]) -> list[list[Row]]:
    """Return the units that are whole: the first post of a batch names it, and is gone where the log was cut."""
    whole = []
    for rows in units:
        batch = rows[0]["batch"]
        is_late = until is not None and max(row["at"] for row in rows) > until - LOGGED_WITHIN
        if batch is None or (rows[0]["id"] == batch and not is_late):
            whole.append(rows)
        else:
            left_out["asked with posts that are not among the predictions read"] += len(rows)
    return whole


def _drawn(units: Sequence[list[Row]], sample: int, seed: int) -> list[list[Row]]:
    """Draw whole units until they hold as many posts as the sample."""
    drawn, posts = [], 0
    for place in np.random.default_rng(seed).permutation(len(units)).tolist():
        if posts >= sample:
            break
        drawn.append(units[place])
        posts += len(units[place])
    return drawn


def _asked_at_once(units: Sequence[list[Row]], model: Answering[Any], left_out: Counter[str]) -> Iterator[list[Row]]:
    """Yield the rows whose features can be built at once: all that were asked alone, then batch by batch."""
    for rows in units:
        for place, row in enumerate(rows):
            row["asked"] = _asked(row, place)
    readable = {id(row) for row in _readable([*chain(*units)], model.platform)}
    alone = []
    for rows in units:
        if not all(id(row) in readable for row in rows):
            left_out["inputs cannot be read, of a post or of one asked with it"] += len(rows)
        elif rows[0]["batch"] is None:
            alone += rows
        else:
            yield rows
    if alone:
        yield alone


def _asked(row: Row, place: int) -> Mapping[str, Any] | None:
    """Return what was asked of a post in the import format; None where that cannot be read.

    An id, by which posts of a batch are told apart, is given to one that has none.
    """
    try:
        asked = json.loads(row["inputs"])
    except ValueError:
        return None
    if not isinstance(asked, dict):
        return None
    return MappingProxyType({**asked, "post_id": row["post_id"] or f"\0{place}"})


def _readable(rows: list[Row], platform: str) -> list[Row]:
    """Return the rows whose inputs pass the parser, which only takes or refuses all it is given."""
    known = [row for row in rows if row["asked"] is not None]
    if not known:
        return []
    try:
        _parsed(known, platform)
    except SchemaError:
        if len(known) == 1:
            return []
        half = len(known) // 2
        return _readable(known[:half], platform) + _readable(known[half:], platform)
    return known


def _build(rows: Sequence[Row], model: Answering[Any]) -> Floats:
    """Build the features of posts, which know of one another if they are a batch."""
    posts, names = read_posts(model, _parsed(rows, model.platform))
    together = rows[0]["batch"] is not None
    history = model.history.joined(posts, names) if together else model.history
    return inputs_for(model, posts, names, history).matrix


def _parsed(rows: Sequence[Row], platform: str) -> pl.DataFrame:
    """Parse what was asked; the parser wants an account, which a question need not have."""
    frame = posts_of_rows([{"account_id": "a stranger", **row["asked"]} for row in rows], platform)
    accounts = [row["asked"].get("account_id") for row in rows]
    return frame.with_columns(account_id=pl.Series(accounts, dtype=pl.String))


def _compare(ids: list[str], names: Sequence[str], logged: Floats, built: Floats, left_out: Counter[str]) -> Skew:
    differs = ~((logged == built) | (np.isnan(logged) & np.isnan(built)))
    counts = {name: int(count) for name, count in zip(names, differs.sum(axis=0), strict=True) if count}
    examples = [
        Example(ids[row], names[column], float(logged[row, column]), float(built[row, column]))
        for row, column in np.argwhere(differs)[:EXAMPLES].tolist()
    ]
    return Skew(
        checked=len(ids),
        different=int(differs.any(axis=1).sum()),
        features=dict(sorted(counts.items(), key=lambda each: (-each[1], each[0]))),
        examples=tuple(examples),
        left_out=dict(left_out),
    )


def _stacked(parts: list[Floats], names: Sequence[str]) -> Floats:
    return np.concatenate(parts) if parts else np.empty((0, len(names)))
