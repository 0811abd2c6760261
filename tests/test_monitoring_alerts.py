"""The table of alerts says what the last look found, however often and by however many it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.errors import RegistryError, SchemaError
from features.settings import Settings
from monitoring.alerts import (
    Alert,
    Finding,
    Kind,
    State,
    acknowledge,
    alerts_of,
    ask_retrain_once,
    update_alerts,
)
from monitoring.predictions import TABLES, alerts, looks
from registry.database import Database
from tests.alerts_world import MODEL, MONDAY, copy_of, empty_log, finding

OTHER = "clipcast-instagram-performance"
COOL_DOWN_DAYS = 7.0


@pytest.fixture
def each_uri(database_uri: str, tmp_path: Path) -> str:
    """Where the log is by default: a file of the workspace, or a schema beside the ledger."""
    home = tmp_path / "home"
    if database_uri.startswith("sqlite"):
        return Settings.load(home=home).predictions_uri
    return Settings.load(home=home, database_uri=database_uri).predictions_uri


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    return empty_log(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def uri(empty: str, tmp_path: Path) -> str:
    return copy_of(empty, tmp_path)


def day(number: float) -> datetime:
    return MONDAY + timedelta(days=number)


def look(uri: str, number: float, *findings: Finding, model: str = MODEL) -> list[Alert]:
    """Settle what the look of a day found."""
    return update_alerts(uri, model, findings, day(number), COOL_DOWN_DAYS)


def table(uri: str) -> list[tuple[object, ...]]:
    with Database(uri, tables=TABLES).reading() as connection:
        return [
            *map(tuple, connection.execute(sa.select(alerts).order_by(alerts.c.id))),
            *map(tuple, connection.execute(sa.select(looks).order_by(looks.c.model))),
        ]


def every(uri: str) -> list[Alert]:
    return alerts_of(uri, states=list(State))


def test_what_is_found_opens_an_alert_with_all_that_was_said_of_it(each_uri: str) -> None:
    (alert,) = look(each_uri, 0, finding())
    assert alert == Alert(
        id=alert.id,
        model=MODEL,
        kind=Kind.DECAY,
        subject="version 3",
        state=State.OPEN,
        sentence="The error is 0.62, 14 % above the holdout's 0.54.",
        evidence={"error": 0.62, "posts": 412},
        opened_at=MONDAY,
        seen_at=MONDAY,
        closed_at=None,
        acknowledged_by=None,
        delivered_at=None,
        delivery_error=None,
        retrain_at=None,
    )
    assert alerts_of(each_uri) == [alert]


def test_what_is_found_again_is_the_same_alert_with_the_news_of_it(uri: str) -> None:
    (first,) = look(uri, 0, finding())
    (again,) = look(uri, 1, finding(sentence="worse", evidence={"error": 0.7}))
    assert (again.id, again.opened_at, again.seen_at) == (first.id, day(0), day(1))
    assert (again.sentence, again.evidence) == ("worse", {"error": 0.7})
    assert every(uri) == [again]


def test_alerts_are_told_apart_by_model_kind_and_subject(uri: str) -> None:
    found = [finding(), finding("version 4"), finding(kind=Kind.BIAS)]
    look(uri, 0, *found)
    look(uri, 0, finding(model=OTHER), model=OTHER)
    assert [(alert.model, alert.kind, alert.subject) for alert in every(uri)] == [
        (MODEL, Kind.DECAY, "version 3"),
        (MODEL, Kind.DECAY, "version 4"),
        (MODEL, Kind.BIAS, "version 3"),
        (OTHER, Kind.DECAY, "version 3"),
    ]
    assert len(alerts_of(uri, OTHER)) == 1


def test_what_is_not_found_any_more_is_closed_and_other_models_are_left_alone(uri: str) -> None:
    look(uri, 0, finding(), finding(kind=Kind.DRIFT))
    look(uri, 0, finding(model=OTHER), model=OTHER)
    (kept,) = look(uri, 1, finding(kind=Kind.DRIFT))
    assert kept.kind is Kind.DRIFT
    (closed,) = alerts_of(uri, states=[State.CLOSED])
    assert (closed.kind, closed.seen_at, closed.closed_at) == (Kind.DECAY, day(0), day(1))
    look(uri, 2, finding(kind=Kind.DRIFT))
    assert alerts_of(uri, states=[State.CLOSED]) == [closed]
    assert [alert.state for alert in alerts_of(uri, OTHER)] == [State.OPEN]


def test_what_comes_back_soon_is_the_old_alert_and_later_a_new_one(each_uri: str) -> None:
    (first,) = look(each_uri, 0, finding())
    look(each_uri, 1)
    (back,) = look(each_uri, 1 + COOL_DOWN_DAYS - 0.01, finding(sentence="back"))
    assert (back.id, back.state, back.closed_at, back.opened_at) == (first.id, State.OPEN, None, day(0))
    assert back.sentence == "back"
    look(each_uri, 10)
    (anew,) = look(each_uri, 10 + COOL_DOWN_DAYS, finding())
    assert anew.id != first.id
    assert anew.opened_at == day(10 + COOL_DOWN_DAYS)
    assert [alert.state for alert in every(each_uri)] == [State.CLOSED, State.OPEN]


def test_the_newest_of_several_closed_alerts_counts_for_the_cool_down(uri: str) -> None:
    for number in (0, 20):
        look(uri, number, finding())
        look(uri, number + 1)
    (back,) = look(uri, 22, finding())
    assert (back.id, back.opened_at) == (every(uri)[-1].id, day(20))


def test_an_acknowledged_alert_stays_so_while_it_lasts_and_when_it_comes_back_soon(uri: str) -> None:
    (alert,) = look(uri, 0, finding())
    assert acknowledge(uri, alert.id, " Ada ").acknowledged_by == "Ada"
    (again,) = look(uri, 1, finding())
    assert (again.id, again.state, again.acknowledged_by) == (alert.id, State.ACKNOWLEDGED, "Ada")
    assert look(uri, 2) == []
    (back,) = look(uri, 3, finding())
    assert (back.id, back.state, back.closed_at) == (alert.id, State.ACKNOWLEDGED, None)
    look(uri, 4)
    (anew,) = look(uri, 30, finding())
    assert (anew.state, anew.acknowledged_by) == (State.OPEN, None)


@pytest.mark.parametrize("before", [[], [finding()], [finding(), finding(kind=Kind.SKEW)]])
def test_the_same_look_once_more_changes_nothing(uri: str, before: list[Finding]) -> None:
    look(uri, 0, finding(kind=Kind.COVERAGE), *before)
    look(uri, 1)
    look(uri, 2, *before)
    look(uri, 3, finding(), finding(kind=Kind.SPLIT))
    kept = table(uri)
    look(uri, 3, finding(), finding(kind=Kind.SPLIT))
    assert table(uri) == kept
    look(uri, 4)
    kept = table(uri)
    look(uri, 4)
    assert table(uri) == kept


def test_a_look_into_the_past_changes_nothing_and_tells_what_stands_now(each_uri: str) -> None:
    look(each_uri, 0, finding())
    look(each_uri, 10, finding(kind=Kind.DRIFT))
    now = alerts_of(each_uri)
    kept = table(each_uri)
    assert look(each_uri, 5, finding(sentence="old"), finding(kind=Kind.SKEW)) == now
    assert look(each_uri, 9.9) == now
    assert table(each_uri) == kept


def test_a_look_into_the_past_opens_nothing_even_where_the_last_look_found_nothing(uri: str) -> None:
    assert look(uri, 10) == []
    assert look(uri, 5, finding()) == []
    assert every(uri) == []
    assert len(look(uri, 5, finding(model=OTHER), model=OTHER)) == 1, "each model has looks of its own"


def test_another_result_at_the_same_moment_counts(uri: str) -> None:
    look(uri, 0, finding())
    assert [alert.kind for alert in look(uri, 0, finding(kind=Kind.SKEW))] == [Kind.SKEW]


def test_of_two_findings_about_the_same_the_last_counts(uri: str) -> None:
    (alert,) = look(uri, 0, finding(sentence="one"), finding(sentence="two"))
    assert alert.sentence == "two"


def test_a_look_that_cannot_be_written_whole_is_not_written_at_all(uri: str) -> None:
    look(uri, 0, finding())
    kept = table(uri)
    for wrong in (
        finding(evidence={"error": float("nan")}),
        finding(evidence={"at": MONDAY}),
        finding(model=OTHER),
        finding("x" * 201),
    ):
        with pytest.raises(SchemaError):
            look(uri, 1, finding(kind=Kind.DRIFT), wrong)
    with pytest.raises(SchemaError, match="no zone"):
        update_alerts(uri, MODEL, [], MONDAY.replace(tzinfo=None), COOL_DOWN_DAYS)
    assert table(uri) == kept


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    together = threading.Barrier(count)

    def start(number: int) -> object:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def test_several_looks_at_once_leave_one_alert_of_each(each_uri: str) -> None:
    look(each_uri, -1)
    at_once(6, lambda _: look(each_uri, 0, finding(), finding(kind=Kind.DRIFT)))
    assert [alert.kind for alert in every(each_uri)] == [Kind.DECAY, Kind.DRIFT]


def test_a_retraining_is_asked_for_once_whoever_asks(each_uri: str) -> None:
    (alert,) = look(each_uri, 0, finding())
    assert sorted(map(bool, at_once(6, lambda number: ask_retrain_once(each_uri, alert.id, day(number))))) == [
        *[False] * 5,
        True,
    ]
    asked = alerts_of(each_uri)[0].retrain_at
    assert asked in [day(number) for number in range(6)]
    assert ask_retrain_once(each_uri, alert.id, day(9)) is False
    (again,) = look(each_uri, 1, finding())
    assert again.retrain_at == asked
    with pytest.raises(RegistryError, match="there is no alert 77, so nothing is retrained"):
        ask_retrain_once(each_uri, 77, MONDAY)


def test_who_acknowledges_what_is_not_there_is_told_what_is(each_uri: str) -> None:
    look(each_uri, 0, finding(), finding(kind=Kind.DRIFT))
    look(each_uri, 1, finding())
    stands, closed = every(each_uri)
    with pytest.raises(RegistryError, match=rf"no alert 77; open now: {stands.id} \(decay of {MODEL}\); .*clipcast al"):
        acknowledge(each_uri, 77, "Ada")
    with pytest.raises(RegistryError, match=rf"alert {closed.id} was closed on 2026-01-06; open now: {stands.id} "):
        acknowledge(each_uri, closed.id, "Ada")
    assert acknowledge(each_uri, stands.id, "Ada") == acknowledge(each_uri, stands.id, "Grace"), "the first one counts"
    for nobody in ("", " ", "x" * 201):
        with pytest.raises(SchemaError, match="1 to 200 characters"):
            acknowledge(each_uri, stands.id, nobody)


def test_looking_makes_no_log_where_there_is_none(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'predictions.db'}"
    assert alerts_of(uri) == []
    for ask in (lambda: acknowledge(uri, 1, "Ada"), lambda: ask_retrain_once(uri, 1, MONDAY)):
        with pytest.raises(RegistryError, match="there is no alert 1"):
            ask()
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_measured_of_a_kind_stays_while_the_rest_of_it_closes(uri: str) -> None:
    both = [finding(kind=Kind.DRIFT, subject=subject) for subject in ("inputs", "outcomes")]
    update_alerts(uri, MODEL, both, day(0), COOL_DOWN_DAYS)
    [left] = update_alerts(uri, MODEL, [], day(1), COOL_DOWN_DAYS, unmeasured=[(Kind.DRIFT, "outcomes")])
    assert left.subject == "outcomes"
    assert update_alerts(uri, MODEL, [], day(2), COOL_DOWN_DAYS) == []
