"""Telling people of alerts, by Apprise: to webhooks, Slack, e-mail and all else that it knows, or to the log.

Every alert reaches every channel once, as far as that can be had: a process claims an alert before it sends, so two at
once never send the same, and notes each channel that took it, so one that is down makes no other hear it twice. What
nobody can rule out is that a receiver got a message and this was not learnt: the process was killed before it could
note it, or the answer came too late. Then that channel gets that one message again: at least once, rather than at
most once, since an alert that is lost is worse than one that comes twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from features.errors import MissingExtraError, SettingsError
from features.safety import redact
from monitoring.alerts import Alert, State, as_alert, is_missing, seconds_of
from monitoring.predictions import TABLES, alerts
from registry.database import Database
from registry.owner import Owner

if TYPE_CHECKING:
    from apprise import Apprise

CLAIM_S = 3600.0
"""After so long a claim of another machine's process, which cannot be looked at from here, is given up."""

LOG = "log"
"""The one who is told where no channel is set."""

_STATUS = re.compile(r"error=(\d{3})\b")
_SAY_ADDRESSES = ("apprise", "urllib3.connectionpool")

_delivering = threading.Lock()

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """Which alerts have reached everybody by now, and why others did not, by their numbers."""

    sent: tuple[int, ...]
    failed: Mapping[int, str]


@dataclass(frozen=True)
class _Failure:
    words: str
    is_away: bool  # so that nothing else needs to be tried there


_Receiver = Callable[[Alert], _Failure | None]


def deliver(uri: str, channels: Sequence[str], at: datetime) -> Delivery:
    """Send every alert that was not delivered yet to each of the channels, and note what became of it.

    One that has ended before anybody could be told is told all the same; one that was acknowledged need not be.

    An alert counts as delivered when all channels took it; what one of them did not take waits for the next call, and
    then goes to that one alone. A channel that cannot be reached is not tried again within a call, and one address
    with several receivers is one channel. A redirect is a failure: what follows it leaves the message out. Without
    channels the log is told, as a warning. Alerts that another process is sending at the same time are left to it.

    Raises
    ------
    SettingsError
        Apprise does not understand a channel; nothing was sent.
    MissingExtraError
        Channels are set, and Apprise is not installed.
    RegistryError
        The log's database cannot be used.
    """
    moment = seconds_of(at)
    receivers = _receivers(channels)
    if is_missing(uri):
        return Delivery((), {})
    database, sent, failed, away = Database(uri, tables=TABLES), list[int](), dict[int, str](), dict[str, str]()
    with _delivering:
        for number in _undelivered(database):
            claimed = _claim(database, number, moment)
            if claimed is None:
                continue
            error = _tell_all(database, claimed, receivers, away)
            _finish(database, number, None if error else moment, error)
            if error:
                failed[number] = error
                logger.warning("alert %d was not delivered and will be tried again: %s", number, error)
            else:
                sent.append(number)
    return Delivery(tuple(sent), failed)


def _tell_all(
    database: Database, claimed: Row[Any], receivers: Mapping[str, _Receiver], away: dict[str, str]
) -> str | None:
    """Tell those who do not know yet, and return why some could not be told; `away` is who need not be tried."""
    told, failures = set(json.loads(claimed.delivered_to or "[]")), []
    for key, tell in receivers.items():
        if key in told:
            continue
        failure = _Failure(away[key], is_away=True) if key in away else tell(as_alert(claimed))
        if failure is None:
            told.add(key)
            _note_told(database, claimed.id, sorted(told))
            continue
        failures.append(failure.words)
        if failure.is_away:
            away[key] = failure.words
    return redact("; ".join(failures)) or None


def _undelivered(database: Database) -> list[int]:
    """Alerts to send: those that failed before come last, so that none of them holds up a new one."""
    waiting = sa.select(alerts.c.id).where(_is_untold(), alerts.c.delivered_at.is_(None))
    with database.reading() as connection:
        return list(connection.scalars(waiting.order_by(alerts.c.delivery_error.is_not(None), alerts.c.id)))


def _is_untold() -> sa.ColumnElement[bool]:
    ended = sa.and_(alerts.c.state == State.CLOSED.value, alerts.c.acknowledged_by.is_(None))
    return sa.or_(alerts.c.state == State.OPEN.value, ended)


