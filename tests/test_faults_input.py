"""Bad files and bad rows, given to the command as a person would give them, and data that tell next to nothing."""

import gzip
import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from features.simulate import World, simulate
from features.store import Store
from flows import cli
from tests.faults_world import ROW, Workspace, write_rows

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "posts"
GOOD = [{**ROW, "post_id": f"p{number}"} for number in range(12)]

BAD_ROWS = {
    "views": ("-1", "is negative"),
    "likes": ("many", "is not a whole number"),
    "duration_s": ("long", "is not a number"),
    "published_at": ("2026-01-31T12:00:00", "is not a time with its zone"),
    "observed_at": ("2026-01-30T12:00:00Z", "is after observed_at"),
    "account_id": ("", "is empty"),
    "caption": ("x" * 4_000_001, "is longer than 4,000,000 bytes"),
    "sound_id": ("x" * 4_097, "is longer than 4,096 bytes"),
}


@pytest.fixture
def clipcast(tmp_path, monkeypatch, capsys):
    """Run the command within this process, in an empty workspace."""
    monkeypatch.setenv("CLIPCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLIPCAST_DATA", str(tmp_path / "w" / "data"))
    monkeypatch.setattr("flows.importing.dvc_add", lambda *_: "0" * 32)  # takes a second, and is tested elsewhere

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["clipcast", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=told.out, err=told.err)

    return run


def text_of(rows, columns=tuple(ROW)):
    lines = [",".join(columns), *(",".join(row.get(name, "x") for name in columns) for row in rows)]
    return "\r\n".join([*lines, ""]).encode()


def parquet_of(rows, **types):
    file = io.BytesIO()
    pl.DataFrame(rows).cast(types).write_parquet(file)
    return file.getvalue()


def every(change):
    return [{**row, **change} for row in GOOD]


def third(change):
    return [{**row, **change} if number == 2 else row for number, row in enumerate(GOOD)]


UNKNOWN = [*ROW, "vievs"]
MISSING = [name for name in ROW if name != "account_id"]
BAD_FILES = {
    "an unknown column": ("p.csv", text_of(GOOD, UNKNOWN), "unknown column 'vievs' (did you mean 'views'?)"),
    "a missing column": ("p.csv", text_of(GOOD, MISSING), "column 'account_id' is missing"),
    "a missing column in parquet": (
        "p.parquet",
        parquet_of([{name: row[name] for name in MISSING} for row in GOOD]),
        "column 'account_id' is missing",
    ),
    "an unknown platform": (
        "p.csv",
        text_of(third({"platform": "tik-tok"})),
        "row 3, column platform: unknown platform 'tik-tok'; did you mean 'tiktok'",
    ),
    "negative counts": ("p.csv", text_of(every({"views": "-5"})), "row 1, column views: is negative ('-5')"),
    "a wrong type": ("p.csv", text_of(every({"followers": "ten"})), "row 1, column followers: is not a whole number"),
    "a wrong type in parquet": (
        "p.parquet",
        parquet_of([{**row, "views": True} for row in GOOD]),
        "column 'views' is Boolean, expected a number",
    ),
    "times without zone": (
        "p.csv.gz",
        gzip.compress(text_of(every({"published_at": "2026-01-31T12:00:00"}))),
        "row 1, column published_at: is not a time with its zone, as 2026-01-31T12:00:00Z",
    ),
    "posts published after they were observed": (
        "p.csv",
        text_of(every({"published_at": "2026-02-05T12:00:00Z"})),
        "row 1, column published_at: is after observed_at",
    ),
    "nothing": ("p.csv", b"", "the file is empty"),
    "no rows": ("p.csv", text_of([]), "the file holds no rows"),
    "a cut gzip": ("p.csv.gz", gzip.compress(text_of(GOOD * 99))[:-9], "broken or cut short"),
    "a cut parquet": ("p.parquet", parquet_of(GOOD)[:-9], "send the file again"),
    "a row too long to be one": (
        "p.csv",
        text_of(third({"caption": '"' + "x" * (9 << 20) + '"'})),
        "row 3, column caption: longer than 4 MiB",
    ),
    "a long row of values without quotes": (
        "p.csv",
        text_of(third({"sound_id": "x" * (9 << 20), "caption": '5" tall'})),
        "row 3, column sound_id: longer than 4 MiB",
    ),
}


