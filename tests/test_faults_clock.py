"""Clocks: nights of daylight saving, leap seconds and years, sources ahead of time, machines far from UTC."""

import hashlib
import json
import re
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from features.errors import ClipcastError
from features.parsing import CLOCKS_DIFFER
from features.reading import read_posts
from features.schema import IMPORT
from features.sources import import_file
from features.store import Store
from flows import cli
from flows.job import logical_date
from tests.faults_world import DAY, Workspace, hostile_posts, hostile_workspace, write_rows
from tests.faults_world import ROW as EARLIER

ROW = {**EARLIER, "observed_at": "2026-04-15T00:00:00Z"}

# New York left standard time at 07:00 UTC on 2026-03-08 and returns to it at 06:00 UTC on 2026-11-01.
SWITCHES = {
    "2026-03-08T01:59:59-05:00": "2026-03-08T06:59:59",
    "2026-03-08T03:00:00-04:00": "2026-03-08T07:00:00",
    "2026-03-08T02:30:00-05:00": "2026-03-08T07:30:00",  # a local time that no clock there showed, but a moment
    "2025-11-02T01:30:00-04:00": "2025-11-02T05:30:00",
    "2025-11-02T01:30:00-05:00": "2025-11-02T06:30:00",
    "2026-03-29T01:59:59+01:00": "2026-03-29T00:59:59",
    "2026-03-29T03:00:00+02:00": "2026-03-29T01:00:00",
    "2026-03-08T12:15:00+05:30": "2026-03-08T06:45:00",
    "2026-03-08T23:59:59+14:00": "2026-03-08T09:59:59",
    "2026-03-08T00:00:00-12:00": "2026-03-08T12:00:00",
}
LEAPS = {
    "2016-12-31T23:59:60Z": "2017-01-01T00:00:00",
    "2016-12-31T18:59:60-05:00": "2017-01-01T00:00:00",
    "2015-06-30T23:59:60.25Z": "2015-07-01T00:00:00.250000",
    "2024-02-29T23:59:59Z": "2024-02-29T23:59:59",
    "2024-03-01T00:30:00+01:00": "2024-02-29T23:30:00",
}
NO_TIMES = (
    "2023-02-29T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2016-12-31T23:59:61Z",
    "2016-12-31T23:60:00Z",
    "2016-12-31T24:00:00Z",
    "2026-03-08T02:30:00",
    "2026-03-08T02:30:00 EST",
    "2026-03-08T02:30:00+25:00",
)


def read(path, **change):
    """Read a good row, and rows with one value changed each."""
    [(name, values)] = change.items()
    rows = [{**ROW, "post_id": str(number), name: value} for number, value in enumerate(values)]
    return read_posts(
        write_rows(path / "posts.csv", [*rows, *[{**ROW, "post_id": f"good{n}"} for n in range(len(rows))]])
    )


@pytest.mark.parametrize("times", [SWITCHES, LEAPS])
def test_a_moment_is_the_same_moment_in_every_zone_and_through_every_switch(tmp_path, times):
    frame = read(tmp_path, published_at=times).frame()
    moments = [moment.replace(tzinfo=None).isoformat() for moment in frame["published_at"]]
    assert moments[: len(times)] == list(times.values())


def test_times_that_do_not_exist_or_could_be_any_are_set_aside(tmp_path):
    reading = read(tmp_path, published_at=NO_TIMES)
    assert reading.frame().height == len(NO_TIMES)
    rejects = reading.rejects()
    assert rejects["published_at"].to_list() == list(NO_TIMES)
    assert {reason[:28] for reason in rejects["reason"]} == {"is not a time with its zone,"}


def test_a_source_ahead_of_the_clock_is_set_aside(tmp_path):
    now = datetime.now(UTC)
    ahead = now + CLOCKS_DIFFER + timedelta(minutes=5)
    reading = read(tmp_path, observed_at=[ahead.isoformat(), (ahead + timedelta(days=400)).isoformat()])
    assert reading.frame().height == 2
    for reason in reading.rejects()["reason"]:
        assert reason == "lies in the future: it is ahead of this machine's clock"


def test_rejects_of_the_future_are_kept_once_however_often_the_file_is_imported(tmp_path, monkeypatch):
    now = datetime.now(UTC)
    path = write_rows(tmp_path / "posts.csv", [ROW, {**ROW, "observed_at": (now + timedelta(days=2)).isoformat()}])

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return (now + timedelta(minutes=5)).astimezone(tz)

    for _ in range(2):
        import_file(path, "mine", Store(tmp_path / "data"), tmp_path / "rejects")
        monkeypatch.setattr("features.reading.datetime", Later)
    assert len(list((tmp_path / "rejects").iterdir())) == 1