def _claim(database: Database, number: int, moment: float) -> Row[Any] | None:
    """Take an alert to send it, unless it needs that no more or another living process has it."""
    mine = Owner.this_process()
    with database.writing() as connection:
        row = connection.execute(sa.select(alerts).where(alerts.c.id == number)).one()
        untold = row.state == State.OPEN or (row.state == State.CLOSED and row.acknowledged_by is None)
        if not untold or row.delivered_at is not None or not _is_free(row, mine, moment):
            return None
        claim = {"claimed_by": json.dumps([mine.host, mine.pid, mine.born]), "claimed_at": moment}
        connection.execute(sa.update(alerts).where(alerts.c.id == number).values(claim))
        return row


def _is_free(row: Row[Any], mine: Owner, moment: float) -> bool:
    if row.claimed_by is None:
        return True
    owner = Owner(*json.loads(row.claimed_by))
    if owner == mine:
        return True  # it was left behind: this process sends one at a time
    alive = owner.is_alive()
    return moment - row.claimed_at > CLAIM_S if alive is None else not alive


def _note_told(database: Database, number: int, told: Sequence[str]) -> None:
    with database.writing() as connection:
        connection.execute(sa.update(alerts).where(alerts.c.id == number).values(delivered_to=json.dumps(told)))


def _finish(database: Database, number: int, delivered_at: float | None, error: str | None) -> None:
    """Note how sending an alert ended, and give it free."""
    done = {"delivered_at": delivered_at, "delivery_error": error, "claimed_by": None, "claimed_at": None}
    with database.writing() as connection:
        connection.execute(sa.update(alerts).where(alerts.c.id == number).values(done))


def _receivers(channels: Sequence[str]) -> dict[str, _Receiver]:
    """Who is to be told, by what the table calls them: a channel by the hash of its address."""
    if not channels:
        return {LOG: _tell_log}
    found: dict[str, _Receiver] = {}
    for number, address in enumerate(channels, start=1):
        key = hashlib.sha256(address.encode()).hexdigest()[:16]
        name = f"channel {number} ({address.partition('://')[0]}://)"
        found.setdefault(key, partial(_tell_channel, name, _open(name, address)))
    return found


def _open(name: str, address: str) -> Apprise:
    try:
        import apprise
    except ImportError as error:
        raise MissingExtraError("apprise", "pipeline") from error
    with _silence():
        channel = apprise.Apprise(
            asset=apprise.AppriseAsset(
                app_id="clipcast",
                app_desc="clipcast",
                app_url="",
                image_url_mask="",  # a picture from elsewhere would be asked for wherever the message is shown
                image_url_logo="",
                async_mode=False,
                # a redirected POST becomes a GET without the message, and whoever gets that is content with it
                http_redirects=False,
            )
        )
        is_understood = channel.add(address)
    if not is_understood:
        raise SettingsError(
            f"monitoring.channels: Apprise does not understand the address of {name}, or lacks a library for it; "
            "see how it writes that service's: apprise --details; set CLIPCAST_MONITORING__CHANNELS='[\"...\"]'"
        )
    return channel


def _tell_log(alert: Alert) -> None:
    logger.warning("%s\n%s", _title(alert), _body(alert))


def _tell_channel(name: str, channel: Apprise, alert: Alert) -> _Failure | None:
    from apprise import NotifyFormat, NotifyType

    with _silence() as said:
        is_sent = channel.notify(
            _body(alert), _title(alert), notify_type=NotifyType.WARNING, body_format=NotifyFormat.TEXT
        )
    if is_sent:
        return None
    status = _STATUS.search("\n".join(said))
    if status:
        return _Failure(f"{name} answered with status {status[1]}", is_away=False)
    return _Failure(f"{name} could not be reached, or refused the message", is_away=True)


def _title(alert: Alert) -> str:
    return f"clipcast: {alert.kind} of {alert.model}"


def _body(alert: Alert) -> str:
    of = f" ({alert.subject})" if alert.subject else ""
    ended = f", ended by {alert.closed_at:%Y-%m-%d %H:%M} UTC" if alert.closed_at else ""
    return (
        f"{alert.sentence}\n\nModel: {alert.model}\nKind: {alert.kind}{of}\n"
        f"Since: {alert.opened_at:%Y-%m-%d %H:%M} UTC{ended}\nAlert {alert.id}; see all of them: clipcast alerts"
    )


class _Silence(logging.Filter):
    """Lets nothing through that a library says here about sending, but keeps what Apprise said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        if record.name == "apprise":
            self.said.append(record.getMessage())
        return False


@contextmanager
def _silence() -> Iterator[list[str]]:
    """Keep addresses out of the log, where Apprise and urllib3 write them with their secrets."""
    silence = _Silence()
    loggers = [logging.getLogger(name) for name in _SAY_ADDRESSES]
    for each in loggers:
        each.addFilter(silence)
    try:
        yield silence.said
    finally:
        for each in loggers:
            each.removeFilter(silence)
