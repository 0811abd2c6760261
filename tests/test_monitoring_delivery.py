"""Every open alert reaches every channel once, whoever is down, killed, or at it at the same time."""

from __future__ import annotations

import email
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.errors import MissingExtraError, SettingsError
from features.settings import Settings
from monitoring.alerts import Alert, State, acknowledge, alerts_of, update_alerts
from monitoring.delivery import Delivery, _receivers, deliver
from monitoring.predictions import TABLES, alerts
from registry.database import Database
from registry.owner import Owner
from tests.alerts_world import MODEL, MONDAY, Web, copy_of, empty_log, finding, mail_receiver, web_receiver

ROOT = Path(__file__).parents[1]
TUESDAY = MONDAY + timedelta(days=1)
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    return empty_log(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def uri(empty: str, tmp_path: Path) -> str:
    return copy_of(empty, tmp_path)


@pytest.fixture
def each_uri(database_uri: str, tmp_path: Path) -> str:
    """Where the log is by default: a file of the workspace, or a schema beside the ledger."""
    home = tmp_path / "home"
    if database_uri.startswith("sqlite"):
        return Settings.load(home=home).predictions_uri
    return Settings.load(home=home, database_uri=database_uri).predictions_uri


@pytest.fixture
def web() -> Iterator[Web]:
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def other() -> Iterator[Web]:
    with web_receiver() as receiver:
        yield receiver


def opened(uri: str, count: int = 1) -> list[Alert]:
    return update_alerts(
        uri, MODEL, [finding(f"version {n}", sentence=f"sentence {n}") for n in range(count)], MONDAY, 7
    )


def only(uri: str) -> Alert:
    (alert,) = alerts_of(uri, states=list(State))
    return alert


def nobody_listens() -> str:
    """An address of this machine at which nobody is."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"json://127.0.0.1:{found.getsockname()[1]}/hidden/path"


def test_an_alert_is_sent_once_with_what_it_says_since_when_and_what_to_do(each_uri: str, web: Web) -> None:
    (alert,) = update_alerts(each_uri, MODEL, [finding()], MONDAY, 7)
    assert deliver(each_uri, [web.address], TUESDAY) == Delivery((alert.id,), {})
    assert deliver(each_uri, [web.address], TUESDAY + timedelta(days=1)) == Delivery((), {})
    (got,) = web.got
    assert got["title"] == f"clipcast: decay of {MODEL}"
    assert got["message"] == (
        "The error is 0.62, 14 % above the holdout's 0.54.\n\n"
        f"Model: {MODEL}\nKind: decay (version 3)\nSince: 2026-01-05 06:00 UTC\n"
        f"Alert {alert.id}; see all of them: clipcast alerts"
    )
    assert (only(each_uri).delivered_at, only(each_uri).delivery_error) == (TUESDAY, None)


def test_what_was_acknowledged_before_is_not_sent_and_what_has_ended_is_told_as_such(uri: str, web: Web) -> None:
    _, ended = opened(uri, 2)
    first, second = update_alerts(uri, MODEL, [finding("version 0"), finding("version 2")], TUESDAY, 7)
    acknowledge(uri, first.id, "Ada")
    assert deliver(uri, [web.address], TUESDAY).sent == (ended.id, second.id)
    assert ["ended by 2026-01-06" in each["message"] for each in web.got] == [True, False]


def test_what_is_acknowledged_while_others_are_sent_is_not_sent(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = opened(uri, 2)
    monkeypatch.setattr("monitoring.delivery._tell_log", lambda _: acknowledge(uri, second.id, "Ada") and None)
    assert deliver(uri, [], MONDAY).sent == (first.id,)


def test_an_alert_that_comes_back_soon_is_not_sent_again_unless_it_never_was(uri: str, web: Web) -> None:
    for status, count in ((500, 0), (200, 1), (200, 1)):
        web.status = status
        opened(uri)
        deliver(uri, [web.address], MONDAY)
        assert len(web.got) == count
        update_alerts(uri, MODEL, [], MONDAY, 7)
    assert only(uri).state is State.CLOSED


def test_a_receiver_that_is_down_gets_it_once_when_it_is_back(uri: str, web: Web) -> None:
    (alert,) = opened(uri)
    web.status = 503
    for _ in range(2):
        failed = deliver(uri, [web.address], MONDAY).failed
        assert failed == {alert.id: "channel 1 (json://) answered with status 503"}
        assert (only(uri).delivered_at, only(uri).delivery_error) == (None, failed[alert.id])
    web.status = 200
    assert deliver(uri, [web.address], TUESDAY).sent == (alert.id,)
    assert deliver(uri, [web.address], TUESDAY).sent == ()
    assert web.sentences == ["sentence 0"]
    assert (only(uri).delivered_at, only(uri).delivery_error) == (TUESDAY, None)


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_a_redirect_or_an_error_is_no_delivery_and_a_redirect_is_not_followed(uri: str, web: Web, status: int) -> None:
    (alert,) = opened(uri)
    web.status = status
    assert f"status {status}" in deliver(uri, [web.address], MONDAY).failed[alert.id]
    assert web.asked == ["POST /hidden/path"]
    assert only(uri).delivered_at is None


def test_one_channel_that_is_down_makes_no_other_hear_it_twice(uri: str, web: Web, other: Web) -> None:
    (alert,) = opened(uri)
    other.status = 500
    channels = [web.address, other.address]
    for _ in range(2):
        assert deliver(uri, channels, MONDAY).failed == {alert.id: "channel 2 (json://) answered with status 500"}
    other.status = 200
    assert deliver(uri, [other.address, web.address], TUESDAY).sent == (alert.id,)
    assert (len(web.got), len(other.got)) == (1, 1)


def test_a_channel_named_twice_is_one(uri: str, web: Web) -> None:
    opened(uri)
    deliver(uri, [web.address, web.address], MONDAY)
    assert len(web.got) == 1


def test_who_cannot_be_reached_is_asked_once_and_what_failed_holds_up_nothing_new(
    uri: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise

    notify, asked = apprise.Apprise.notify, list[str]()

    def counted(self: apprise.Apprise, body: str, *rest: object, **more: object) -> object:
        asked.append(body.partition("\n")[0])
        return notify(self, body, *rest, **more)

    monkeypatch.setattr(apprise.Apprise, "notify", counted)
    first, second = opened(uri, 2)
    words = "channel 1 (json://) could not be reached, or refused the message"
    assert deliver(uri, [nobody_listens()], MONDAY).failed == {first.id: words, second.id: words}
    assert asked == ["sentence 0"]
    opened(uri, 3)
    deliver(uri, [web.address], MONDAY)
    assert web.sentences == ["sentence 2", "sentence 0", "sentence 1"]


def test_without_channels_the_log_is_told_once(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    (alert,) = opened(uri)
    for sent in ((alert.id,), ()):
        assert deliver(uri, [], MONDAY) == Delivery(sent, {})
    (said,) = caplog.records
    assert (said.levelno, said.name) == (logging.WARNING, "monitoring.delivery")
    assert f"decay of {MODEL}" in said.getMessage()
    assert "sentence 0" in said.getMessage()
    assert only(uri).delivered_at == MONDAY


def test_nothing_that_is_logged_or_kept_shows_an_address(uri: str, web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    opened(uri, 2)
    away = nobody_listens()
    channels = [
        f"json://hidden:hidden@127.0.0.1:{web.port}/hidden/path?+token=hidden",
        away,
        away.replace("json://", "mailto://hidden:hidden@").replace("/hidden/path", "?from=hidden@a.org&mode=insecure"),
    ]
    for status in (500, 200):
        web.status = status
        delivery = deliver(uri, channels, MONDAY)
    assert len(web.got) == 2
    assert len(delivery.failed) == 2
    with Database(uri, tables=TABLES).reading() as connection:
        kept = repr(connection.execute(sa.select(alerts)).all())
    for words in (caplog.text, kept, repr(delivery)):
        assert "json://" in words
        assert "hidden" not in words
    logging.getLogger("apprise").warning("afterwards it may speak again")
    assert "speak again" in caplog.text


@pytest.mark.parametrize(
    "wrong", ["nosuchservice://hidden/hidden", "slack://hidden", "mailto://", "json://", "https://example.org/hidden"]
)
def test_an_address_that_is_not_understood_is_named_by_its_scheme_alone_and_nothing_is_sent(
    uri: str, web: Web, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    opened(uri)
    with pytest.raises(SettingsError) as caught:
        deliver(uri, [web.address, wrong], MONDAY)
    assert f"address of channel 2 ({wrong.partition('://')[0]}://)" in str(caught.value)
    assert "CLIPCAST_MONITORING__CHANNELS" in str(caught.value)
    assert "hidden" not in str(caught.value) + caplog.text
    assert web.got == []


@pytest.mark.parametrize(
    "address", [SLACK, "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"]
)
def test_slack_is_understood_and_asks_for_no_picture(address: str) -> None:
    (receiver,) = _receivers([address]).values()
    (plugin,) = receiver.args[1].servers  # type: ignore[attr-defined]
    assert type(plugin).__name__ == "NotifySlack"
    assert not plugin.image_url("warning")


def test_an_alert_comes_by_e_mail_with_its_marks_as_they_are(uri: str) -> None:
    update_alerts(uri, MODEL, [finding(sentence="<b>views</b> & likes: 14 % above")], MONDAY, 7)
    with mail_receiver() as mailbox:
        channel = f"mailto://127.0.0.1:{mailbox.port}?from=clipcast@example.org&to=ada@example.org&mode=insecure"
        for sent in (1, 0):
            assert len(deliver(uri, [channel], MONDAY).sent) == sent
    ((sender, receivers, text),) = mailbox.got
    assert (sender, receivers) == ("<clipcast@example.org>", ["<ada@example.org>"])
    message = email.message_from_string(text)
    assert (
        str(email.header.make_header(email.header.decode_header(message["Subject"]))) == f"clipcast: decay of {MODEL}"
    )
    parts = {
        part.get_content_type(): part.get_payload(decode=True).decode()
        for part in message.walk()
        if not part.is_multipart()
    }
    assert "&lt;b&gt;views&lt;/b&gt; &amp; likes: 14 % above" in parts["text/html"].replace("&nbsp;", " ")


def child(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    start = "import os, sys\nfrom tests.alerts_world import *\nfrom monitoring import delivery\n"
    return subprocess.Popen([sys.executable, "-c", start + code, *arguments], cwd=ROOT)


def dies(uri: str, dies_in: str, channels: list[str]) -> None:
    """Deliver in a process that ends, without a word, when it comes to a function."""
    code = "setattr(delivery, sys.argv[1], lambda *_: os._exit(9))\ndelivery.deliver(sys.argv[2], sys.argv[3:], MONDAY)"
    assert child(code, dies_in, uri, *channels).wait(60) == 9


def test_a_process_that_dies_while_it_sends_costs_one_message_more_at_most(uri: str, web: Web, other: Web) -> None:
    (alert,) = opened(uri)
    channels = [web.address, other.address]
    dies(uri, "_note_told", channels)
    assert (len(web.got), len(other.got)) == (1, 0)
    assert only(uri).delivered_at is None
    assert deliver(uri, channels, TUESDAY).sent == (alert.id,)
    assert deliver(uri, channels, TUESDAY).sent == ()
    assert (len(web.got), len(other.got)) == (2, 1)


def test_a_process_that_dies_before_it_sends_loses_nothing(uri: str, web: Web) -> None:
    (alert,) = opened(uri)
    dies(uri, "_tell_all", [web.address])
    assert web.got == []
    assert deliver(uri, [web.address], TUESDAY).sent == (alert.id,)
    assert len(web.got) == 1


def test_an_end_that_could_not_be_noted_sends_nothing_twice(
    uri: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alert,) = opened(uri)
    with monkeypatch.context() as patch:
        patch.setattr("monitoring.delivery._finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            deliver(uri, [web.address], MONDAY)
    assert only(uri).delivered_at is None
    assert deliver(uri, [web.address], TUESDAY).sent == (alert.id,)
    assert len(web.got) == 1


def test_two_processes_at_once_send_each_alert_once(each_uri: str, web: Web) -> None:
    numbers = {alert.id for alert in opened(each_uri, 4)}
    web.wait_s = 0.3
    beside = child("delivery.deliver(sys.argv[1], sys.argv[2:], MONDAY)", each_uri, web.address)
    until = time.monotonic() + 60
    while not web.asked:
        assert time.monotonic() < until, "this took too long"
        time.sleep(0.01)
    ours = set(deliver(each_uri, [web.address], MONDAY).sent)
    assert beside.wait(60) == 0
    assert ours < numbers
    assert ours
    assert sorted(web.sentences) == [f"sentence {n}" for n in range(4)]
    assert all(alert.delivered_at == MONDAY for alert in alerts_of(each_uri))


@pytest.mark.parametrize(
    ("owner", "later_s", "is_sent"),
    [
        (Owner("elsewhere", 1, "then"), 0, False),
        (Owner("elsewhere", 1, "then"), 3601, True),
        (Owner(socket.gethostname(), 2**22 + 1, "long ago"), 0, True),
        (Owner.this_process(), 0, True),  # left behind when the database went away
        (None, 10**6, False),  # another process of this machine, which lives
    ],
)
def test_a_claim_holds_while_its_process_may_be_sending(
    uri: str, web: Web, owner: Owner | None, later_s: float, is_sent: bool
) -> None:
    opened(uri)
    with ExitStack() as stack:
        if owner is None:
            asleep = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            stack.callback(asleep.communicate, b"\n")
            from registry.owner import _birth

            owner = Owner(socket.gethostname(), asleep.pid, _birth(asleep.pid) or "")
        claim = {"claimed_by": json.dumps([owner.host, owner.pid, owner.born]), "claimed_at": MONDAY.timestamp()}
        with Database(uri, tables=TABLES).writing() as connection:
            connection.execute(sa.update(alerts).values(claim))
        delivery = deliver(uri, [web.address], MONDAY + timedelta(seconds=later_s))
    assert bool(delivery.sent) is is_sent
    assert len(web.got) == is_sent
    assert delivery.failed == {}


def test_a_missing_apprise_is_said_and_only_where_a_channel_is_set(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    (alert,) = opened(uri)
    with pytest.raises(MissingExtraError, match=r"clipcast\[pipeline\]"):
        deliver(uri, [SLACK], MONDAY)
    assert deliver(uri, [], MONDAY).sent == (alert.id,)


def test_delivering_makes_no_log_where_there_is_none(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'predictions.db'}"
    assert deliver(uri, [], MONDAY) == Delivery((), {})
    assert list(tmp_path.iterdir()) == []
