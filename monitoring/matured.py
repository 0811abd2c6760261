"""Predictions beside what came of them, in the table `matured`: a row for each model, role, post and sight of it.

Rows are only ever added, so that a look at a past day sees what was known then.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import polars as pl
import sqlalchemy as sa

from features.columns import DEFAULT_SOURCE, Posts
from features.events import DAY_S
from features.schema import NUMBER, PRIMARY, TEXT, Platform, Schema
from features.targets import Reference, mature, populations, primary_log
from monitoring.predictions import TABLES, Role, predictions
from monitoring.predictions import matured as table
from registry.database import Database, insert_new
from training.slices import slices_of_posts

WAITED = timedelta(days=60)
"""How long after publication an outcome is waited for."""

ASKED_AT_ONCE = 500
"""Posts whose predictions are looked up in one statement."""

WEEK_S = 7 * 86_400

_SAID = ("id", "at", "role", "version", "semver", "sha256", "post_id", "account_id", "answer")
_KINDS: dict[type, pl.DataType] = {sa.Double: NUMBER, sa.Integer: pl.Int64(), sa.BigInteger: pl.Int64()}

MATURED: Schema = {
    column.name: _KINDS.get(type(column.type), TEXT) for column in table.columns if column.name != "draw"
}
"""What `read_matured` answers: moments in seconds since 1970 UTC; ``truth``, ``prediction`` with its ends, ``anchor``
and ``expected_error`` in log1p of the primary count, the last two null in answers of versions that did not tell them;
scores from 0 to 100, the true one null where the version's bundle is gone; ``slices`` as JSON, level by slice.

Of a virality model ``truth`` is 1 where the post went viral and else 0, ``prediction`` its probability with ends."""

References = Callable[[str], Reference | None]
"""What a version scores by, from the hash of its bundle; None where that is gone."""


def write_outcomes(
    uri: str, model: str, known: pl.DataFrame, references: References, at: datetime, *, horizon_days: float = 7
) -> int:
    """Write down what came of predictions since the last time, and return how many that were.

    A post counts once it has reached the horizon, by the last answer that each role gave before its first mature look;
    one that was only looked at once, late, as if that look had been made at maturity. An outcome seen again nearer to
    the horizon is a row of its own. Writing it down twice changes nothing.

    Parameters
    ----------
    known
        A frame of `known_posts` as of `at`.
    """
    rows = mature(known).filter(pl.col("published_at") >= at - WAITED)
    horizon = timedelta(days=horizon_days)
    has_reached = pl.col("assumed_known_at") | (pl.col("published_at") <= at - horizon)
    rows = rows.filter(has_reached)
    if rows.is_empty():
        return 0
    database = Database(uri, tables=TABLES)
    with database.reading() as connection:
        written_before = _written(connection, model, int((at - WAITED).timestamp()))
        new = _new(rows, written_before, horizon)
        said = _said_of(connection, model, new["post_id"].to_list())
    new = new.filter(pl.col("post_id").is_in({each["post_id"] for each in said}))
    joined = _joined(said, _outcomes(new))
    written = _rows(model, joined, references)
    with database.writing() as connection:
        insert_new(connection, table, ([row[column.name] for column in table.columns] for row in written))
    return len(written)


def count_matured(uri: str, model: str, *, since: datetime, until: datetime) -> int:
    """Count the answers of a model, a shadow's aside, whose outcome became known from `since` until `until`."""
    start, end = int(since.timestamp()), int(until.timestamp())
    within = sa.and_(table.c.known_s.between(start, end), table.c.seen_s <= end)
    answered = sa.select(table.c.role, table.c.source, table.c.post_id).where(
        table.c.model == model, table.c.role != str(Role.SHADOW), within
    )
    with Database(uri, tables=TABLES).reading() as connection:
        distinct = answered.distinct().subquery()
        return int(connection.scalar(sa.select(sa.func.count()).select_from(distinct)) or 0)


def _new(rows: pl.DataFrame, written_before: pl.DataFrame, horizon: timedelta) -> pl.DataFrame:
    """The posts whose outcome, as seen now, was not written down yet, with when it was seen and counts as known."""
    once = pl.col("assumed_known_at")
    looked = pl.col("published_at") + pl.duration(seconds=(pl.col("age_days") * DAY_S).cast(pl.Int64))
    seen = pl.when(once).then(pl.col("known_at")).otherwise(looked)
    counted = (
        pl.when(once)
        .then(pl.col("known_at"))
        .otherwise(pl.max_horizontal("known_at", pl.col("published_at") + horizon))
    )
    rows = rows.with_columns(
        pl.col("source").fill_null(DEFAULT_SOURCE),
        seen_s=seen.dt.epoch("s"),
        counted_s=counted.dt.epoch("s"),
        truth=pl.Series(primary_log(rows)),
    )
    return rows.join(written_before, on=["source", "post_id", "seen_s"], how="anti", maintain_order="left")


def read_matured(uri: str, model: str, *, since: datetime, until: datetime, most_a_week: int = 5_000) -> pl.DataFrame:
    """Read what came of a model's predictions whose outcome became known from `since` until `until`, oldest first.

    Of an outcome that was seen several times the last sight by `until` counts.

    Of a week with more than `most_a_week` a sample is read, the same every time.

    Returns
    -------
    polars.DataFrame
        The columns of `MATURED`.
    """
    columns = [table.c[name] for name in MATURED]
    parts = []
    with Database(uri, tables=TABLES).reading() as connection:
        start, end = int(since.timestamp()), int(until.timestamp())
        while start <= end:
            stop = min(start - start % WEEK_S + WEEK_S, end + 1)
            here = sa.and_(
                table.c.model == model, table.c.known_s >= start, table.c.known_s < stop, table.c.seen_s <= end
            )
            wanted = sa.select(*columns).where(here).order_by(table.c.draw, table.c.role).limit(most_a_week)
            parts += [tuple(row) for row in connection.execute(wanted)]
            start = stop
    rows = pl.DataFrame(parts, MATURED, orient="row").sort("known_s", "post_id", "source", "role", "seen_s")
    return rows.unique(["role", "source", "post_id"], keep="last", maintain_order=True)


