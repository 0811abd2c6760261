"""Alerts: what a look of monitoring found wrong, kept in the prediction log's database until it is so no more.

An alert is open until a person acknowledges it, and closed by the first look that does not find it any more. At any
time there is at most one alert of a model, a kind and a subject that is not closed. Moments are always those of the
look, never a clock's, so that a replay of dates gives the alerts that those days would have had.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row, make_url
from sqlalchemy.exc import ArgumentError

from features.errors import RegistryError, SchemaError, quoted
from monitoring.predictions import TABLES, alerts, looks
from registry.bundle import canonical_json
from registry.database import Database

LONGEST_NAME = 200
"""Characters of a model, a subject, and of who acknowledged: as many as the table has room for."""


class Kind(StrEnum):
    """What can be wrong with a model in production."""

    DECAY = "decay"
    DRIFT = "drift"
    BROKEN = "broken feature"
    SKEW = "skew"
    COVERAGE = "coverage"
    CALIBRATION = "calibration"  # posts go viral more or less often than was said
    BIAS = "bias"
    REDEFINED = "redefined metric"
    SPLIT = "split"  # the traffic is not split as it was set: a sample-ratio mismatch


class State(StrEnum):
    """How an alert stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


STANDING = (State.OPEN, State.ACKNOWLEDGED)
"""The states of an alert whose finding still holds."""


@dataclass(frozen=True)
class Finding:
    """What a look found wrong with a model; `subject` says with what of it, and `evidence` is plain JSON."""

    model: str
    kind: Kind
    subject: str
    sentence: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Alert:
    """A finding over time: since when, until when it was last seen, and who was told. Moments are in UTC."""

    id: int
    model: str
    kind: Kind
    subject: str
    state: State
    sentence: str
    evidence: Mapping[str, Any]
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None
    acknowledged_by: str | None
    delivered_at: datetime | None
    delivery_error: str | None
    retrain_at: datetime | None


def update_alerts(
    uri: str,
    model: str,
    findings: Sequence[Finding],
    at: datetime,
    cool_down_days: float,
    *,
    measured: Collection[Kind] = tuple(Kind),
    unmeasured: Collection[tuple[Kind, str]] = (),
) -> list[Alert]:
    """Make the table say what the look at `at` found of a model, all of it or nothing, and return what stands now.

    What is found again renews the sentence, evidence and `seen_at` of its alert, which stays acknowledged if it was.
    What was closed less than `cool_down_days` before comes back as the same alert, in the state it had and without
    being delivered again. Anything else opens a new one. An alert of a kind that was `measured`, but for subjects that
    were `unmeasured`, is closed when it is not among the findings; of what could not be measured nobody knows that it
    has ended. Of two findings of one kind and subject the last counts. The same look once more changes nothing.

    A look at an earlier moment than the model's last one changes nothing either: what was wrong then is no news, and
    must neither close what is wrong now nor open what has ended since.

    Raises
    ------
    SchemaError
        A finding is of another model, its evidence is not plain JSON, a name is too long, or `at` has no zone.
    RegistryError
        The log cannot be used, or was made by a newer clipcast.
    """
    moment = seconds_of(at)
    cool_down_s = timedelta(days=cool_down_days).total_seconds()
    found = {(finding.kind, finding.subject): _content(model, finding) for finding in findings}
    with Database(uri, tables=TABLES).writing() as connection:
        if _is_latest_look(connection, model, moment):
            last = {(Kind(row.kind), row.subject): row for row in _rows(connection, alerts.c.model == model)}
            for key, content in found.items():
                _find(connection, content, last.get(key), moment, cool_down_s)
            stays = {*found, *unmeasured}
            ended = [row.id for key, row in last.items() if key not in stays and key[0] in measured]
            _close(connection, ended, moment)
        return _standing(connection, model)


def alerts_of(uri: str, model: str | None = None, *, states: Collection[State] = STANDING) -> list[Alert]:
    """Alerts in those states, of one model or of all, the oldest first; none, and no file made, where no log is yet.

    Raises
    ------
    RegistryError
        The log cannot be reached, or was made by a newer clipcast.
    """
    if is_missing(uri):
        return []
    wanted = alerts.c.state.in_(list(map(str, states)))
    with Database(uri, tables=TABLES).reading() as connection:
        return list(map(as_alert, _rows(connection, wanted if model is None else wanted & (alerts.c.model == model))))


def acknowledge(uri: str, id: int, who: str) -> Alert:  # noqa: A002  # the word that the command line uses, too
    """Say that somebody has seen an alert; one that is acknowledged already keeps who was first.

    Raises
    ------
    RegistryError
        There is no such alert, or it is closed; the message names those that can be acknowledged.
    """
    if not who.strip() or len(who) > LONGEST_NAME:
        raise SchemaError(f"an alert is acknowledged by a name of 1 to {LONGEST_NAME} characters, not {quoted(who)}")
    if is_missing(uri):
        raise RegistryError(f"there is no alert {id}, as there are none yet; list them: clipcast alerts")
    with Database(uri, tables=TABLES).writing() as connection:
        change = sa.update(alerts).where(alerts.c.id == id, alerts.c.state == State.OPEN.value)
        connection.execute(change.values(state=State.ACKNOWLEDGED.value, acknowledged_by=who.strip()))
        found = [as_alert(row) for row in _rows(connection, alerts.c.id == id)]
        if not found or found[0].state is State.CLOSED:
            raise RegistryError(_cannot_acknowledge(id, found, _standing(connection)))
        return found[0]


