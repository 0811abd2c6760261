import json
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.errors import LockedError, SchemaError, StoreError
from features.manifest import read_manifest
from features.reading import read_posts
from features.schema import IMPORT, OBSERVATION, POST, Platform
from features.store import Store, locked

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "posts"
START = datetime(2026, 1, 1, tzinfo=UTC)


def look(post: str, day: float, views: int | None = 1, **values: object) -> dict[str, object]:
    """One row of the import format: what was seen of a post so many days after its publication."""
    row = {
        "platform": "tiktok",
        "post_id": post,
        "account_id": "a",
        "published_at": START,
        "observed_at": START + timedelta(days=day),
        "media_type": "video",
        "views": views,
    }
    return row | values


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(IMPORT))


def world(count: int, platform: str = "tiktok") -> pl.DataFrame:
    return frame(*(look(f"p{n % 97}", n // 97, n, platform=platform) for n in range(count)))


def files(store: Store) -> dict[str, bytes]:
    return {str(p.relative_to(store.root)): p.read_bytes() for p in store.root.rglob("*") if p.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


def test_an_empty_store_answers_empty_tables(store: Store) -> None:
    assert store.platforms() == []
    assert store.manifest().parts == ()
    assert store.posts("tiktok").collect().height == 0
    assert set(store.observations("youtube").collect_schema()) == {*OBSERVATION, "source", "revision"}


def test_rows_come_back_as_they_were_given(store: Store) -> None:
    rows = world(300)
    appended = store.append([rows], "mine")
    assert (appended.posts, appended.observations, appended.duplicates) == (97, 300, 0)
    posts = store.posts("tiktok").collect()
    observations = store.observations("tiktok").collect()
    assert dict(posts.schema) == {**POST, "source": pl.String(), "revision": pl.Int32()}
    assert set(posts["source"]) == {"mine"}
    assert set(observations["revision"]) == {0}
    key = ["post_id", "observed_at"]
    assert observations.select(list(OBSERVATION)).sort(key).equals(rows.select(list(OBSERVATION)).sort(key))


def test_platforms_and_sources_are_kept_apart(store: Store) -> None:
    store.append([pl.concat([world(5), world(7, "youtube")])], "one")
    store.append([world(5)], "two")
    assert store.platforms() == [Platform.TIKTOK, Platform.YOUTUBE]
    assert store.sources("tiktok") == ["one", "two"]
    assert store.sources("instagram") == []
    assert store.posts("tiktok").collect()["source"].value_counts().height == 2
    assert store.observations("youtube").collect().height == 7


def test_appending_the_same_again_changes_nothing(store: Store) -> None:
    first = store.append([world(300)], "mine")
    before = files(store)
    again = store.append([world(300)], "mine")
    assert (again.posts, again.observations, again.duplicates) == (0, 0, 300)
    assert again.hash == first.hash
    assert files(store) == before


def test_nothing_appended_leaves_no_trace(store: Store) -> None:
    store.append([], "mine")
    store.append([frame()], "mine")
    assert files(store) == {}


def test_a_second_look_is_an_observation_and_no_second_post(store: Store) -> None:
    store.append([frame(look("p", 1, 10))], "mine")
    appended = store.append([frame(look("p", 1, 10), look("p", 2, 20))], "mine")
    assert (appended.posts, appended.observations, appended.duplicates) == (0, 1, 1)
    assert store.posts("tiktok").collect().height == 1


def test_a_contradiction_is_kept_and_the_earlier_row_stands(store: Store) -> None:
    store.append([frame(look("p", 1, 10))], "mine")
    appended = store.append([frame(look("p", 1, 11), look("p", 1, 10), look("p", 1, None))], "mine")
    assert (appended.observations, appended.contradictions, appended.duplicates) == (2, 2, 1)
    rows = store.observations("tiktok").select("views", "revision").sort("revision").collect()
    assert rows.rows() == [(10, 0), (11, 1), (None, 2)]


def test_rows_of_one_append_can_contradict_and_repeat_one_another(store: Store) -> None:
    chunk = frame(look("p", 1, 10), look("p", 1, 11), look("p", 1, 10), look("q", 1), look("p", 1, 12))
    appended = store.append([chunk, frame(look("p", 1, 11), look("p", 1, 13))], "mine")
    assert (appended.posts, appended.contradictions, appended.duplicates) == (2, 3, 2)
    rows = store.observations("tiktok").filter(pl.col("post_id") == "p").sort("revision").collect()
    assert rows["views"].to_list() == [10, 11, 12, 13]


def test_an_edited_caption_is_kept_beside_the_first(store: Store) -> None:
    store.append([frame(look("p", 1, caption="before"))], "mine")
    appended = store.append([frame(look("p", 2, caption="after"))], "mine")
    assert (appended.posts, appended.edits, appended.observations) == (0, 1, 1)
    rows = store.posts("tiktok").select("caption", "revision").sort("revision").collect()
    assert rows.rows() == [("before", 0), ("after", 1)]


def test_the_same_rows_in_the_same_order_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    rows = world(1000)
    one.append([rows], "mine")
    other.append([rows[:1], rows[1:500], rows[500:]], "mine")
    assert files(one) == files(other)
    assert one.manifest().hash == other.manifest().hash


def test_parts_are_cut_by_rows_and_not_by_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.parts.PART_ROWS", 100)
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    rows = world(950)
    one.append([rows], "mine")
    other.append([rows[start : start + 70] for start in range(0, 950, 70)], "mine")
    assert files(one) == files(other)
    parts = list(one.manifest().of("observations", "tiktok"))
    assert sorted(part.rows for part in parts) == [50] + [100] * 9
    assert one.observations("tiktok").collect().height == 950


def test_any_change_of_the_data_changes_the_hash(tmp_path: Path) -> None:
    hashes = {
        Store(tmp_path / str(number)).append([rows], source).hash
        for number, (rows, source) in enumerate(
            [
                (world(5), "a"),
                (world(5), "b"),
                (world(6), "a"),
                (frame(look("p0", 0, 9)), "a"),
                (frame(), "a"),
            ]
        )
    }
    assert len(hashes) == 5


rows_strategy = st.lists(
    st.builds(
        look,
        st.sampled_from(["p", "q", "r"]),
        st.integers(0, 3),
        st.one_of(st.none(), st.integers(0, 2)),
        caption=st.sampled_from([None, "a", "b"]),
        platform=st.sampled_from(["tiktok", "youtube"]),
    ),
    max_size=25,
)


def stored(store: Store) -> list[set[tuple[Any, ...]]]:
    """All that a store holds, but for the order in which it came."""
    return [
        set(table(platform).drop("revision").collect().rows())
        for table in (store.posts, store.observations)
        for platform in ("tiktok", "youtube")
    ]


@hypothesis_settings(max_examples=25)
@given(rows=rows_strategy, cut=st.integers(0, 25), order=st.randoms(use_true_random=False))
def test_the_set_of_rows_depends_on_neither_order_nor_chunks_nor_repetition(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], cut: int, order: Any
) -> None:
    folder = tmp_path_factory.mktemp("store")
    one, other = Store(folder / "one"), Store(folder / "other")
    one.append([frame(*rows)], "mine")
    shuffled = list(rows)
    order.shuffle(shuffled)
    other.append([frame(*shuffled[:cut]), frame(*shuffled[cut:])], "mine")
    again = other.append([frame(*rows)], "mine")
    assert stored(one) == stored(other)
    assert (again.posts, again.edits, again.observations) == (0, 0, 0)
    for store in (one, other):
        revisions = store.observations("tiktok").group_by("post_id", "observed_at").agg("revision").collect()
        assert all(sorted(found) == list(range(len(found))) for found in revisions["revision"])
    shutil.rmtree(folder)


def failing(chunks: Sequence[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    yield from chunks
    raise OSError("the disk is gone")


def test_an_append_that_fails_leaves_the_store_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.parts.PART_ROWS", 10)
    store.append([world(50)], "mine")
    before = files(store)
    with pytest.raises(OSError, match="the disk is gone"):
        store.append(failing([world(200)]), "mine")
    assert files(store) == before


def test_what_a_killed_append_left_is_ignored_and_removed_by_the_next(store: Store) -> None:
    store.append([world(50)], "mine")
    part = store.root / store.manifest().parts[0].path
    orphan = part.with_name("part-0123456789abcdef0123456789abcdef.parquet")
    half_written = part.with_name(".4711.tmp")
    shutil.copy(part, orphan)
    half_written.write_bytes(b"PAR1")
    kept = part.with_name("notes.txt")
    kept.write_text("not ours", encoding="utf-8")
    assert store.observations("tiktok").collect().height == 50
    store.append([world(60)], "mine")
    assert (orphan.exists(), half_written.exists(), kept.exists()) == (False, False, True)


def test_a_missing_part_is_told_with_the_way_back(store: Store) -> None:
    store.append([world(5)], "mine")
    (store.root / store.manifest().parts[0].path).unlink()
    for act in (store.verify, lambda: store.observations("tiktok"), lambda: store.append([world(6)], "mine")):
        with pytest.raises(StoreError, match=r"missing, .* dvc checkout"):
            act()


def test_verifying_finds_a_changed_byte(store: Store) -> None:
    store.append([world(5)], "mine")
    store.verify()
    part = store.root / store.manifest().parts[-1].path
    content = bytearray(part.read_bytes())
    content[40] ^= 1
    part.write_bytes(content)
    with pytest.raises(StoreError, match="content was changed"):
        store.verify()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content | {"format": 99}, "upgrade clipcast"),
        (lambda content: content | {"parts": content["parts"][1:]}, "hash does not match"),
        (lambda content: {"format": content["format"]}, "not a manifest"),
    ],
)
def test_a_manifest_that_was_tampered_with_is_refused(store: Store, change: Any, reason: str) -> None:
    store.append([world(5)], "mine")
    path = store.root / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    with pytest.raises(StoreError, match=reason):
        read_manifest(store.root)


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", "a=b", "ü", "a" * 65])
def test_a_source_needs_a_plain_name(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="small letters"):
        store.append([world(1)], name)


def test_only_whole_rows_of_the_import_format_are_stored(store: Store) -> None:
    with pytest.raises(SchemaError, match="views: Int64"):
        store.append([world(1).drop("views")], "mine")
    with pytest.raises(SchemaError, match="observed_at"):
        store.append([frame(look("p", 1, observed_at=None))], "mine")
    with pytest.raises(SchemaError, match="myspace"):
        store.append([world(1, "myspace")], "mine")
    assert files(store) == {}


def test_a_version_can_be_read_while_the_store_grows(store: Store) -> None:
    store.append([world(5)], "mine")
    manifest = store.manifest()
    store.append([world(50)], "mine")
    assert store.observations("tiktok", manifest).collect().height == 5
    assert store.observations("tiktok").collect().height == 50


def test_a_writer_gives_up_where_another_one_does_not_end(store: Store) -> None:
    with locked(store.root), pytest.raises(LockedError, match="another process"):
        store.append([world(1)], "mine", wait_s=0.05)


def append_in_process(root: Path, number: int) -> None:
    Store(root).append([frame(*(look(f"p{number}-{n}", 1) for n in range(20)))], "mine")


def test_writers_take_turns(tmp_path: Path) -> None:
    root = tmp_path / "data"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=append_in_process, args=(root, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert Store(root).observations("tiktok").collect().height == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == [".data.lock", "data"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real posts in ../shared/data/posts are not here")
def test_the_real_posts_are_stored_once(store: Store) -> None:
    first = store.append(read_posts(REAL / "tiktok.csv.gz"), "tiktok")
    assert (first.posts, first.observations, first.contradictions) == (3125, 5954, 0)
    again = store.append(read_posts(REAL / "tiktok.csv.gz"), "tiktok")
    assert (again.posts, again.observations, again.duplicates, again.hash) == (0, 0, 5954, first.hash)
    store.append(read_posts(REAL / "tiktok_hits.csv.gz"), "tiktok_hits")
    assert store.sources("tiktok") == ["tiktok", "tiktok_hits"]
