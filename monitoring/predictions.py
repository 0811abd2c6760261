"""What is kept of every answer that the service gave: its record, its table, and how to read and forget it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import ArrayLike

from features.errors import SchemaError
from features.schema import NUMBER, TEXT, TIME, Schema
from registry.database import Database, Tables

READ_AT_ONCE = 10_000
FETCHED_AT_ONCE = 500
FORGOTTEN_AT_ONCE = 5_000
"""So many rows a transaction, between which the service can write."""

_FLOATS = np.dtype("<f8")
FLOAT_BYTES = _FLOATS.itemsize
_UNKEPT = "\ufffd"  # what Unicode shows where a character cannot be


class Role(StrEnum):
    """What the version that made a prediction was at the time."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"  # it answered, for its share of the traffic
    SHADOW = "shadow"  # the challenger, asked beside the champion, and nobody saw its answer


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of one version; a shadow's has the id of the answer that was given, so (id, role) is the key.

    Times are seconds since 1970 UTC. `inputs` is the post as it was asked about, canonical JSON in the import
    format, `features` what `pack` made of its features in the bundle's order, `answer` JSON. Posts of one call
    that know of one another share a `batch`; a post asked alone has none.
    """

    id: str
    at: float
    role: Role
    model: str
    version: int
    semver: str
    sha256: str
    platform: str
    account_id: str
    post_id: str
    published_s: int
    inputs_sha256: str
    inputs: bytes
    features: bytes
    answer: bytes
    latency_ms: float
    cached: bool
    batch: str | None = None


metadata = sa.MetaData()

predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("role", sa.String(20), primary_key=True),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("semver", sa.String(40), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("platform", sa.String(20), nullable=False),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("post_id", sa.Text, nullable=False),
    sa.Column("published_s", sa.BigInteger, nullable=False),
    sa.Column("inputs_sha256", sa.String(64), nullable=False),
    sa.Column("inputs", sa.LargeBinary, nullable=False),
    sa.Column("features", sa.LargeBinary, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
    sa.Column("latency_ms", sa.Double, nullable=False),
    sa.Column("cached", sa.Boolean, nullable=False),
    sa.Column("batch", sa.String(64)),
    sa.Index("predictions_of_time", "at"),
    sa.Index("predictions_of_post", "post_id"),
)

matured = sa.Table(
    "matured",
    metadata,
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("role", sa.String(20), primary_key=True),
    sa.Column("source", sa.String(200), primary_key=True),
    sa.Column("post_id", sa.Text, primary_key=True),
    sa.Column("id", sa.String(64), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("semver", sa.String(40), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("published_s", sa.BigInteger, nullable=False),
    sa.Column("known_s", sa.BigInteger, nullable=False),
    sa.Column("seen_s", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("truth", sa.Double, nullable=False),
    sa.Column("prediction", sa.Double, nullable=False),
    sa.Column("lower", sa.Double, nullable=False),
    sa.Column("upper", sa.Double, nullable=False),
    sa.Column("anchor", sa.Double),
    sa.Column("expected_error", sa.Double),
    sa.Column("score_truth", sa.Double),
    sa.Column("score_prediction", sa.Double, nullable=False),
    sa.Column("draw", sa.Double, nullable=False),
    sa.Column("slices", sa.Text, nullable=False),
    sa.Index("matured_of_time", "model", "known_s"),
)
"""Predictions whose outcome has come, a row for each time that it was seen anew: `truth`, `prediction`, its ends and
`anchor` are log1p of the primary count, or of a virality model 0 or 1 and a probability."""

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("closed_at", sa.Double),
    sa.Column("acknowledged_by", sa.String(200)),
    sa.Column("delivered_at", sa.Double),
    sa.Column("delivery_error", sa.Text),
    sa.Column("retrain_at", sa.Double),
    sa.Column("delivered_to", sa.Text),
    sa.Column("claimed_by", sa.Text),
    sa.Column("claimed_at", sa.Double),
    sa.Index("alerts_of_model", "model", "kind", "subject"),
    sqlite_autoincrement=True,
)
"""What monitoring found that a person should look at; `retrain_at` is when a retraining was asked for because of it.

