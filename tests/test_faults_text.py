"""Text that means no good: stored as it is, and shown so that neither a spreadsheet nor a terminal nor a page obeys."""

import csv
import io
import json
import re
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from features.errors import ImportFileError, quoted
from features.reading import read_posts
from features.spreadsheet import guarded
from features.store import Store
from flows import cli
from flows.running import print_outcome
from flows.screen import Screen
from tests.faults_world import HOSTILE, OBEYED, ROW, RUN_BY_SPREADSHEETS, write_rows
from training.slices import MEDIA_TYPES, OTHER, UNKNOWN, slices_of

NAMES = re.compile(r"-[0-9A-Za-z_.-]*")


def unguarded(text):
    """What the documentation says gives a text back."""
    return text[1:] if text.startswith("'") else text


def through_csv(texts):
    """What another program reads of texts that were guarded and written."""
    written = guarded(pl.DataFrame({"text": texts}, schema={"text": pl.String})).write_csv()
    return [row["text"] for row in csv.DictReader(io.StringIO(written, newline=""))]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1) | st.sampled_from(HOSTILE), min_size=1))
def test_no_cell_is_a_formula_and_every_text_can_be_had_back(texts):
    read = through_csv(texts)
    assert [unguarded(cell) for cell in read] == texts
    for cell in read:
        assert not cell.startswith(RUN_BY_SPREADSHEETS)
        assert not cell.startswith("-") or NAMES.fullmatch(cell)


@pytest.mark.parametrize("name", ["-cA9_x-Zq0E", "-", "--", "-12", "-1.5", "7301234567890123456", "a.b_c", "Ünïcode"])
def test_ids_as_platforms_give_them_stay_as_they_are(name):
    assert through_csv([name]) == [name]


def test_rejects_hold_no_formula_and_their_ids_join_again(tmp_path):
    rows = [{**ROW, "post_id": text, "caption": text, "views": "-1"} for text in HOSTILE]
    rows += [{**ROW, "post_id": f"good{number}"} for number in range(len(rows))]
    reading = read_posts(write_rows(tmp_path / "posts.csv", rows))
    reading.frame()
    path = reading.write_rejects(tmp_path / "rejects.csv")
    cells = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    written = pl.read_csv(path, infer_schema=False)
    assert not [cell for row in written.rows() for cell in row if cell and cell.startswith(RUN_BY_SPREADSHEETS)]
    assert [unguarded(row["post_id"]) for row in written.to_dicts()] == list(HOSTILE)
    assert len(cells) == len(HOSTILE)
    assert set(written["views"]) == {"-1"}


def shown(*printed):
    file = io.StringIO()
    screen = Screen(file=file, force_terminal=True, color_system=None, width=200)
    for each in printed:
        screen.print(each)
    return file.getvalue()


@pytest.mark.parametrize("text", [*HOSTILE, OBEYED, "\udcff"])
def test_a_screen_obeys_no_text_in_whatever_it_stands(text):
    table = Table(text, title=text)
    table.add_row(text)
    found = shown(text, Text(text), Text.assemble((text, "bold"), "end"), table)
    assert not set(found) & set(OBEYED) - {"\n"}
    for part in re.findall(r"[\w\[\]/:=<>]{3,}", text):
        assert part in found


def test_a_screen_still_has_colours_and_a_bar_that_moves():
    file = io.StringIO()
    screen = Screen(file=file, force_terminal=True, color_system="standard", width=100)
    screen.print(Text.assemble(("\x1b[2Jred", "red")))
    with Progress(TextColumn("{task.description}", markup=False), console=screen, transient=True) as progress:
        progress.add_task("[/] \x1b]0;x\x07", total=1.0)
    found = file.getvalue()
    assert "\x1b[31m\\x1b[2Jred\x1b[0m" in found
    assert "\x1b]0;" not in found
    assert "[/] \\x1b" in found


def test_the_commands_show_markup_of_others_as_text(capsys):
    outcome = {
        "platform": "[red]tiktok",
        "family": "performance",
        "verdict": "failed",
        "reason": "[/] no [bold]file\x1b[2J",
        "card": "[/red].md",
    }
    print_outcome(outcome, cli.console)
    found = capsys.readouterr().out
    assert "[red]tiktok: failed: [/] no [bold]file\\x1b[2J" in found
    assert "card: [/red].md" in found


def test_json_for_a_terminal_is_plain_ascii(capsys):
    cli._show({"name": "".join(HOSTILE)}, "-")
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert not set(printed) & set(OBEYED) - {"\n"}
    assert json.loads(printed)["name"] == "".join(HOSTILE)