@pytest.mark.parametrize("command", ["import", "predict"])
@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_file_is_refused_by_file_row_and_column_and_nothing_of_it_goes_in(clipcast, tmp_path, command, fault):
    name, content, words = BAD_FILES[fault]
    path = tmp_path / name
    path.write_bytes(content)
    told = clipcast(command, path, *(["--out", tmp_path / "out.csv"] if command == "predict" else []))
    assert told.code == 1
    assert told.err.startswith(f"error: {path}: ")
    assert words in told.err
    assert not Store(tmp_path / "w" / "data").manifest().parts
    assert not (tmp_path / "home" / "rejects").exists()
    assert not (tmp_path / "out.csv").exists()


def bad_and_good(folder, kind):
    """A file with one bad row of each kind behind two good ones, the rest good."""
    bad = [{**ROW, "post_id": f"bad{number}", name: BAD_ROWS[name][0]} for number, name in enumerate(BAD_ROWS)]
    rows = [*GOOD[:2], *bad, *GOOD[2:]]
    if kind == "parquet":
        path = folder / "posts.parquet"
        pl.DataFrame(rows).write_parquet(path)
        return path
    path = write_rows(folder / "posts.csv", rows)
    if kind == "csv":
        return path
    packed = folder / "posts.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_bad_rows_are_counted_aloud_and_set_aside_with_the_reason_and_the_rest_goes_in(clipcast, tmp_path, kind):
    path = bad_and_good(tmp_path, kind)
    told = clipcast("import", path, "--source", "mine")
    rejects = tmp_path / "home" / "rejects" / f"mine-posts.{kind}.rejected.csv"
    assert told.code == 0
    assert f"{path.name}: {len(GOOD)} new posts" in told.out
    assert f"{len(BAD_ROWS)} rows were set aside, each with the reason: {rejects}" in told.out
    written = pl.read_csv(rejects, infer_schema=False)
    assert written["row"].to_list() == [str(3 + number) for number in range(len(BAD_ROWS))]
    for (name, (value, reason)), row in zip(BAD_ROWS.items(), written.to_dicts(), strict=True):
        assert reason in row["reason"]
        assert row["column"] == ("published_at" if name == "observed_at" else name)
        assert (row[name] or "") == (f"{value[:1000]}…" if name == "caption" else value)
    kept = Store(tmp_path / "w" / "data").posts("tiktok").collect()
    assert sorted(kept["post_id"]) == sorted(row["post_id"] for row in GOOD)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_bad_rows_of_a_file_to_predict_are_counted_aloud_too(clipcast, tmp_path, kind):
    told = clipcast("predict", bad_and_good(tmp_path, kind), "--out", tmp_path / "out.csv")
    rejects = tmp_path / "home" / "rejects" / f"predict-posts.{kind}.rejected.csv"
    assert f"{len(BAD_ROWS)} rows were set aside, each with the reason: {rejects}" in told.out
    assert pl.read_csv(rejects, infer_schema=False).height == len(BAD_ROWS)
    assert "clipcast run weekly --platform tiktok" in told.err


def test_an_output_of_no_known_kind_is_refused_before_anything_is_read(clipcast, tmp_path):
    told = clipcast("predict", tmp_path / "no-such.csv", "--out", tmp_path / "out.xlsx")
    assert (told.code, "out.xlsx: forecasts are written as .csv or .parquet" in told.err) == (1, True)


