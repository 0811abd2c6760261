"""One platform's part of a run: done once, taken up again, and free to start where there was nothing to do."""

import threading
from datetime import date
from types import SimpleNamespace

import pytest

from features.errors import LockedError, StoreError
from features.schema import Platform
from features.simulate import SOURCE, World, simulate
from features.store import Store
from flows.challenge import Challenge
from flows.job import Job, Outcome, once
from flows.refresh import refresh
from registry import database as db
from registry.ledger import Entry, Kind
from registry.runs import Runs
from registry.semver import Change

DAY = date(2026, 6, 27)


@pytest.fixture
def job(settings):
    return Job("daily", Platform.TIKTOK, DAY, settings)


def test_a_finished_job_repeats_its_answer_without_working(job):
    first = once(job, lambda _: Outcome("tiktok", "kept", "for a reason"))
    assert once(job, lambda _: pytest.fail("it worked again")) == first


@pytest.mark.parametrize(("in_production", "verdict"), [(2, "promoted"), (1, "superseded")])
def test_a_promotion_taken_back_since_is_not_told_as_one(job, monkeypatch, in_production, verdict):
    once(job, lambda _: Outcome("tiktok", "promoted", "better", version=2, semver="1.1.0"))
    champion = SimpleNamespace(version=in_production, semver="1.0.0", reason="rolled back: readers complained")
    monkeypatch.setattr(type(job.registry.ledger), "champion", lambda *_: champion)
    again = once(job, lambda _: pytest.fail("it worked again"))
    assert again.verdict == verdict
    if verdict == "superseded":
        assert "readers complained" in again.reason
        assert "clipcast rollback clipcast-tiktok-performance --to 2" in again.reason


def test_threads_are_no_part_of_the_key(job, settings):
    assert Job("daily", Platform.TIKTOK, DAY, settings.model_copy(update={"threads": 7})).key == job.key


def test_a_job_with_nothing_to_do_yet_may_start_again(job):
    assert once(job, refresh).verdict == "idle"
    assert once(job, lambda _: Outcome("tiktok", "promoted", "later that day")).verdict == "promoted"


def test_a_job_that_raised_may_start_again(job):
    with pytest.raises(ValueError, match="broken"):
        once(job, _broken)
    assert once(job, lambda _: Outcome("tiktok", "kept", "mended")).reason == "mended"


def test_posts_imported_meanwhile_stop_the_run_instead_of_being_named_wrongly(job, settings):
    assert job.data_hash
    world = World(platforms=(Platform.TIKTOK,), accounts=10, weeks=4)
    Store(settings.data).append([simulate(world).posts], SOURCE)
    with pytest.raises(StoreError, match="start it again"):
        job.examples()


def test_a_job_killed_after_its_decision_repeats_it_instead_of_challenging_itself(job):
    entry = Entry(
        model=job.name,
        kind=Kind.REFUSED,
        who="tester",
        reason="refused: it does not load",
        data_source="made",
        version=1,
        semver="1.0.0",
        evidence={"ship_anchor": False},
        run_key=f"{job.key}/recipe",
    )
    job.registry.ledger.append(entry, None)
    outcome = once(job, lambda _: pytest.fail("it was done again"))
    assert (outcome.verdict, outcome.reason, outcome.semver) == ("refused", "refused: it does not load", "1.0.0")


def test_a_job_killed_before_the_anchor_took_the_place_of_its_model_goes_on(job):
    evidence = {"ship_anchor": True}
    refused = Entry(
        model=job.name,
        kind=Kind.REFUSED,
        who="tester",
        reason="refused",
        data_source="made",
        evidence=evidence,
        run_key=f"{job.key}/recipe",
    )
    job.registry.ledger.append(refused, None)
    assert once(job, lambda _: Outcome("tiktok", "promoted", "the anchor")).reason == "the anchor"


def test_a_running_job_says_that_it_is_alive(job, monkeypatch):
    heard = threading.Event()
    monkeypatch.setattr("flows.job.HEARTBEAT_S", 0.01)
    monkeypatch.setattr(Runs, "touch_run", lambda *_: heard.set())
    assert once(job, lambda _: Outcome("tiktok", "kept" if heard.wait(10) else "silent", "")).verdict == "kept"


def test_a_run_that_was_taken_over_registers_nothing(job):
    """This process slept for longer than 6 h, and wakes up when another machine is at its run."""

    told = []

    def sleep(job):
        with job.registry.ledger.database.writing() as connection:
            connection.execute(db.runs.update().values(owner_host="elsewhere"))
        challenge = Challenge(job, examples=None, trained=None, champion=None, change=Change.RETRAIN)
        with pytest.raises(LockedError, match=r"not held by process .* but by process \d+ on elsewhere") as caught:
            challenge._carry_out(decision=None, served=None, evaluated=None, artifacts=None)
        told.append(caught.value)
        raise caught.value

    with pytest.raises(LockedError):
        once(job, sleep)
    assert told


def test_the_key_changes_with_the_day_and_the_parameters(job, settings):
    other_day = Job("daily", Platform.TIKTOK, date(2026, 6, 28), settings)
    training = settings.training.model_copy(update={"trials": 99})
    other_budget = Job("daily", Platform.TIKTOK, DAY, settings.model_copy(update={"training": training}))
    assert len({job.key, other_day.key, other_budget.key}) == 3


def _broken(_: Job) -> Outcome:
    raise ValueError("broken")