@pytest.mark.parametrize("text", [*HOSTILE, "x" * 3_000_000])
def test_an_error_shows_a_column_and_a_platform_of_strangers_in_quotes_and_short(tmp_path, text):
    header = write_rows(tmp_path / "header.csv", [ROW], [*ROW, text])
    with pytest.raises(ImportFileError) as refusal:
        read_posts(header)
    # arrow drops the mark of byte order only at the start of a file, and no value may hold a NUL
    assert quoted(text) in str(refusal.value)
    platform = write_rows(tmp_path / "platform.csv", [{**ROW, "platform": f"x{text}"}])
    with pytest.raises(ImportFileError) as refused:
        read_posts(platform).frame()
    for error in (refusal, refused):
        assert len(str(error.value)) < 1_000
        assert not set(str(error.value)) & set(OBEYED)


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Run the command within this process; answer its code, and all it printed."""
    monkeypatch.setenv("CLIPCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLIPCAST_DATA", str(tmp_path / "w" / "data"))
    monkeypatch.setattr("flows.importing.dvc_add", lambda *_: "0" * 32)  # takes a second, and is tested elsewhere

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["clipcast", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out + printed.err

    return run


@pytest.mark.parametrize("name", ["../../x", "/etc", "a/b", "..", "=x", "[red]", "\x1b[2J", "x'; DROP TABLE posts;--"])
def test_a_source_that_is_no_plain_name_is_refused_and_leaves_nothing_anywhere(tmp_path, told, name):
    path = write_rows(tmp_path / "posts.csv", [ROW, {**ROW, "views": "-1"}])
    code, printed = told("import", path, f"--source={name}")
    assert code == 1
    assert "use up to 64 small letters, digits, hyphens and underscores" in printed
    assert not set(printed) & set(OBEYED) - {"\n"}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["posts.csv"]


def test_a_file_named_like_markup_is_read_and_its_long_name_shortened_for_the_rejects(tmp_path, told):
    folder = tmp_path / "["
    folder.mkdir()
    path = write_rows(folder / f"red]{'é' * 120}.csv", [ROW, {**ROW, "views": "-1"}])
    code, printed = told("import", path)
    assert code == 0
    assert f"{path.name}: 1 new posts" in printed
    [rejects] = (tmp_path / "home" / "rejects").iterdir()
    assert str(rejects) in printed


@pytest.mark.parametrize("name", ["\x1b[2Jx.csv", "a\nerror: b.csv", "\u202evsc.csv", "\udcff.csv"])
def test_a_file_whose_name_cannot_be_shown_is_refused(tmp_path, told, name):
    path = tmp_path / name
    write_rows(path, [ROW])
    code, printed = told("import", path)
    assert code == 1
    assert "the name holds what cannot be shown; rename the file" in printed
    assert not set(printed) & set(OBEYED) - {"\n"}
    assert printed.strip().count("\n") == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_stored_as_they_were_written_through_csv_and_parquet(tmp_path, text):
    rows = [{**ROW, **dict.fromkeys(("post_id", "account_id", "caption", "sound_id", "media_type"), text)}]
    write_rows(tmp_path / "posts.csv", rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "posts.parquet")
    store = Store(tmp_path / "data")
    for name in ("posts.csv", "posts.parquet"):
        store.append(read_posts(tmp_path / name), "strangers")
    kept = store.posts("tiktok").collect()
    assert kept.height == 1, "both files must say the same"
    assert set(kept.select("post_id", "account_id", "caption", "sound_id", "media_type").row(0)) == {text}
    parts = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.suffix == ".parquet"]
    assert all(re.fullmatch(r"part-[0-9a-f]{32}", path.stem) for path in parts)


class Posts:
    """As much of some posts as slices read."""

    def __init__(self, media_type):
        self.media_type, self.followers = media_type, np.full(len(media_type), 5.0)

    def take(self, rows):
        return Posts([self.media_type[row] for row in rows])


def test_slices_are_few_and_named_by_words_that_can_break_no_table_or_picture():
    media = ["video"] * 50 + ["image"] * 40 + [None] * 3 + [*HOSTILE, "x" * 1_000_000] * 30
    media += [f"kind {number}" for number in range(500)] * 2
    rows = np.arange(len(media))
    examples = type("Examples", (), {"posts": Posts(media), "sources": ["s"] * len(media)})
    levels = slices_of(examples, rows, np.zeros(len(media), bool))["media type"]
    assert set(levels[:93]) == {"video", "image", UNKNOWN}
    assert set(levels[93 : 93 + 30 * (len(HOSTILE) + 1)]) == {OTHER}
    assert len(set(levels)) == MEDIA_TYPES + 2
    assert levels.itemsize < 200


def test_a_plain_console_would_have_obeyed():
    """What the tests above stand against: rich by itself lets escapes through and reads markup."""
    file = io.StringIO()
    Console(file=file).print("\x1b[2J[red]x[/]")
    assert file.getvalue() == "\x1b[2Jx\n"
