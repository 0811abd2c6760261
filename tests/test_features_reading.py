import csv
import gzip
import io
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.errors import ImportFileError
from features.reading import REJECTS, read_posts, rejects_name
from features.schema import IMPORT, OPTIONAL, OUTCOMES

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "posts"

ROW = {
    "platform": "tiktok",
    "post_id": "p1",
    "account_id": "a1",
    "published_at": "2026-01-31T12:00:00Z",
    "observed_at": "2026-02-04T12:00:00Z",
    "media_type": "video",
    "caption": "a cat",
    "duration_s": "12.5",
    "sound_id": "s1",
    "followers": "1000",
    "views": "50",
    "likes": "5",
    "comments": "1",
    "shares": "0",
    "saves": "",
}


def text_of(rows: Sequence[Mapping[str, str]], columns: Sequence[str] = tuple(ROW)) -> str:
    file = io.StringIO()
    # With "\n" alone a carriage return would stand unquoted, which no reader can tell from the end of a line.
    writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def csv_file(folder: Path, *changes: Mapping[str, str], columns: Sequence[str] = tuple(ROW)) -> Path:
    """A file of one row per change to `ROW`, numbered so that no two are equal."""
    path = folder / "posts.csv"
    rows = [{**ROW, "post_id": f"p{number}", **change} for number, change in enumerate(changes)]
    path.write_text(text_of(rows, columns), encoding="utf-8", newline="")
    return path


def among_good(folder: Path, change: Mapping[str, str]) -> Path:
    """A file in which the third row differs."""
    return csv_file(folder, {}, {}, change, {})


def reason_for(path: Path) -> tuple[int, str | None, str]:
    reading = read_posts(path)
    rows = sum(chunk.height for chunk in reading)
    assert (rows, reading.accepted, reading.rejected) == (3, 3, 1)
    row, column, reason = reading.rejects().select("row", "column", "reason").row(0)
    return row, column, reason


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    frame = read_posts(csv_file(tmp_path, {})).frame()
    assert dict(frame.schema) == dict(IMPORT)
    row = frame.row(0, named=True)
    assert row["published_at"] == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert (row["views"], row["duration_s"], row["caption"]) == (50, 12.5, "a cat")


def test_empty_stays_unknown(tmp_path: Path) -> None:
    row = read_posts(csv_file(tmp_path, {"caption": "", "views": "", "duration_s": ""})).frame().row(0, named=True)
    assert [row[name] for name in ("caption", "views", "duration_s", "saves", *OPTIONAL)] == [None] * 9


def test_optional_columns_are_read_where_they_are(tmp_path: Path) -> None:
    path = csv_file(tmp_path, {"format": "short", "language": "da"}, columns=[*ROW, "language", "format"])
    row = read_posts(path).frame().row(0, named=True)
    assert (row["format"], row["language"], row["country"]) == ("short", "da", None)


@pytest.mark.parametrize("text", ["007", "1e5", "NaN", "null", "true", "1.0", " x ", "=1+1", "2026-01-31"])
def test_ids_and_captions_are_never_interpreted(tmp_path: Path, text: str) -> None:
    path = csv_file(tmp_path, dict.fromkeys(("post_id", "account_id", "caption", "sound_id"), text))
    row = read_posts(path).frame().row(0, named=True)
    assert [row[name] for name in ("post_id", "account_id", "caption", "sound_id")] == [text] * 4