def _outcomes(rows: pl.DataFrame) -> list[dict[str, Any]]:
    if rows.is_empty():
        return []
    posts = Posts.from_frame(rows)
    sources = rows["source"].to_list()
    levels = slices_of_posts(posts, sources, np.zeros(len(posts), np.bool_))
    del levels["account"]  # which the answer tells
    columns = {
        "source": sources,
        "post_id": rows["post_id"],
        "owner": rows["account_id"],
        "published_s": posts.published_s.tolist(),
        "first_s": rows["known_at"].dt.epoch("s"),
        "known_s": rows["counted_s"],
        "seen_s": rows["seen_s"],
        "truth": rows["truth"],
        "population": populations(posts),
        "platform": rows["platform"].cast(TEXT),
        "slices": [dict(zip(levels, row, strict=True)) for row in zip(*levels.values(), strict=True)],
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _written(connection: sa.Connection, model: str, since_s: int) -> pl.DataFrame:
    wanted = sa.select(table.c.source, table.c.post_id, table.c.seen_s).where(
        table.c.model == model, table.c.published_s >= since_s
    )
    rows = [tuple(row) for row in connection.execute(wanted)]
    return pl.DataFrame(rows, {"source": TEXT, "post_id": TEXT, "seen_s": pl.Int64()}, orient="row")


def _said_of(connection: sa.Connection, model: str, posts: Sequence[str]) -> list[dict[str, Any]]:
    columns = [predictions.c[name] for name in _SAID]
    found: list[dict[str, Any]] = []
    for start in range(0, len(posts), ASKED_AT_ONCE):
        some = posts[start : start + ASKED_AT_ONCE]
        wanted = sa.select(*columns).where(predictions.c.model == model, predictions.c.post_id.in_(some))
        found += [dict(row) for row in connection.execute(wanted).mappings()]
    return found


def _joined(said: Iterable[Mapping[str, Any]], outcomes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put each post's outcome to the last answer of each role that came before any outcome of it was known."""
    of_post: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in outcomes:
        of_post.setdefault(outcome["post_id"], []).append(outcome)
    last: dict[tuple[str, str, str], dict[str, Any]] = {}
    for answer in sorted(said, key=lambda each: (each["at"], each["id"])):
        for outcome in of_post[answer["post_id"]]:
            is_same = answer["account_id"] in ("", outcome["owner"])
            if is_same and answer["at"] < outcome["first_s"]:
                last[answer["role"], outcome["source"], outcome["post_id"]] = {**answer, **outcome}
    return list(last.values())


def _rows(model: str, joined: Iterable[Mapping[str, Any]], references: References) -> list[dict[str, Any]]:
    rows = []
    for each in joined:
        told = _told(each)
        if told is None:
            continue
        key = f"{each['source']}\0{each['post_id']}".encode()
        draw = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) / 2**64
        slices = json.dumps({"account": told["account"], **each["slices"]}, sort_keys=True)
        rows.append({**each, **told, "model": model, "account_id": each["owner"], "slices": slices, "draw": draw})
    return _scored(rows, references)


def _scored(rows: list[dict[str, Any]], references: References) -> list[dict[str, Any]]:
    """Add what true outcomes score by each version's own reference."""
    scores: list[float | None] = [None] * len(rows)
    for sha256 in {row["sha256"] for row in rows}:
        here = [number for number, row in enumerate(rows) if row["sha256"] == sha256]
        reference = references(sha256)
        if reference is not None:
            truth = np.array([rows[number]["truth"] for number in here])
            found = reference.score([rows[number]["population"] for number in here], truth)
            for number, score in zip(here, found.tolist(), strict=True):
                scores[number] = score
    names = [column.name for column in table.columns if column.name != "score_truth"]
    return [
        {**{name: row[name] for name in names}, "score_truth": score} for row, score in zip(rows, scores, strict=True)
    ]


def _told(joined: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read an answer about performance or virality; None where it is neither."""
    try:
        said = orjson.loads(joined["answer"])
        if "virality_score" in said:
            return _told_of_virality(said, joined["truth"])
        count = PRIMARY[Platform(joined["platform"])]
        ends = {"prediction": "value", "lower": "lower", "upper": "upper"}
        logs = {name: math.log1p(said[count][end]) for name, end in ends.items()}
        anchor, score = said.get("account_anchor"), float(said["score"]["value"])
        account = "known" if said["account_known"] else "new"
    except (ValueError, KeyError, TypeError):
        return None
    return {
        **logs,
        "anchor": None if anchor is None else math.log1p(anchor),
        "expected_error": said.get("expected_error"),
        "score_prediction": score,
        "account": account,
    }


def _told_of_virality(said: Mapping[str, Any], outcome: float) -> dict[str, Any]:
    """Read a probability of going viral, beside whether the post did by the yardstick that the answer named."""
    chance = said["virality_interval"]
    return {
        "truth": float(outcome > math.log1p(said["viral_above"])),
        "prediction": float(said["virality_score"]),
        "lower": float(chance["lower"]),
        "upper": float(chance["upper"]),
        "anchor": None,
        "expected_error": None,
        "score_prediction": 100 * float(said["virality_score"]),
        "account": "known" if said["account_known"] else "new",
    }