`delivered_to` holds the hashes of the channels that got it, and `claimed_by` the process that is sending it, as JSON.
"""

looks = sa.Table(
    "looks",
    metadata,
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
)
"""The latest moment for which monitoring settled the alerts of a model."""

TABLES = Tables(
    name="prediction log",
    setting="CLIPCAST_PREDICTIONS_URI",
    metadata=metadata,
    revision="p0002",
    migrations=Path(__file__).with_name("migrations"),
    revision_table="clipcast_predictions_revision",
    lock=0x636C6971,
)

_KINDS: dict[type, pl.DataType] = {
    sa.Double: NUMBER,
    sa.Integer: pl.Int64(),
    sa.BigInteger: pl.Int64(),
    sa.LargeBinary: pl.Binary(),
    sa.Boolean: pl.Boolean(),
}
_STORED: Schema = {column.name: _KINDS.get(type(column.type), TEXT) for column in predictions.columns}

READ: Schema = {
    {"published_s": "published_at"}.get(name, name): TIME if name in ("at", "published_s") else kind
    for name, kind in _STORED.items()
}
"""What `read_predictions` answers: the fields of `Prediction`, with moments as the store of posts has them."""

_values = attrgetter(*(f"{field.name}.value" if field.name == "role" else field.name for field in fields(Prediction)))
_ACCOUNT, _POST = (list(_STORED).index(name) for name in ("account_id", "post_id"))


def as_row(prediction: Prediction) -> tuple[Any, ...]:
    """A prediction as its row of the table.

    Of an id that strangers sent, what no database keeps (NUL, half a character) becomes U+FFFD; `inputs` tells
    what they sent.
    """
    row: tuple[Any, ...] = _values(prediction)
    if _is_kept(row[_ACCOUNT]) and _is_kept(row[_POST]):
        return row
    return (*row[:_ACCOUNT], _keepable(row[_ACCOUNT]), _keepable(row[_POST]), *row[_POST + 1 :])


def _is_kept(text: str) -> bool:
    return text.isascii() and "\0" not in text


def _keepable(text: str) -> str:
    return "".join(_UNKEPT if letter == "\0" or "\ud800" <= letter <= "\udfff" else letter for letter in text)


def pack(features: ArrayLike) -> bytes:
    """Features of one post as the log keeps them: float64, little endian."""
    return np.asarray(features, _FLOATS).tobytes()


def unpack(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The logged features of predictions as columns, row by row; `names` are those of their version's bundle.

    Raises
    ------
    SchemaError
        A row has another number of features: it is another version's.
    """
    wrong = rows.filter(pl.col("features").bin.size() != len(names) * _FLOATS.itemsize)
    if wrong.height:
        first = wrong.row(0, named=True)
        raise SchemaError(
            f"prediction {first['id']} of {first['model']} version {first['version']} has "
            f"{len(first['features']) // _FLOATS.itemsize} logged features, and {len(names)} were named; "
            "take the names from the bundle of that version"
        )
    values = np.frombuffer(b"".join(rows["features"]), _FLOATS).reshape(rows.height, len(names))
    return pl.DataFrame(values, dict.fromkeys(names, NUMBER), orient="row")


def read_predictions(
    uri: str, *, since: datetime, until: datetime, model: str | None = None, role: Role | None = None
) -> pl.DataFrame:
    """Predictions answered from `since` on and before `until`, in that order, with the columns of `READ`.

    Raises
    ------
    RegistryError
        The log cannot be reached, or was made by a newer clipcast.
    """
    wanted = sa.select(predictions).where(predictions.c.at >= _seconds(since), predictions.c.at < _seconds(until))
    for column, value in ((predictions.c.model, model), (predictions.c.role, role)):
        wanted = wanted if value is None else wanted.where(column == str(value))
    wanted = wanted.order_by(predictions.c.at, predictions.c.id, predictions.c.role)
    with Database(uri, tables=TABLES).reading() as connection:
        found = connection.execution_options(stream_results=True).execute(wanted)
        frames = [_frame(rows) for rows in found.partitions(READ_AT_ONCE)]
    return pl.concat(frames) if frames else _frame([])


def sample_predictions(
    uri: str, *, since: datetime, until: datetime, model: str, role: Role, most: int, seed: int
) -> tuple[pl.DataFrame, int]:
    """Like `read_predictions`, but of many only about `most`, and how many they are in all.

    The sample is the same for the same seed, and posts that were asked together are in it together.

    Raises
    ------
    RegistryError
        The log cannot be reached, or was made by a newer clipcast.
    """
    here = sa.and_(
        predictions.c.at >= _seconds(since),
        predictions.c.at < _seconds(until),
        predictions.c.model == model,
        predictions.c.role == str(role),
    )
    with Database(uri, tables=TABLES).reading() as connection:
        keys = sa.select(predictions.c.id, sa.func.coalesce(predictions.c.batch, predictions.c.id)).where(here)
        found = [(str(key), str(unit)) for key, unit in connection.execute(keys)]
        chosen = _sample(found, most, seed)
        frames = []
        for start in range(0, len(chosen), FETCHED_AT_ONCE):
            some = chosen[start : start + FETCHED_AT_ONCE]
            frames.append(_frame(connection.execute(sa.select(predictions).where(here, predictions.c.id.in_(some)))))
    rows = pl.concat(frames) if frames else _frame([])
    return rows.sort("at", "id"), len(found)