@pytest.mark.parametrize(("text", "count"), [("35247.0", 35247), ("1e3", 1000), ("9007199254740993", 2**53 + 1)])
def test_counts_may_be_spelled_as_other_tools_spell_them(tmp_path: Path, text: str, count: int) -> None:
    assert read_posts(csv_file(tmp_path, {"views": text})).frame()["views"].to_list() == [count]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00+00:00",
        "2026-01-31T14:00:00+02:00",
        "2026-01-31 12:00:00+00:00",
        "2026-01-31T12:00:00.000Z",
        "2026-01-31T06:30:00-0530",
    ],
)
def test_times_of_any_zone_become_utc(tmp_path: Path, text: str) -> None:
    frame = read_posts(csv_file(tmp_path, {"published_at": text})).frame()
    assert frame["published_at"].to_list() == [datetime(2026, 1, 31, 12, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("published_at", "2026-01-31T12:00:00", "is not a time with its zone"),
        ("published_at", "yesterday", "is not a time with its zone"),
        ("observed_at", "2026-02-30T12:00:00Z", "is not a time with its zone"),
        ("published_at", "1970-01-01T00:00:00Z", "lies outside the years"),
        ("published_at", "2026-02-04T12:00:01Z", "is after observed_at"),
        ("observed_at", "", "is empty"),
        ("published_at", "", "is empty"),
        ("post_id", "", "is empty"),
        ("account_id", "   ", "is empty"),
        ("platform", "", "is empty"),
        ("views", "-1", "is negative"),
        ("followers", "many", "is not a whole number"),
        ("likes", "1.5", "is not a whole number"),
        ("likes", "nan", "is not a whole number"),
        ("shares", "99999999999999999999", "is not a whole number"),
        ("comments", "1,000", "is not a whole number"),
        ("comments", "9007199254740993.0", "is not a whole number"),
        ("duration_s", "inf", "is not a number"),
        ("duration_s", "-3", "is negative"),
    ],
)
def test_one_bad_row_is_set_aside_with_its_number_and_reason(
    tmp_path: Path, column: str, text: str, reason: str
) -> None:
    row, at, why = reason_for(among_good(tmp_path, {column: text}))
    assert (row, at) == (3, column)
    assert reason in why


def test_a_format_is_short_or_long(tmp_path: Path) -> None:
    changes = [{"format": "short"}, {"format": "long"}, {"format": "medium"}, {"format": ""}]
    row, column, reason = reason_for(csv_file(tmp_path, *changes, columns=[*ROW, "format"]))
    assert (row, column, reason) == (3, "format", "is neither short nor long")


def test_the_first_thing_wrong_with_a_row_is_told(tmp_path: Path) -> None:
    _, column, _ = reason_for(among_good(tmp_path, {"views": "-1", "likes": "-1", "observed_at": "never"}))
    assert column == "observed_at"


def test_a_row_of_another_width_is_set_aside(tmp_path: Path) -> None:
    path = csv_file(tmp_path, {}, {}, {})
    lines = path.read_text(encoding="utf-8").splitlines()
    lines.insert(3, "tiktok,p9,a1")
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    row, column, reason = reason_for(path)
    assert (row, column, reason) == (3, None, "3 values where the header has 15")


def test_rows_after_one_of_another_width_keep_their_number(tmp_path: Path) -> None:
    path = csv_file(tmp_path, *[{}] * 6, {"views": "-1"})
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = "too,short"
    lines[4] += ",too long"
    path.write_text("\n".join(["", *lines[:3], "", *lines[3:], ""]), encoding="utf-8")
    reading = read_posts(path)
    assert reading.frame()["post_id"].to_list() == ["p0", "p2", "p4", "p5"]
    assert reading.rejects()["row"].to_list() == [2, 4, 7]


def test_bytes_that_are_not_utf8_are_set_aside(tmp_path: Path) -> None:
    path = among_good(tmp_path, {"caption": "caf\udce9"[:3] + "?"})
    path.write_bytes(path.read_bytes().replace(b"caf?", b"caf\xe9"))
    row, column, reason = reason_for(path)
    assert (row, column, reason) == (3, None, "holds bytes that are not UTF-8")


