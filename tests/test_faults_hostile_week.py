"""A week trained on posts whose texts strangers wrote, and on odd ones: what comes of it, and what does not."""

import re
import sqlite3
from datetime import timedelta

import polars as pl
import pytest

from features.store import Store
from tests.faults_world import END, OBEYED, ROW, RUN_BY_SPREADSHEETS, write_rows


@pytest.mark.slow
def test_forecasts_of_hostile_posts_join_by_id_and_hold_no_formula(hostile_week, tmp_path):
    drafts = pl.read_csv(hostile_week.folder / "drafts.csv", infer_schema=False)
    hostile_week.clipcast("predict", hostile_week.folder / "drafts.csv", "--out", tmp_path / "out.csv")
    hostile_week.clipcast("predict", hostile_week.folder / "drafts.csv", "--out", tmp_path / "out.parquet")
    cells = pl.read_csv(tmp_path / "out.csv", infer_schema=False)
    assert not [cell for row in cells.rows() for cell in row if cell and cell.startswith(RUN_BY_SPREADSHEETS)]
    ids = cells["post_id"].str.replace("^'", "")
    exact = pl.read_parquet(tmp_path / "out.parquet")["post_id"]
    assert ids.to_list() == drafts["post_id"].to_list() == exact.to_list()
    stored = (
        Store(hostile_week.data).posts("tiktok").filter(pl.col("published_at") < END - timedelta(days=30)).collect()
    )
    known = set(cells.filter(drafts["account_id"].is_in(stored["account_id"].unique()))["account_known"])
    assert known == {"true"}, "accounts with hostile names must be found again"


@pytest.mark.slow
def test_forecasts_are_the_same_in_every_zone_byte_for_byte(hostile_week, tmp_path):
    answers = []
    for zone in ("America/New_York", "Asia/Kolkata"):
        out = tmp_path / f"{zone[:4]}.csv"
        hostile_week.clipcast("predict", hostile_week.folder / "drafts.csv", "--out", out, zone=zone)
        answers.append(out.read_bytes())
    assert answers[0] == answers[1]
    assert pl.read_csv(answers[0]).height == 60


@pytest.mark.slow
def test_what_strangers_wrote_reaches_neither_the_screen_nor_a_card_nor_the_names_of_files(hostile_week):
    told = [hostile_week.said, *(hostile_week.clipcast(name) for name in ("status", "history"))]
    texts = [each.stdout + each.stderr for each in told]
    cards = list((hostile_week.home / "cards").rglob("card.md"))
    assert cards
    texts += [path.read_text(encoding="utf-8") for path in cards]
    marks = ("<script", "evil.example", "DROP TABLE", "[red]markup", "etc/passwd", "HYPERLINK", "7*7")
    for text in texts:
        assert not set(text) & set(OBEYED) - {"\n"}
        assert not [mark for mark in marks if mark in text]
    inside = [path for root in (hostile_week.home, hostile_week.data) for path in root.rglob("*")]
    assert not [path for path in inside if not path.name.isprintable() or ".." in path.name or "passwd" in path.name]
    beside = {path.name for path in hostile_week.folder.iterdir() if not path.name.startswith(".")}
    assert beside == {"data", "data.dvc", "drafts.csv", "home", "posts.csv"}


@pytest.mark.slow
def test_fragments_of_sql_are_no_sql(hostile_week):
    with sqlite3.connect(hostile_week.home / "ledger.db") as ledger:
        [(check,)] = ledger.execute("PRAGMA integrity_check").fetchall()
        tables = {name for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert check == "ok"
    assert {"ledger", "runs"} <= tables
    stored = Store(hostile_week.data).posts("tiktok").collect()
    assert stored["account_id"].str.contains("DROP TABLE posts; --", literal=True).any()


@pytest.mark.slow
def test_equal_outcomes_one_account_and_columns_without_a_value_give_a_model_that_forecasts(hostile_week, tmp_path):
    outcomes = re.findall(r"^(tiktok|instagram|youtube) 1.0.0: (.*)$", hostile_week.said.stdout, re.MULTILINE)
    assert [platform for platform, _ in outcomes] == ["tiktok", "instagram", "youtube"]
    assert all(reason.startswith("promoted as the first") for _, reason in outcomes), outcomes
    assert len(hostile_week.json("status")["models"]) == 3
    rows = [{**ROW, "platform": platform, "post_id": f"new {platform}"} for platform in ("instagram", "youtube")]
    out = tmp_path / "out.csv"
    hostile_week.clipcast("predict", write_rows(tmp_path / "drafts.csv", rows), "--out", out)
    answers = pl.read_csv(out)
    assert answers["post_id"].to_list() == ["new instagram", "new youtube"]
    assert answers.select(pl.col("prediction", "lower", "upper", "score").is_finite().all()).row(0) == (True,) * 4
    assert answers["prediction"][0] == pytest.approx(7, abs=0.5), "seven likes are all that was ever seen"