@dataclass(frozen=True)
class AnsweringVersion:
    """The version that last answered as a model's champion."""

    version: int
    semver: str
    sha256: str


def last_answering(uri: str, model: str, until: datetime) -> AnsweringVersion | None:
    """Return the version whose answer was the last one before a moment; None where nobody had asked by then.

    Raises
    ------
    RegistryError
        The log cannot be reached, or was made by a newer clipcast.
    """
    columns = (predictions.c.version, predictions.c.semver, predictions.c.sha256)
    wanted = (
        sa.select(*columns)
        .where(
            predictions.c.model == model,
            predictions.c.role == str(Role.CHAMPION),
            predictions.c.at < _seconds(until),
        )
        .order_by(predictions.c.at.desc(), predictions.c.id.desc())
        .limit(1)
    )
    with Database(uri, tables=TABLES).reading() as connection:
        row = connection.execute(wanted).first()
    return None if row is None else AnsweringVersion(*row)


def accounts_of_split(uri: str, model: str, since: datetime, until: datetime) -> tuple[int, int] | None:
    """Count the accounts that champion and challenger answered between the newest challenger's first and last answer.

    Both within a time, so that a share that was set anew is soon the one that is seen. An account that the challenger
    answered is its own, though the champion stood in for it. None where no challenger has answered anybody; posts
    without an account are nobody's.

    Raises
    ------
    RegistryError
        The log cannot be reached, or was made by a newer clipcast.
    """
    is_within = sa.and_(predictions.c.at >= _seconds(since), predictions.c.at < _seconds(until))
    here = sa.and_(predictions.c.model == model, is_within, predictions.c.account_id != "")
    challenged = sa.and_(here, predictions.c.role == str(Role.CHALLENGER))
    newest = sa.select(predictions.c.version).where(challenged).order_by(predictions.c.at.desc()).limit(1)
    with Database(uri, tables=TABLES).reading() as connection:
        version = connection.scalar(newest)
        if version is None:
            return None
        ends = sa.select(sa.func.min(predictions.c.at), sa.func.max(predictions.c.at))
        began, ended = connection.execute(ends.where(challenged, predictions.c.version == version)).one()
        shared = sa.and_(here, predictions.c.at.between(began, ended), predictions.c.role != str(Role.SHADOW))
        is_challenger = sa.func.max(sa.case((predictions.c.role == str(Role.CHALLENGER), 1), else_=0))
        each = sa.select(is_challenger.label("own")).where(shared).group_by(predictions.c.account_id).subquery()
        accounts, own = connection.execute(sa.select(sa.func.count(), sa.func.sum(each.c.own)).select_from(each)).one()
    return int(accounts - own), int(own)


def _sample(keys: Sequence[tuple[str, str]], most: int, seed: int) -> list[str]:
    """Choose ids by their units in an order drawn from the seed, until there are enough."""
    if len(keys) <= most:
        return [key for key, _ in keys]
    units: dict[str, list[str]] = {}
    for key, unit in sorted(keys):
        units.setdefault(unit, []).append(key)
    names = sorted(units)
    chosen: list[str] = []
    for place in np.random.default_rng(seed).permutation(len(names)).tolist():
        if len(chosen) >= most:
            break
        chosen += units[names[place]]
    return chosen


def forget_before(uri: str, at: datetime) -> int:
    """Delete the predictions answered before a moment, and return how many they were.

    Raises
    ------
    RegistryError
        The log cannot be reached, or was made by a newer clipcast.
    """
    key = sa.tuple_(predictions.c.id, predictions.c.role)
    oldest = (
        sa.select(predictions.c.id, predictions.c.role)
        .where(predictions.c.at < _seconds(at))
        .order_by(predictions.c.at)
        .limit(FORGOTTEN_AT_ONCE)
    )
    database, forgotten = Database(uri, tables=TABLES), 0
    while True:
        with database.writing() as connection:
            count = connection.execute(sa.delete(predictions).where(key.in_(oldest))).rowcount
        forgotten += count
        if count < FORGOTTEN_AT_ONCE:
            return forgotten


def _frame(rows: Iterable[Sequence[Any]]) -> pl.DataFrame:
    stored = pl.DataFrame([tuple(row) for row in rows], _STORED, orient="row")
    return stored.with_columns(
        (pl.col("at") * 1e6).round().cast(pl.Int64).cast(TIME),
        pl.from_epoch("published_s", "s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
    ).rename({"published_s": "published_at"})


def _seconds(moment: datetime) -> float:
    if moment.tzinfo is None:
        raise SchemaError(f"{moment} has no zone; give it one, such as datetime.UTC")
    return moment.timestamp()