def ask_retrain_once(uri: str, id: int, at: datetime) -> bool:  # noqa: A002
    """Note that a retraining is asked for because of an alert; True for the one caller who is to ask for it.

    Who is killed after that and before asking leaves it unasked: at most one is started for an alert.

    Raises
    ------
    RegistryError
        There is no such alert.
    """
    moment = seconds_of(at)
    if is_missing(uri):
        raise RegistryError(f"there is no alert {id}, as there are none yet; list them: clipcast alerts")
    with Database(uri, tables=TABLES).writing() as connection:
        change = sa.update(alerts).where(alerts.c.id == id, alerts.c.retrain_at.is_(None)).values(retrain_at=moment)
        if connection.execute(change).rowcount:
            return True
        if not _rows(connection, alerts.c.id == id):
            raise RegistryError(f"there is no alert {id}, so nothing is retrained for it; list them: clipcast alerts")
        return False


def as_alert(row: Row[Any]) -> Alert:
    """An alert from its row of the table."""
    return Alert(
        id=row.id,
        model=row.model,
        kind=Kind(row.kind),
        subject=row.subject,
        state=State(row.state),
        sentence=row.sentence,
        evidence=json.loads(row.evidence),
        opened_at=datetime.fromtimestamp(row.opened_at, UTC),
        seen_at=datetime.fromtimestamp(row.seen_at, UTC),
        closed_at=_moment(row.closed_at),
        acknowledged_by=row.acknowledged_by,
        delivered_at=_moment(row.delivered_at),
        delivery_error=row.delivery_error,
        retrain_at=_moment(row.retrain_at),
    )


def is_missing(uri: str) -> bool:
    """Whether an address is a SQLite file's that is not there yet; looking must not make one."""
    try:
        url = make_url(uri)
    except ArgumentError:
        return False  # what is wrong with it is said where it is opened
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


def seconds_of(moment: datetime) -> float:
    """A moment as the table keeps it: seconds since 1970.

    Raises
    ------
    SchemaError
        It has no zone.
    """
    if moment.tzinfo is None:
        raise SchemaError(f"{moment} has no zone; give it one, such as datetime.UTC")
    return moment.timestamp()


def _content(model: str, finding: Finding) -> dict[str, str]:
    """What an alert takes over from a finding."""
    what = f"the finding {finding.kind} of {quoted(finding.subject)}"
    if finding.model != model:
        raise SchemaError(f"{what} is about {finding.model}, and {model} was looked at; hand over each model by itself")
    if max(len(finding.subject), len(model)) > LONGEST_NAME:
        raise SchemaError(f"{what} of {model} has a name of more than {LONGEST_NAME} characters; shorten it")
    try:
        evidence = canonical_json(dict(finding.evidence))
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{what} of {model} has evidence that is no JSON with finite numbers: {error}") from error
    named = {"model": model, "kind": finding.kind.value, "subject": finding.subject}
    return {**named, "sentence": finding.sentence, "evidence": evidence}


def _is_latest_look(connection: Connection, model: str, moment: float) -> bool:
    """Whether no later look at the model has updated them; if so, this one is noted as the latest."""
    of_model = looks.c.model == model
    last = connection.scalar(sa.select(looks.c.at).where(of_model))
    if last is None:
        connection.execute(sa.insert(looks).values(model=model, at=moment))
    elif last < moment:
        connection.execute(sa.update(looks).where(of_model).values(at=moment))
    return last is None or last <= moment


def _find(
    connection: Connection, content: Mapping[str, str], last: Row[Any] | None, moment: float, cool_down_s: float
) -> None:
    """Renew the last alert of this kind and subject, open it again, or open the next."""
    seen = {**content, "seen_at": moment}
    is_closed = last is not None and last.state == State.CLOSED
    if last is None or (is_closed and moment - last.closed_at >= cool_down_s):
        connection.execute(sa.insert(alerts).values(**seen, state=State.OPEN.value, opened_at=moment))
        return
    if is_closed:
        state = State.ACKNOWLEDGED if last.acknowledged_by else State.OPEN
        seen |= {"state": state.value, "closed_at": None}
    connection.execute(sa.update(alerts).where(alerts.c.id == last.id).values(seen))


def _close(connection: Connection, ids: Sequence[int], moment: float) -> None:
    change = sa.update(alerts).where(alerts.c.id.in_(ids), alerts.c.state != State.CLOSED.value)
    connection.execute(change.values(state=State.CLOSED.value, closed_at=moment))


def _standing(connection: Connection, model: str | None = None) -> list[Alert]:
    stands = alerts.c.state != State.CLOSED.value
    return list(map(as_alert, _rows(connection, stands if model is None else stands & (alerts.c.model == model))))


def _rows(connection: Connection, condition: sa.ColumnElement[bool]) -> Sequence[Row[Any]]:
    return connection.execute(sa.select(alerts).where(condition).order_by(alerts.c.id)).all()


def _cannot_acknowledge(number: int, found: Sequence[Alert], standing: Iterable[Alert]) -> str:
    closed_at = found[0].closed_at if found else None
    why = f"alert {number} was closed on {closed_at:%Y-%m-%d}" if closed_at else f"there is no alert {number}"
    others = ", ".join(f"{alert.id} ({alert.kind} of {alert.model})" for alert in standing) or "none"
    return f"{why}; open now: {others}; list them: clipcast alerts"


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