@pytest.mark.parametrize("separator", ["", ", "])
def test_a_quote_closed_only_in_a_later_row_swallows_nothing_in_silence(tmp_path: Path, separator: str) -> None:
    captions = [f"caption{separator} {number}" for number in range(8)]
    path = csv_file(tmp_path, *[{"caption": "CAPTION"} for _ in captions])
    text = path.read_text(encoding="utf-8")
    for caption in captions:
        text = text.replace("CAPTION", f'"{caption}"', 1)
    path.write_text(text.replace(f'"{captions[2]}"', f'"{captions[2]}'), encoding="utf-8")
    reading = read_posts(path)
    frame = reading.frame()
    assert set(frame["caption"]) <= set(captions)
    assert all(f"p{number}" in "".join(frame["post_id"]) for number in (0, 1, 5, 6, 7))
    assert "a quote is not closed" in reading.rejects()["reason"][0]


@pytest.mark.parametrize("caption", ['"a cat', "a cat"])
def test_a_quote_that_is_never_closed_refuses_the_file(tmp_path: Path, caption: str) -> None:
    path = csv_file(tmp_path, *[{}] * 6)
    text = path.read_text(encoding="utf-8")
    where = text.index("a cat", text.index("p2"))
    closed_by_the_end = text[:where] + '"' + text[where:]
    in_the_last_column = text[: text.rindex("p5")] + text[text.rindex("p5") :].rstrip("\n") + '"9\n'
    path.write_text(closed_by_the_end if caption.startswith('"') else in_the_last_column + text, encoding="utf-8")
    with pytest.raises(ImportFileError, match="never closed"):
        read_posts(path).frame()


def test_captions_may_hold_rows_of_their_own(tmp_path: Path) -> None:
    captions = [
        "two\nlines",
        'she said "no", twice',
        "a,b,c\n" * 9,
        "line\r\nend",
        "#fyp 😅 ü",
        "Follow:\ntiktok, youtube,\nx",
    ]
    path = csv_file(tmp_path, *[{"caption": caption} for caption in captions])
    assert read_posts(path).frame()["caption"].to_list() == captions


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    captions=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_pythons_csv_writes_is_read_back(tmp_path: Path, captions: list[str]) -> None:
    path = csv_file(tmp_path, *[{"caption": caption, "sound_id": caption} for caption in captions])
    frame = read_posts(path).frame()
    assert frame["caption"].to_list() == captions
    assert frame["sound_id"].to_list() == captions


def test_csv_gzip_and_parquet_say_the_same(tmp_path: Path) -> None:
    path = csv_file(tmp_path, {}, {"caption": "x\ny"}, {"views": ""})
    plain = read_posts(path).frame()
    packed = tmp_path / "posts.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    plain.write_parquet(tmp_path / "posts.parquet")
    assert read_posts(packed).frame().equals(plain)
    assert read_posts(tmp_path / "posts.parquet").frame().equals(plain)


