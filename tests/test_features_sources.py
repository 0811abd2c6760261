from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from features.errors import ImportFileError
from features.schema import IMPORT, OPTIONAL
from features.sources import Inbox, collect, import_file
from features.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)


def frame(*names: str, days: float = 4) -> pl.DataFrame:
    rows = [
        {
            "platform": "tiktok",
            "post_id": name,
            "account_id": "a",
            "published_at": START,
            "observed_at": START + timedelta(days=days),
            "views": 5,
        }
        for name in names
    ]
    return pl.DataFrame(rows, schema=dict(IMPORT))


def drop(path: Path, rows: pl.DataFrame) -> Path:
    """Put a file of posts into a folder, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.drop(*OPTIONAL).write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


class Made:
    """A source of frames that were made beforehand."""

    name = "made"

    def __init__(self, *frames: pl.DataFrame) -> None:
        self._frames = frames

    def fetch(self, since: datetime | None) -> Iterator[pl.DataFrame]:
        for rows in self._frames:
            yield rows if since is None else rows.filter(pl.col("observed_at") > since)


def test_what_a_source_yields_is_stored_under_its_name(store: Store) -> None:
    collected = collect(Made(frame("p", "q"), frame("p", days=9)), store, since=START + timedelta(days=5))
    assert (collected.source, collected.error) == ("made", None)
    assert collected.appended is not None
    assert collected.appended.observations == 1
    assert store.sources("tiktok") == ["made"]


def test_a_source_that_fails_is_reported(store: Store) -> None:
    collected = collect(Made(frame("p"), frame("q").drop("views")), store)
    assert collected.appended is None
    assert "not in the import format" in (collected.error or "")
    assert store.manifest().parts == ()


def test_rows_set_aside_are_shown_in_a_file(tmp_path: Path, store: Store) -> None:
    good, bad = frame("p", "q"), frame("r").with_columns(views=-1)
    path = drop(tmp_path / "posts.csv", pl.concat([good, bad.cast({"views": pl.Int64})]))
    shares: list[float] = []
    collected = import_file(path, "mine", store, tmp_path / "rejects", shares.append)
    assert collected.rejected == 1
    assert collected.rejects == tmp_path / "rejects" / "mine-posts.csv.rejected.csv"
    assert collected.rejects is not None
    assert pl.read_csv(collected.rejects)["post_id"].to_list() == ["r"]
    assert shares


def test_a_clean_file_leaves_no_file_of_rejects(tmp_path: Path, store: Store) -> None:
    collected = import_file(drop(tmp_path / "posts.csv", frame("p")), "mine", store, tmp_path / "rejects")
    assert collected.rejects is None
    assert not (tmp_path / "rejects").exists()


def test_a_file_that_turns_out_unusable_brings_nothing(tmp_path: Path, store: Store) -> None:
    path = drop(tmp_path / "posts.csv", pl.concat([frame("p"), frame("q").with_columns(platform=pl.lit("x"))]))
    with pytest.raises(ImportFileError, match="unknown platform 'x'"):
        import_file(path, "mine", store, tmp_path / "rejects")
    assert store.manifest().parts == ()


def test_an_inbox_that_is_not_there_is_empty(tmp_path: Path, inbox: Inbox, store: Store) -> None:
    assert inbox.collect(store, tmp_path / "rejects") == []


def test_files_are_stored_under_their_folder_and_moved_away(tmp_path: Path, inbox: Inbox, store: Store) -> None:
    drop(inbox.folder / "one" / "monday.csv", frame("p"))
    drop(inbox.folder / "one" / "tuesday.csv", frame("p", "q"))
    drop(inbox.folder / "two" / "monday.csv", frame("p"))
    collected = inbox.collect(store, tmp_path / "rejects")
    assert [item.source for item in collected] == ["one", "one", "two"]
    assert [item.appended.posts for item in collected if item.appended] == [1, 1, 1]
    assert store.sources("tiktok") == ["one", "two"]
    assert (inbox.folder / "done" / "one" / "monday.csv").is_file()
    assert inbox.files() == []
    assert inbox.collect(store, tmp_path / "rejects") == []


def test_a_file_that_fails_stays_and_hinders_no_other(tmp_path: Path, inbox: Inbox, store: Store) -> None:
    broken = drop(inbox.folder / "one" / "a.csv", frame("p").rename({"views": "view"}))
    drop(inbox.folder / "one" / "b.csv", frame("p"))
    refused = drop(inbox.folder / "No Source" / "c.csv", frame("p"))
    collected = inbox.collect(store, tmp_path / "rejects")
    errors = {Path(item.origin).name: item.error or "" for item in collected}
    assert "did you mean 'views'" in errors["a.csv"]
    assert "small letters" in errors["c.csv"]
    assert errors["b.csv"] == ""
    assert (broken.is_file(), refused.is_file()) == (True, True)
    assert store.sources("tiktok") == ["one"]


def test_files_still_being_written_are_left_alone(tmp_path: Path, inbox: Inbox, store: Store) -> None:
    drop(inbox.folder / "one" / ".posts.csv", frame("p"))
    drop(inbox.folder / "one" / "posts.csv.part", frame("p"))
    assert inbox.collect(store, tmp_path / "rejects") == []


def test_a_second_file_of_one_name_replaces_none(tmp_path: Path, inbox: Inbox, store: Store) -> None:
    for name in ("p", "q", "r"):
        drop(inbox.folder / "one" / "posts.csv", frame(name))
        inbox.collect(store, tmp_path / "rejects")
    done = sorted(path.name for path in (inbox.folder / "done" / "one").iterdir())
    assert done == ["2-posts.csv", "3-posts.csv", "posts.csv"]
    assert store.posts("tiktok").collect().height == 3