def test_the_rejects_of_two_files_of_one_name_are_both_kept_and_those_of_one_file_once(clipcast, tmp_path):
    for folder, value in (("a", "-1"), ("b", "-2")):
        (tmp_path / folder).mkdir()
        path = write_rows(tmp_path / folder / "posts.csv", [*GOOD, {**ROW, "post_id": folder, "views": value}])
        clipcast("import", path)
        clipcast("import", path)
    found = sorted((tmp_path / "home" / "rejects").iterdir())
    assert [path.name for path in found] == ["2-default-posts.csv.rejected.csv", "default-posts.csv.rejected.csv"]
    assert [pl.read_csv(path, infer_schema=False)["views"].item() for path in found] == ["-2", "-1"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real posts in ../shared/data/posts are not here")
def test_the_real_posts_seen_before_their_publication_are_set_aside_and_the_others_go_in(clipcast, tmp_path):
    told = clipcast("import", REAL / "tiktok.csv.gz", "--source", "tiktok")
    assert "85 rows were set aside" in told.out
    rejects = pl.read_csv(tmp_path / "home" / "rejects" / "tiktok-tiktok.csv.gz.rejected.csv", infer_schema=False)
    assert rejects.height == 85
    assert set(rejects["reason"]) == {"is after observed_at"}
    store = Store(tmp_path / "w" / "data")
    assert store.observations("tiktok").collect().height == 5954


def test_the_same_ids_on_three_platforms_are_three_posts_of_three_accounts(clipcast, tmp_path):
    rows = [{**row, "platform": platform} for platform in ("tiktok", "instagram", "youtube") for row in GOOD]
    told = clipcast("import", write_rows(tmp_path / "posts.csv", rows))
    assert "36 new posts, 36 new observations\n" in told.out
    store = Store(tmp_path / "w" / "data")
    assert [store.posts(platform).collect().height for platform in store.platforms()] == [12, 12, 12]


PEAK = """
import sys
from pathlib import Path
from features.errors import ImportFileError
from features.reading import read_posts
from features.store import Store

def peak_mib():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) >> 10

before = peak_mib()
try:
    reading = read_posts(sys.argv[1])
    Store(Path(sys.argv[2])).append(reading, "default")
    print(reading.accepted, reading.rejected, reading.rejects()["column"].to_list())
except ImportFileError as error:
    print(error)
print(peak_mib() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(
    ("name", "told", "most_mib"),
    [
        ("posts.csv.gz", "row 3, column caption: longer than 4 MiB", 450),
        ("posts.parquet", "11 1 ['caption']", 1_000),  # one value of a parquet file is always read whole
    ],
)
def test_a_caption_of_200_mb_neither_goes_in_nor_fills_the_memory(tmp_path, name, told, most_mib):
    path = tmp_path / name
    rows = third({"caption": "x" * 200_000_000})
    path.write_bytes(parquet_of(rows) if name.endswith("parquet") else gzip.compress(text_of(rows), 1))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(tmp_path / "data")], capture_output=True, text=True, check=True
    )
    answer, grown_mib = done.stdout.splitlines()
    assert told in answer
    assert int(grown_mib) < most_mib


def test_too_few_posts_or_accounts_are_refused_with_what_is_needed(tmp_path):
    posts = simulate(World(accounts=12, weeks=20, posts_per_week=3.0)).posts
    few = posts.filter(pl.col("platform") == "tiktok").filter(pl.col("post_id").rank("dense") <= 150)
    alone = posts.filter(pl.col("platform") == "youtube").with_columns(account_id=pl.lit("only one"))
    Store(tmp_path / "data").append([few, alone], "default")
    workspace = Workspace(tmp_path)
    for platform, accounts in (("tiktok", r"\d+"), ("youtube", 1)):
        refused = workspace.clipcast("backtest", "--platform", platform, expect=1)
        needed = rf"error: \d+ mature posts of {accounts} accounts; training needs 200 posts of 2 accounts"
        assert re.search(needed, refused.stderr)