def test_a_source_a_little_ahead_and_a_post_planned_for_next_year_are_read(tmp_path):
    now = datetime.now(UTC)
    assert read(tmp_path, observed_at=[(now + CLOCKS_DIFFER / 2).isoformat()]).frame().height == 2
    planned = {**ROW, "published_at": (now + timedelta(days=365)).isoformat(), "observed_at": ""}
    path = write_rows(tmp_path / "drafts.csv", [planned])
    assert read_posts(path, for_prediction=True).frame().height == 1


def test_what_was_set_aside_as_future_goes_in_when_its_time_has_come(tmp_path, monkeypatch):
    ahead = datetime.now(UTC) + timedelta(days=2)
    path = write_rows(tmp_path / "posts.csv", [ROW, {**ROW, "observed_at": ahead.isoformat()}])
    store = Store(tmp_path / "data")
    assert store.append(read_posts(path), "default").observations == 1

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return ahead.astimezone(tz)

    monkeypatch.setattr("features.reading.datetime", Later)
    assert store.append(read_posts(path), "default").observations == 1


def test_a_logical_date_is_a_day_in_utc_that_has_begun():
    today = datetime.now(UTC).date()
    assert logical_date(None) == logical_date(today.isoformat()) == logical_date(today) == today
    assert logical_date("2024-02-29") == date(2024, 2, 29)
    for given in ("2023-02-29", "tomorrow", "2026-13-01"):
        with pytest.raises(ClipcastError, match="is no date; write it as 20"):
            logical_date(given)
    with pytest.raises(ClipcastError, match=f"has not begun: in UTC it is {today}"):
        logical_date(today + timedelta(days=1))


@pytest.mark.parametrize("command", [["run", "daily"], ["run", "weekly"], ["run", "monthly"], ["backtest"]])
def test_a_run_for_a_day_to_come_is_refused_before_it_starts(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setenv("CLIPCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLIPCAST_DATA", str(tmp_path / "w" / "data"))
    Store(tmp_path / "w" / "data").append(read_posts(write_rows(tmp_path / "posts.csv", [ROW])), "default")
    monkeypatch.setattr(sys, "argv", ["clipcast", *command, "--date", "2099-12-31"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: the date 2099-12-31 has not begun")
    assert not (tmp_path / "home" / "prefect").exists()


def test_an_import_is_the_same_in_every_zone_byte_for_byte(tmp_path):
    times = {**SWITCHES, **LEAPS}
    rows = [{**ROW, "post_id": str(number), "published_at": time} for number, time in enumerate(times)]
    stores = []
    for zone in ("UTC", "Asia/Kolkata"):
        folder = tmp_path / zone.replace("/", "-")
        folder.mkdir()
        workspace = Workspace(folder)
        told = workspace.clipcast("import", write_rows(folder / "posts.csv", rows), zone=zone)
        stores.append((told.stdout, files_of(workspace.data)))
    assert stores[0] == stores[1]
    assert len(stores[0][1]) == 3


def files_of(folder):
    """The hash of every file below a folder by its name there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def without_moments(text):
    """A command's answer without what tells one run from another: times, ages and ids of runs."""
    return re.sub(
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.+]*|\"run_key\": \"[^\"]*\"|\"(age_days|\w+_s)\": [\d.]+", "", text
    )


@pytest.mark.soak
def test_features_and_models_are_the_same_in_every_zone_byte_for_byte(tmp_path):
    """The posts are of the spring in which clocks went forward, and carry the offsets of New York."""
    path = write_rows(tmp_path / "posts.csv", hostile_posts().to_dicts(), IMPORT)
    Store(tmp_path / "data").append(read_posts(path), "strangers")
    made = []
    for zone in ("UTC", "America/New_York"):
        folder = tmp_path / zone[:3]
        folder.mkdir()
        for stage in ("featurize", "train"):
            Workspace(tmp_path).clipcast("stage", stage, zone=zone, cwd=folder)
        made.append(files_of(folder))
    assert made[0] == made[1]
    assert len(made[0]) > 20


@pytest.mark.soak
def test_a_week_is_the_same_on_a_machine_far_from_utc(hostile_week, tmp_path):
    away = hostile_workspace(tmp_path, "America/New_York")
    assert files_of(away.data) == files_of(hostile_week.data)
    assert bundles(away) == bundles(hostile_week)
    assert {row["logical_date"] for row in away.json("history")["ledger"]} == {DAY}
    for name, rows in (("status", "models"), ("history", "ledger")):
        found, expected = (in_order(each.json(name)[rows]) for each in (away, hostile_week))
        assert without_moments(json.dumps(found)) == without_moments(json.dumps(expected))


def in_order(rows):
    """Rows by model: platforms run side by side, and which of them is first is nobody's choice."""
    return [{**row, "id": None} for row in sorted(rows, key=lambda row: row["model"])]


def bundles(workspace):
    """The published bundles: the hash of each names its bytes."""
    found = files_of(workspace.home / "bundles")
    assert found
    return found