def test_parquet_may_come_from_other_tools(tmp_path: Path) -> None:
    frame = read_posts(csv_file(tmp_path, {}, {}, {"views": ""})).frame().drop(*OPTIONAL)
    path = tmp_path / "posts.parquet"
    copenhagen = pl.Datetime("ns", "Europe/Copenhagen")
    frame.with_columns(
        pl.col("platform", "media_type").cast(pl.Categorical),
        pl.col("views").cast(pl.Float64).fill_null(float("nan")),
        pl.col("followers").cast(pl.Int32),
        pl.col("published_at").dt.convert_time_zone("Europe/Copenhagen").cast(copenhagen),
        pl.col("observed_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        pl.lit(None).alias("sound_id"),
    ).write_parquet(path)
    expected = (
        read_posts(csv_file(tmp_path, {}, {}, {"views": ""}))
        .frame()
        .with_columns(pl.lit(None, dtype=pl.String).alias("sound_id"))
    )
    assert read_posts(path).frame().equals(expected)


def test_parquet_of_a_wrong_type_is_refused(tmp_path: Path) -> None:
    frame = read_posts(csv_file(tmp_path, {})).frame()
    path = tmp_path / "posts.parquet"
    frame.with_columns(
        pl.col("published_at").dt.replace_time_zone(None),
        pl.lit(7).alias("post_id"),
        pl.lit(True).alias("views"),
    ).write_parquet(path)
    with pytest.raises(ImportFileError, match=r"published_at.*time with its zone.*|post_id.*text") as refusal:
        read_posts(path)
    assert all(name in str(refusal.value) for name in ("post_id", "published_at", "views"))


def test_a_bad_value_in_parquet_sets_one_row_aside(tmp_path: Path) -> None:
    frame = read_posts(csv_file(tmp_path, {}, {}, {}, {})).frame()
    path = tmp_path / "posts.parquet"
    third = pl.int_range(pl.len()) == 2
    frame.with_columns(pl.when(third).then(-5).otherwise("views").alias("views")).write_parquet(path)
    assert reason_for(path) == (3, "views", "is negative")


def test_unknown_and_missing_columns_are_named_with_the_nearest(tmp_path: Path) -> None:
    columns = [name if name != "views" else "view" for name in ROW]
    with pytest.raises(ImportFileError, match=r"unknown column 'view' \(did you mean 'views'\?\).*'views' is missing"):
        read_posts(csv_file(tmp_path, {"view": "1"}, columns=columns))


def test_a_column_may_not_appear_twice(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="'likes' appears twice"):
        read_posts(csv_file(tmp_path, {}, columns=[*ROW, "likes"]))


def test_an_unknown_platform_refuses_the_file(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"row 3, column platform: .*'Tik Tok'; did you mean 'tiktok'"):
        read_posts(among_good(tmp_path, {"platform": "Tik Tok"})).frame()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("posts.csv", b"", "empty"),
        ("posts.csv", text_of([]).encode(), "holds no rows"),
        ("posts.csv", b";".join(name.encode() for name in ROW) + b"\n", "separated by ';'"),
        ("posts.csv", text_of([ROW]).encode("utf-16"), "not UTF-8"),
        ("posts.csv", gzip.compress(b"x", mtime=0), "the content is gzip"),
        ("posts.csv.gz", text_of([ROW]).encode(), "the content is CSV"),
        ("posts.csv.gz", gzip.compress(b"", mtime=0), "holds no rows"),
        ("posts.csv.gz", gzip.compress(text_of([ROW] * 999).encode())[:-9], "cut short"),
        ("posts.csv.gz", gzip.compress(text_of([ROW]).encode())[:-8] + b"\0" * 8, "broken"),
        ("posts.parquet", b"PAR1 and no more", "cannot be parsed|broken"),
        ("posts.xlsx", b"PK", "not a kind of file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=reason) as refusal:
        read_posts(path).frame()
    assert str(refusal.value).startswith(f"{path}: ")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="no such file"):
        read_posts(tmp_path / "posts.csv")


def test_a_mark_of_byte_order_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text(text_of([ROW]), encoding="utf-8-sig")
    assert read_posts(path).frame().height == 1


def test_a_file_of_mostly_bad_rows_is_refused(tmp_path: Path) -> None:
    reading = read_posts(csv_file(tmp_path, {}, {"views": "x"}, {"views": "-2"}))
    with pytest.raises(ImportFileError, match=r"2 of 3 rows .* row 2, column views: is not a whole number \('x'\)"):
        reading.frame()


def test_half_of_the_rows_may_be_bad(tmp_path: Path) -> None:
    reading = read_posts(csv_file(tmp_path, {}, {"views": "x"}))
    assert reading.frame().height == reading.rejected == 1


def test_rejects_are_written_with_their_raw_values(tmp_path: Path) -> None:
    path = csv_file(tmp_path, {}, {}, {}, {"views": "-1", "caption": "one\ntwo"}, {"likes": "x"})
    reading = read_posts(path)
    reading.frame()
    reading.write_rejects(tmp_path / "rejects" / "posts.csv")
    written = pl.read_csv(tmp_path / "rejects" / "posts.csv", infer_schema=False)
    assert written.columns == list(REJECTS)
    assert written["row"].to_list() == ["4", "5"]
    assert written["views"].to_list() == ["-1", "50"]
    assert written["caption"].to_list() == ["one\ntwo", "a cat"]


def test_posts_to_predict_need_no_outcomes(tmp_path: Path) -> None:
    columns = [name for name in ROW if name not in {*OUTCOMES, "observed_at"}]
    path = csv_file(tmp_path, {}, {}, columns=columns)
    frame = read_posts(path, for_prediction=True).frame()
    assert dict(frame.schema) == dict(IMPORT)
    assert frame.select("observed_at", *OUTCOMES).null_count().row(0) == (2,) * 6
    with pytest.raises(ImportFileError, match="'observed_at' is missing"):
        read_posts(path)


def test_posts_to_predict_may_leave_outcomes_empty_but_not_the_time(tmp_path: Path) -> None:
    blank = dict.fromkeys((*OUTCOMES, "observed_at"), "")
    reading = read_posts(csv_file(tmp_path, blank, blank, blank | {"published_at": ""}), for_prediction=True)
    assert reading.frame().height == 2
    assert reading.rejects().select("row", "column", "reason").row(0) == (3, "published_at", "is empty")


def test_a_file_is_read_in_chunks_that_keep_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.raw_csv.BLOCK_BYTES", 700)
    monkeypatch.setattr("features.reading.CHUNK_ROWS", 10)
    shares: list[float] = []
    changes = [{"views": "-1"} if number % 7 == 3 else {"caption": "x\ny"} for number in range(200)]
    reading = read_posts(csv_file(tmp_path, *changes), progress=shares.append)
    chunks = list(reading)
    assert len(chunks) > 5
    expected = [number for number in range(200) if number % 7 != 3]
    assert pl.concat(chunks)["post_id"].to_list() == [f"p{number}" for number in expected]
    assert reading.rejects()["row"].to_list() == [number + 1 for number in range(200) if number % 7 == 3]
    assert shares == sorted(shares)
    assert 0.8 < shares[-1] <= 1


def test_leaving_a_file_half_read_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    row = text_of([ROW]).splitlines()[1]
    path.write_text(text_of([]) + f"{row}\ntoo,short\n" * 100_000, encoding="utf-8")
    program = f"from features.reading import read_posts; next(iter(read_posts({str(path)!r}))); raise SystemExit(7)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (7, b"")


def test_a_reading_is_one_pass(tmp_path: Path) -> None:
    reading = read_posts(csv_file(tmp_path, {}))
    reading.frame()
    with pytest.raises(RuntimeError, match="already read"):
        reading.frame()


def test_a_long_name_is_cut_between_characters() -> None:
    for number in range(2):
        name = rejects_name("mine", Path("x" * number + "é" * 100))
        assert len(name.encode()) < 200


def test_a_zone_ahead_of_utc_may_put_publication_after_observation(tmp_path: Path) -> None:
    ahead = datetime(2026, 2, 4, 13, tzinfo=timezone(timedelta(hours=2))).isoformat()
    frame = read_posts(csv_file(tmp_path, {"published_at": ahead})).frame()
    assert frame["published_at"].to_list() == [datetime(2026, 2, 4, 11, tzinfo=UTC)]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real posts in ../shared/data/posts are not here")
@pytest.mark.parametrize(
    ("name", "accepted", "rejected"),
    [("instagram", 34618, 0), ("tiktok", 5954, 85), ("tiktok_hits", 12511, 0), ("youtube", 11017, 0)],
)
def test_the_real_posts_are_read(name: str, accepted: int, rejected: int) -> None:
    reading = read_posts(REAL / f"{name}.csv.gz")
    frame = reading.frame()
    assert (frame.height, reading.rejected) == (accepted, rejected)
    assert set(reading.rejects()["reason"]) <= {"is after observed_at"}
